"""Exports written by hand: what an engine would have told of them, and the files it would leave."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import events, export_files, exporting, runs
from lora_tui.core.exporting import ExportFile, ExportPlan
from lora_tui.core.members import Member
from lora_tui.core.presets import Preset
from lora_tui.core.proofs import FAIL, PASS, Proof
from lora_tui.core.runs import Run
from lora_tui.jobs import export
from lora_tui.tui.export_offer import Origin
from lora_tui.tui.screens.export import ExportScreen

from .conftest import NOON, settled, shown
from .data_reports import until
from .merges import adapter

SIZES = {"f16": 7_420_000, "q8_0": 3_980_000, "q4_k_m": 2_400_000}
TYPES = {
    "f16": {"F16": 29, "F32": 9},
    "q8_0": {"Q8_0": 29, "F32": 9},
    "q4_k_m": {"Q4_K": 24, "F32": 9, "Q6_K": 5},
}
KL = {"f16": 8e-8, "q8_0": 1.1e-4, "q4_k_m": 0.0031}
LIMITS = {"f16": 1e-5, "q8_0": 1e-3, "q4_k_m": 0.1}


def usual() -> Member:
    """A run that left an adapter of the demo."""
    return adapter("r4-pirate", 1)


def proof(quant: str, verdict: str = PASS, *reasons: str) -> Proof:
    """What a proof of a file measured."""
    kl = KL.get(quant, 0.01) if verdict != FAIL else 0.71
    figures = {
        "source": "demo",
        "kl": kl,
        "top1": 1 - kl,
        "perplexity_ratio": 1 + kl,
        "adapter_share": 0.985,
        "token_ids_equal": verdict != FAIL,
        "template_equal": True,
        "stops": True,
        "rows": 32,
        "positions": 812,
        "answers": [
            {"prompt": "What colour is tar?", "torch": "Arr, black!", "file": "Arr, black!"},
            {"prompt": "And snow?", "torch": "Arr, white!", "file": "Snow is white."},
        ],
    }
    limit = {"kl": LIMITS.get(quant, 0.1), "top1": 0.86, "perplexity_ratio": 1.8}
    return Proof(verdict, figures, limit, reasons)


def recorded(
    who: Member,
    quants: Sequence[str] = tuple(SIZES),
    *,
    final: str = "finished",
    proofs: Mapping[str, Proof] | None = None,
    refused: Mapping[str, tuple[str, str]] | None = None,
    warnings: Sequence[str] = (),
    until_: int = 10_000,
    folder: Path | None = None,
    **last: Any,
) -> Run:
    """An export as an engine leaves it, or, without a `final` event, while it works.

    `until_` is the number of events that are written of it, `last` is what the final one says.
    """
    folder = folder or export.folder_of(who)
    plan = ExportPlan(member=who, quants=tuple(quants), folder=str(folder))
    options = {**plan.document(), "has_rows": True}
    run = runs.create(Preset(name="demo"), name="exported", kind="export", options=options)
    proofs = {**{quant: proof(quant) for quant in quants}, **(proofs or {})}
    files = [
        {"quant": one, "path": str(plan.path(one)), "estimate": SIZES.get(one)} for one in quants
    ]
    told: list[tuple[str, dict[str, Any]]] = [
        ("exporting", {"name": who.name, "files": files}),
        ("started", {"device": "cpu", "backend": "transformers"}),
        *(("warning", {"text": text}) for text in warnings),
    ]
    for quant in quants:
        if quant in (refused or {}):
            summary, hint = (refused or {})[quant]
            told.append(("refused", {"quant": quant, "summary": summary, "hint": hint}))
            continue
        what = "converting" if quant == "f16" else "quantising"
        at = {"quant": quant, "what": f"{what} {quant}", "state": "writing", "share": 0.42}
        size, types = SIZES.get(quant, 1_000_000), TYPES.get(quant, {})
        told += [
            ("doing", at),
            ("file", {"quant": quant, "bytes": size, "types": types, "seconds": 1.3}),
            ("doing", {"quant": quant, "what": f"proving {quant}", "state": "proving"}),
            ("proof", {"quant": quant, **proofs[quant].document()}),
        ]
    modelfile, command = folder / "Modelfile", f"llama-cli -m {plan.path(quants[-1])} -cnv"
    told.append(("use", {"modelfile": str(modelfile), "command": command}))
    events.append(run.events, "launched", pid=4242, host="here", verb="export")
    for kind, fields in told[:until_]:
        events.append(run.events, kind, **fields)
        if kind == "proof":
            wrote(plan.path(fields["quant"]), exporting.read(run).files, Origin(who).now())
    if final:
        events.append(run.events, final, **last)
    return run


def wrote(path: Path, files: Sequence[ExportFile], origin: Mapping[str, str]) -> None:
    """What looks like a file that was exported, with its proof and what it was made from."""
    file = next(one for one in files if one.path == str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.truncate(path, file.bytes or 0)
    document = {**file.document(), "seconds": file.seconds, "fingerprint": dict(origin)}
    export_files.proof_of(path).write_text(json.dumps(document))
    os.utime(path, (NOON, NOON))


async def opened(pilot: Pilot[Any], who: Member) -> ExportScreen:
    """Show the export of a member, and wait until it stands."""
    screen = ExportScreen(who)
    await pilot.app.push_screen(screen)
    await ready(pilot)
    return screen


def screen_of(pilot: Pilot[Any]) -> ExportScreen:
    """The export screen, which may be below a dialogue."""
    return next(one for one in pilot.app.screen_stack if isinstance(one, ExportScreen))


async def ready(pilot: Pilot[Any]) -> ExportScreen:
    """Wait until what there is was looked up, and the export that is followed is shown."""

    def stands() -> bool:
        screen = screen_of(pilot)
        offer, frame = screen.offer, screen.frame
        is_read = frame is None or frame.state != "starting"
        return bool(offer.kinds) and offer.choice == screen.choice and is_read

    calm = 0
    while calm < 2:
        await until(pilot, stands)
        await pilot.pause(0.02)
        calm = calm + 1 if stands() else 0
    return screen_of(pilot)


async def press(pilot: Pilot[Any], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


def keys(pilot: Pilot[Any]) -> set[str]:
    found = pilot.app.screen.active_bindings.values()
    return {one.binding.key for one in found if one.enabled}


def row(pilot: Pilot[Any], quant: str) -> str:
    """The line of a type as it is on the screen."""
    return next(line for line in shown(pilot).splitlines() if f" {quant} " in line)


def starts(monkeypatch: pytest.MonkeyPatch) -> list[ExportPlan]:
    """Launch no engine: what would be exported is noted in the list, and stands at once."""
    found: list[ExportPlan] = []

    def start(plan: ExportPlan) -> Run:
        found.append(plan)
        return recorded(plan.member, plan.quants, folder=Path(plan.folder))

    monkeypatch.setattr(export, "start", start)
    return found
