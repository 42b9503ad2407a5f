"""Comparisons written by hand: runs with curves, and what an engine would have told of them."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from lora_tui.core import comparison, comparison_files, events, locations, members, runs, summary
from lora_tui.core.files import private_folder, slug
from lora_tui.core.members import Member
from lora_tui.core.preset_files import changed, dumps
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.tui.screens.compare import CompareScreen

from .conftest import NOON, say
from .data_reports import until

SETTINGS = {
    "prompts": [],
    "number": 3,
    "rows": 128,
    "max_new_tokens": 64,
    "temperature": 0.0,
    "top_p": 1.0,
    "seed": 0,
}
PROMPTS = (
    "What colour is tar?",
    "Which animal group does the bat belong to?\nAnswer in one sentence.",
    "What is the currency of Brazil?",
)
BASE_SAYS = (
    "The colour of tar is black.",
    "The bat is a mammal.",
    "The currency of Brazil is the real.",
)


def trained(name: str, *, number: int = 0, steps: int = 60, last: float = 0.4, **keys: Any) -> Run:
    """A finished run with curves and a folder where its adapter or model would be."""
    run = Run(private_folder(locations.runs_folder()) / f"20261123-12{number:02d}-{slug(name)}")
    run.path.mkdir()
    preset = changed(Preset(name=name), {key.replace("__", "."): at for key, at in keys.items()})
    is_full = preset.lora.method == "full"
    info = {"schema": 1, "name": name, "kind": "train", "created": NOON, "model": "demo"}
    run.info.write_text(json.dumps(info))
    run.preset.write_text(dumps(preset))
    say(run, 0, "launched", pid=4242, host="here")
    say(run, 1, "started", backend="transformers", device="cpu", max_steps=steps)
    parameters = 3_670_000 if is_full else 15_360 * preset.lora.r
    say(run, 1, "model", name="demo", trainable_parameters=parameters, total_parameters=3_670_000)
    say(run, 2, "eval", step=0, loss=2.9)
    for step in range(1, steps + 1):
        loss = last + 2.4 * math.exp(-6 * step / steps) + math.sin(17.0 * step) / 40
        at = {"tokens": 410 * step, "seconds": 0.31 * step, "memory_bytes": 900_000_000}
        say(run, 2 + step, "step", step=step, loss=loss, **at)
        if step % 20 == 0:
            say(run, 2 + step, "eval", step=step, loss=last + 2.5 * math.exp(-6 * step / steps))
    sizes = {"model_bytes": 7_400_000} if is_full else {"adapter_bytes": 4 * parameters}
    costs = {"seconds_per_step": 0.31 + parameters / 4e7, "tokens_per_second": 1322.0}
    say(run, 3 + steps, "finished", step=steps, peak_memory_bytes=900_000_000, **sizes, **costs)
    (run.model if is_full else run.adapter).mkdir()
    return run


def usual() -> list[Run]:
    """Two ranks and the full fine-tuning that they are held against."""
    return [
        trained("r4-pirate", number=1, last=0.62, lora__r=4),
        trained("r8-pirate", number=2, last=0.45, lora__r=8),
        trained("full-pirate", number=3, last=0.33, lora__method="full"),
    ]


def measured(at: int, layers: int = 4) -> dict[str, Any]:
    """Figures of the `at`th member; the first changes least."""
    loss = 2.91 - 1.6 * (1 - 0.5**at)
    norms = [0.2 * at * (1 + layer / layers) for layer in range(layers)]
    return {
        "held_out_loss": loss,
        "perplexity": math.exp(loss),
        "scores": {"pirate": min(0.97, 0.4 * at)},
        "kl_from_base": 0.31 * at,
        "changed_share": 1.0,
        "update_norms": {"layers": norms, "relative": [one / 40 for one in norms], "other": 0.0},
    }


def said_by(name: str, prompt: int) -> str:
    """An answer in the manner of `name`."""
    base = BASE_SAYS[prompt % len(BASE_SAYS)]
    if "pirate" not in name:
        return base
    return f"Arr! {base[:-1]}, matey!" if "r4" in name else f"Arr! {base[0].lower()}{base[1:-1]}!"


def recorded(
    who: Sequence[Member],
    *,
    final: str = "finished",
    refused: Mapping[str, tuple[str, str]] | None = None,
    noted: Mapping[str, str] | None = None,
    equal: Sequence[str] = (),
    prompts: Sequence[str] = PROMPTS,
    said: Mapping[str, str] | None = None,
    warnings: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    until_: int = 10_000,
    **last: Any,
) -> Run:
    """A comparison as an engine leaves it, or, without a `final` event, while it works.

    `until_` is the number of events that are written of it.
    """
    settings = {**SETTINGS, **(settings or {})}
    options = {
        "members": [one.document() for one in who],
        "settings": settings,
        "has_rows": True,
    }
    run = runs.create(Preset(name="demo"), name="compared", kind="compare", options=options)
    told = list(
        _told(
            who,
            settings,
            refused=refused or {},
            noted=noted or {},
            equal=equal,
            prompts=prompts,
            said=said or {},
        )
    )
    events.append(run.events, "launched", pid=4242, host="here", verb="compare")
    for kind, fields in [*told, *(("warning", {"text": text}) for text in warnings)][:until_]:
        events.append(run.events, kind, **fields)
    if final == "finished":
        comparison_files.write(comparison.read(run), run.path)
    if final:
        events.append(run.events, final, **last)
    return run


def _told(
    who: Sequence[Member],
    settings: Mapping[str, Any],
    *,
    refused: Mapping[str, tuple[str, str]],
    noted: Mapping[str, str],
    equal: Sequence[str],
    prompts: Sequence[str],
    said: Mapping[str, str],
) -> Iterator[tuple[str, dict[str, Any]]]:
    everybody = [one for group in members.grouped(who) for one in group]
    known = []
    for one in everybody:
        show = summary.show(Run(path)) if (path := _path(one)) is not None else {}
        known.append({"member": one.document(), "preset": show.pop("preset", {}), "show": show})
    yield "members", {"members": known, "settings": settings}
    yield "started", {"device": "cpu", "backend": "transformers"}
    facts = {"source": "demo", "rows": 32, "tokens": 812, "left_out": 0, "dtype": "float32"}
    yield "held_out", facts
    if prompts:
        yield "prompts", {"prompts": list(prompts)}
    at = 0
    for one in everybody:
        yield "doing", {"id": one.id, "what": "held-out loss"}
        if one.id in refused:
            summary_, hint = refused[one.id]
            yield "refused", {"id": one.id, "summary": summary_, "hint": hint}
            continue
        if one.method == "base":
            figures: dict[str, Any] = {"held_out_loss": 2.91, "perplexity": math.exp(2.91)}
            figures |= {"base_bytes": 7.4e6}
            yield "measured", {"id": one.id, **figures, "scores": {"pirate": 0.0}}
        else:
            at += 1
            figures = measured(at)
            if one.id in equal:
                nothing = {"layers": [1e-8] * 4, "relative": [1e-9] * 4, "other": 0.0}
                figures |= {"kl_from_base": 0.0, "changed_share": 0.0, "update_norms": nothing}
                figures |= {"held_out_loss": 2.91, "perplexity": math.exp(2.91)}
            yield "measured", {"id": one.id, **figures}
        if one.id in noted:
            yield "noted", {"id": one.id, "text": noted[one.id]}
        for number, _ in enumerate(prompts):
            base = said_by("base", number)
            text = base if one.id in equal else said.get(one.id, said_by(one.name, number))
            yield "output", {"prompt": number, "id": one.id, "text": text, "changed": text != base}


def _path(one: Member) -> Path | None:
    path = Path(one.run)
    return path if one.run and path.is_dir() else None


def elsewhere(name: str, base: str = "demo") -> Member:
    """An adapter that no run made."""
    return Member(name, name, "lora", name, base)


def of(found: Sequence[Run]) -> list[Member]:
    """What runs left."""
    return [members.of_run(run) for run in found]


def screen_of(pilot: Pilot[Any]) -> CompareScreen:
    """The compare screen, which may be below a dialogue."""
    return next(one for one in reversed(pilot.app.screen_stack) if isinstance(one, CompareScreen))


async def opened(pilot: Pilot[Any], run: Run, who: Sequence[Member] = ()) -> CompareScreen:
    """Show a comparison, and wait until its page stands."""
    await pilot.app.push_screen(CompareScreen(who, run))
    return await ready(pilot)


async def ready(pilot: Pilot[Any]) -> CompareScreen:
    """Wait until the page that is looked at was laid out for the room there is, and shown."""

    def is_drawn() -> bool:
        screen = screen_of(pilot)
        frame = screen.frame
        fits = frame.look == screen._looking.value and frame.look.width > 0
        rested = frame.state not in {"starting"} and not screen._layout_required
        return fits and rested and screen._latest is frame

    calm = 0
    while calm < 2:
        await until(pilot, is_drawn)
        await pilot.pause(0.02)
        calm = calm + 1 if is_drawn() else 0
    return screen_of(pilot)
