"""Merges written by hand: adapters of the demo, and what an engine would have told of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from lora_tui.core import events, locations, members, runs
from lora_tui.core.members import Member
from lora_tui.core.merging import MergePlan
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.tui.screens.merge import MergeScreen

from ..adapters import write_adapter
from .comparisons import trained
from .data_reports import until

PROVEN = {
    "verdict": "pass",
    "max_logit_difference": 0.101,
    "mean_logit_difference": 0.00458,
    "greedy_equal_share": 1.0,
    "kl": 1.1e-5,
    "kl_from_base": 2.734,
    "logit_spread": 2.27,
    "positions": 2064,
    "tensors_compared": 38,
    "tensors_off": 0,
    "tensors_with_nan": 0,
    "reloads": True,
    "limit": {
        "max_logit_difference": 1.77,
        "mean_logit_difference": 0.0532,
        "greedy_equal_share": 0.9,
    },
    "reasons": [],
}


def two(r: int = 4, other: int = 8) -> list[Member]:
    """Two runs that left adapters of the demo with these ranks."""
    return [adapter("r4-pirate", 1, r=r), adapter("r8-pirate", 2, r=other)]


def adapter(name: str, number: int = 0, *, r: int = 4, **config: Any) -> Member:
    """What a run left: an adapter that can be read."""
    run = trained(name, number=number, steps=1, lora__r=r)
    write_adapter(run.adapter, r=r, **config)
    return members.of_run(run)


def recorded(
    who: Sequence[Member],
    *,
    final: str = "finished",
    proof: Mapping[str, Any] = PROVEN,
    warnings: Sequence[str] = (),
    until_: int = 10_000,
    out: Path | None = None,
    plan: Mapping[str, Any] | None = None,
    is_there: bool = True,
    digests: Mapping[str, str] | None = None,
    **last: Any,
) -> Run:
    """A merge as an engine leaves it, or, without a `final` event, while it works.

    `until_` is the number of events that are written of it, `last` is what the final one says; what
    was written can be gone again.
    """
    many = len(who)
    made = MergePlan(members=tuple(who), weights=(1 / many,) * many, **(plan or {}))
    usual = Run(Path(who[0].run)).merged if many == 1 else None
    out = out or usual
    options = {**made.document(), "out": str(out or ""), "has_rows": True}
    run = runs.create(Preset(name="demo"), name="merged", kind="merge", options=options)
    path = out or run.merged
    losses = {"base": 2.91, **{one.id: 1.62 - 0.17 * at for at, one in enumerate(who)}}
    told: list[tuple[str, dict[str, Any]]] = [
        (
            "merging",
            {
                "members": [one.document() for one in who],
                "weights": list(made.weights),
                "method": made.method if many > 1 else "",
                "digests": dict(digests or {}),
                "path": str(path),
            },
        ),
        ("started", {"device": "cpu", "backend": "transformers"}),
        ("doing", {"what": "loading the base"}),
        ("held_out", {"source": "demo", "rows": 32, "tokens": 812}),
        ("doing", {"what": "held-out losses"}),
        *(("scored", {"id": id_, "held_out_loss": loss}) for id_, loss in losses.items()),
        *(("warning", {"text": text}) for text in warnings),
        ("doing", {"what": "merging"}),
        ("written", {"bytes": 7_350_000, "dtype": "bfloat16"}),
        ("doing", {"what": "reading it again"}),
        ("scored", {"id": "merged", "held_out_loss": losses[who[-1].id] + 0.04 * (many - 1)}),
        ("proof", dict(proof)),
    ]
    events.append(run.events, "launched", pid=4242, host="here", verb="merge")
    for kind, fields in told[:until_]:
        events.append(run.events, kind, **fields)
    if final == "finished" and is_there:
        wrote(path, with_adapter=many > 1)
    if final:
        events.append(run.events, final, **last)
    return run


def wrote(path: Path, *, with_adapter: bool = False) -> None:
    """What looks like a merged model."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "config.json").write_text("{}")
    (path / "merge.json").write_text("{}")
    if with_adapter:
        config = {"base_model_name_or_path": str(locations.assets_folder() / "demo-model")}
        (path / "adapter").mkdir()
        (path / "adapter" / "adapter_config.json").write_text(json.dumps(config))


async def opened(pilot: Pilot[Any], who: Sequence[Member]) -> MergeScreen:
    """Show the merge of members, and wait until it stands."""
    screen = MergeScreen(who)
    await pilot.app.push_screen(screen)
    await ready(pilot)
    return screen


def screen_of(pilot: Pilot[Any]) -> MergeScreen:
    """The merge screen, which may be below a dialogue."""
    return next(one for one in reversed(pilot.app.screen_stack) if isinstance(one, MergeScreen))


async def ready(pilot: Pilot[Any]) -> MergeScreen:
    """Wait until the form was looked at, or the job has told what it has to tell."""
    screen = screen_of(pilot)

    def is_drawn() -> bool:
        if not screen._opened.is_set():
            return False
        if screen.is_form:
            return (
                screen.form.outlook is not None and screen.form.outlook.draft == screen.form.draft
            )
        return screen.frame is not None and screen.frame.state != "starting"

    calm = 0
    while calm < 2:
        await until(pilot, is_drawn)
        await pilot.pause(0.02)
        calm = calm + 1 if is_drawn() else 0
    return screen
