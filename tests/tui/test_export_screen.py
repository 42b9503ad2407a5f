"""The export by keys: ticking, starting, watching, and looking at what came of it."""

import os
from pathlib import Path

import pytest

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.exporting import ExportPlan
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.jobs import export
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.widgets.type_list import TypeList

from .conftest import Maker, shown, toasts
from .data_reports import until
from .exports import keys, opened, press, ready, row, starts, usual
from .merges import adapter

pytestmark = pytest.mark.usefixtures("shipped")

SIZE = (80, 24)
USUAL = ("f16", "q8_0", "q4_k_m")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ExportPlan]:
    """No engine is launched: what would be exported is noted, and stands at once."""
    return starts(monkeypatch)


# --- before ------------------------------------------------------------------------------------


async def test_it_opens_with_the_usual_types_ticked_and_says_what_becomes_of_the_model() -> None:
    who = usual()
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert screen.choice.quants == frozenset(USUAL)
        assert screen.choice.folder == str(Run(Path(who.run)).exports)
        assert "LoRA of rank 4 on demo" in shown(pilot)
        assert "◆ q4_k_m" in row(pilot, "q4_k_m") and "q4_k 24, f32 9, q6_k 5" in shown(pilot)
        assert "◇ q6_k" in row(pilot, "q6_k")
        assert "3 ticked, ~13.8 MB" in shown(pilot)
        assert {"x", "a", "o", "space"} <= keys(pilot) and not {"s", "r", "y", "w"} & keys(pilot)


async def test_space_ticks_and_goes_on_a_ticks_the_usual_or_none(started: list[ExportPlan]) -> None:
    async with LoraTuiApp().run_test(size=SIZE, notifications=True) as pilot:
        screen = await opened(pilot, usual())
        await press(pilot, "space", "space")
        assert screen.choice.quants == {"bf16", "q8_0", "q4_k_m"}
        assert screen.query_one(TypeList).chosen == "q8_0"
        await press(pilot, "a")
        assert not screen.choice.quants and "nothing is ticked" in shown(pilot)
        await press(pilot, "x")
        assert "No type is ticked." in toasts(pilot) and not started
        await press(pilot, "a")
        assert screen.choice.quants == frozenset(USUAL)


async def test_a_burst_of_ticks_is_looked_at_once_it_is_over() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, usual())
        await pilot.press(*["space"] * 8)
        await ready(pilot)
        assert screen.choice.quants == {"bf16", "q6_k", "q5_k_m", "q5_k_s", "q4_k_s"}
        assert screen.offer.choice == screen.choice


async def test_the_adapter_alone_is_ticked_only_where_it_is_faithful() -> None:
    plain, scaled = usual(), adapter("scaled", 2, use_rslora=True)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, plain)
        await press(pilot, "G", "space")
        assert "lora" in screen.choice.quants
        alone = next(kind for kind in screen.offer.kinds if kind.quant == "lora")
        assert alone.bytes == pytest.approx(124_736, rel=0.01)  # as the converter writes it
        assert "~125 kB" in shown(pilot) and "f32 24" in shown(pilot)
        assert screen.query_one(TypeList).chosen == "lora", "there is no next one"
        await press(pilot, "q")
        screen = await opened(pilot, scaled)
        await press(pilot, "G", "space")
        assert "lora" not in screen.choice.quants
        assert "rsLoRA" in shown(pilot) and "merge it first" in " ".join(shown(pilot).split())


async def test_a_model_without_rows_can_be_written_but_has_no_matrix(tmp_path: Path) -> None:
    who = usual()
    elsewhere = Member("/a/folder/x", "/a/folder/x", "lora", who.path, "demo")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, elsewhere)
        assert "lora-tui  x  export" in shown(pilot)
        refused = {kind.quant for kind in screen.offer.kinds if "no training data" in kind.refused}
        assert {"iq1_s", "iq2_xs"} <= refused and not refused & {"f16", "q4_k_m", "q3_k_m"}


async def test_what_is_wrong_is_said_before_anything_starts(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, usual())
        await press(pilot, "o")
        assert isinstance(pilot.app.screen, Ask)
        for text, said in (
            (str(file), "is a file"),
            ("", "Name a folder"),
            ("/proc/x", "read-only"),
        ):
            if text == "/proc/x" and os.access("/proc", os.W_OK):
                continue  # root may
            pilot.app.screen.query_one("Input").value = text  # type: ignore[attr-defined]
            await press(pilot, "enter")
            assert isinstance(pilot.app.screen, Ask) and said in shown(pilot)
        pilot.app.screen.query_one("Input").value = str(tmp_path / "new")  # type: ignore[attr-defined]
        await press(pilot, "enter")
        screen = await ready(pilot)
        assert screen.choice.folder == str(tmp_path / "new")
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "r4-pirate-F16.gguf").write_text("of somebody else")
        await press(pilot, "space")
        await ready(pilot)
        assert "no export made it" not in shown(pilot), "f16 is not ticked"
        await press(pilot, "k", "space")
        await ready(pilot)
        assert "This cannot be exported like that." in shown(pilot)
        assert "no export made it" in " ".join(shown(pilot).split())


async def test_a_base_that_is_not_here_is_offered_without_sizes() -> None:
    who = Member("some/adapter", "adapter", "lora", "/nowhere", "some/model")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert all(kind.bytes is None for kind in screen.offer.kinds)
        assert "3 ticked" in shown(pilot) and "~" not in row(pilot, "q8_0")


# --- starting ----------------------------------------------------------------------------------


async def test_x_exports_what_is_ticked_and_r_makes_it_anew(started: list[ExportPlan]) -> None:
    who = usual()
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        await press(pilot, "x")
        await until(pilot, lambda: screen.frame is not None and screen.frame.is_over)
        await ready(pilot)
        (plan,) = started
        assert (plan.member, plan.quants, plan.again) == (who, USUAL, False)
        assert plan.folder == str(Run(Path(who.run)).exports)
        assert "✓ finished · 3 PASS" in shown(pilot) and row(pilot, "q8_0").count("✓ PASS") == 1
        assert "ollama create r4-pirate -f" in shown(pilot) and "llama-cli -m" in shown(pilot)
        await press(pilot, "r")
        await until(pilot, lambda: len(started) == 2)
        assert started[1].again


async def test_what_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(plan: ExportPlan) -> Run:
        raise LoraTuiError("[b]No.[/b] \x1b[31m", "Do this.")

    monkeypatch.setattr(export, "start", refuse)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, usual())
        await press(pilot, "x")
        await until(pilot, lambda: "[b]No.[/b]" in shown(pilot))
        assert "Do this." in shown(pilot) and "✗ failed" in shown(pilot)
        assert (
            {"x", "space"} <= keys(pilot) and "s" not in keys(pilot) and "g log" not in shown(pilot)
        )


async def test_beside_a_live_run_it_is_asked_first(
    started: list[ExportPlan], make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = usual()
    monkeypatch.setattr("lora_tui.jobs.talk.platform.node", lambda: "here")
    make_run("at-work", "running", number=40)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, who)
        await press(pilot, "x")
        assert isinstance(pilot.app.screen, Confirm) and "Export now?" in shown(pilot)
        await press(pilot, "n")
        assert not started
        await press(pilot, "x", "enter")
        await until(pilot, lambda: started)
