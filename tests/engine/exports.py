"""Exports by the real engine, in a process that has its libraries loaded."""

from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import members, runs
from lora_tui.core.exporting import ExportPlan, read
from lora_tui.core.runs import Run
from lora_tui.jobs.exact import exact_preset
from tests.engine.conftest import Ended, Engines


def create(engines: Engines, source: Path | str, quants: str, folder: Path, **options: Any) -> Run:
    """An export's own folder: of these types, with a comma between them; nothing is started."""
    has_rows = options.pop("has_rows", None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_TUI_HOME", str(engines.home))
        member = members.of_source(str(source))
        given = {"rows": 8, **options}
        plan = ExportPlan(
            member=member, quants=tuple(quants.split(",")), folder=str(folder), **given
        )
        preset, known = exact_preset([member])
        asked = {**plan.document(), "has_rows": known if has_rows is None else has_rows}
        return runs.create(preset, name="export", kind="export", options=asked)


def export(
    engines: Engines, source: Path | str, quants: str, folder: Path, **options: Any
) -> Ended:
    """An export, to its end."""
    run = create(engines, source, quants, folder, **options)
    return engines.warm(run, "export", "transformers")


def seen(ended: Ended) -> Any:
    """What its events add up to, as `core.exporting.Exporting`."""
    return read(ended.run)


def left_behind(folder: Path) -> list[str]:
    """Hidden files in a folder: what an export must not leave."""
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
