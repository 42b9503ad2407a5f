"""The form of a merge by keys: what goes in, what is in the way, and what is started."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from lora_tui.core import locations
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import Member
from lora_tui.core.merging import MergePlan
from lora_tui.core.runs import Run
from lora_tui.jobs import merge
from lora_tui.tui import merge_outlook
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.merge_draft import Draft
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.choose_method import ChooseMethod
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.merge import MergeScreen
from lora_tui.tui.widgets.row_list import RowList

from .. import adapters
from .comparisons import trained
from .conftest import settled, shown, toasts
from .merges import adapter, opened, ready, recorded, two, wrote

pytestmark = pytest.mark.usefixtures("shipped")

SIZE = (80, 24)
Started = list[tuple[MergePlan, Path | None]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    """No engine is launched: what would be merged is recorded, and stands at once."""
    found: Started = []

    def start(plan: MergePlan, out: Path | None = None) -> Run:
        found.append((plan, out))
        return recorded(plan.members, out=out)

    monkeypatch.setattr(merge, "start", start)
    return found


async def press(pilot: Pilot[Any], *keys: str) -> None:
    """Press keys one after another, and wait for what they do."""
    await pilot.press(*keys)
    await settled(pilot)


async def typed(pilot: Pilot[Any], text: str, *keys: str) -> None:
    """Answer the question that is asked."""
    pilot.app.screen.query_one(Input).value = text
    await press(pilot, *(keys or ("enter",)))


def keys(screen: MergeScreen) -> set[str]:
    return {one.binding.key for one in screen.active_bindings.values() if one.enabled}


async def linear(pilot: Pilot[Any]) -> None:
    """Choose the method that takes equal ranks alone."""
    await press(pilot, "m", "g", "enter")
    await ready(pilot)


async def test_adapters_stand_with_how_they_were_made_and_what_is_in_the_way() -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, two(4, 8))
        lines = shown(pilot).splitlines()
        assert lines[3].split() == ["│▸a", "r4-pirate", "4", "8", "LoRA", "0.500", "│"]
        assert lines[4].split()[1:] == ["b", "r8-pirate", "8", "16", "LoRA", "0.500", "│"]
        await linear(pilot)
        assert "linear needs equal ranks" in shown(pilot)
        assert "1 thing is in the way" in shown(pilot).splitlines()[22]
        assert "t" not in keys(screen)
        await press(pilot, "t")
        assert screen.is_form and not toasts(pilot).strip()


async def test_the_method_is_chosen_among_those_that_fit_and_then_it_can_start(
    started: Started,
) -> None:
    who = two(4, 8)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert "t merges them" in shown(pilot)
        assert screen.form.draft.plan.method == "cat", "the first that takes different ranks"
        await linear(pilot)
        assert screen.form.draft.plan.method == "linear", "it is not taken back"
        await press(pilot, "m")
        assert isinstance(pilot.app.screen, ChooseMethod)
        said = shown(pilot)
        assert "✗ ties" in said and "✗ cat" not in said and "✗ svd" not in said
        await press(pilot, "j", "enter")
        await ready(pilot)
        assert screen.form.draft.plan.method == "cat" and "t merges them" in shown(pilot)
        await press(pilot, "t")
        await ready(pilot)
        ((plan, out),) = started
        assert (plan.method, plan.weights, out) == ("cat", (0.5, 0.5), None)
        assert list(plan.members) == who
        assert "✓ PASS" in shown(pilot) and not screen.is_form


async def test_weights_are_turned_by_arrows_and_typed(started: Started) -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, two(4, 4))
        await press(pilot, "right", "right", "j", "left", "w")
        assert isinstance(pilot.app.screen, Ask) and "Weight of r8-pirate" in shown(pilot)
        for wrong in ("abc", "nan", ""):
            await typed(pilot, wrong)
            assert isinstance(pilot.app.screen, Ask), wrong  # it stays, to be mended
        await typed(pilot, "0.25")
        await ready(pilot)
        assert screen.form.draft.plan.weights == (0.7, 0.25)
        await press(pilot, "enter")  # the same by enter
        await typed(pilot, "0")
        await press(pilot, "k", "enter")
        await typed(pilot, "0")
        await ready(pilot)
        assert "Every weight is 0" in shown(pilot) and "t" not in keys(screen)
        assert not started


async def test_settings_are_edited_on_their_lines(tmp_path: Path, started: Started) -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, two(4, 4))
        await press(pilot, "j", "j", "right", "right", "right")  # over the gap
        assert screen.form.draft.plan.method == "ties"
        await press(pilot, "j", "left", "enter")
        await typed(pilot, "1.5")
        assert "out of range" in shown(pilot)
        await typed(pilot, "0.3")
        await press(pilot, "d", "G", "enter", "o")
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "letters").write_text("dear")
        await typed(pilot, str(tmp_path / "full"))
        assert "holds something else already" in shown(pilot)
        await typed(pilot, str(tmp_path / "new"))
        await ready(pilot)
        assert "14.7 MB" in shown(pilot) and "32 bits" in shown(pilot)
        await press(pilot, "t")
        await ready(pilot)
        ((plan, out),) = started
        assert (plan.method, plan.density, plan.dtype) == ("ties", 0.3, "float32")
        assert out == tmp_path / "new"


async def test_adapters_come_and_go(tmp_path: Path) -> None:
    folder = adapters.write_adapter(tmp_path / "made-elsewhere", r=4)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, two(4, 4)[:1])
        assert not {"x", "w", "m", "space"} & keys(screen)  # nothing on its line changes
        await press(pilot, "enter")
        assert "goes in whole" in toasts(pilot) and pilot.app.screen is screen
        await press(pilot, "plus")
        for name, says in (("nobody", "There is no run"), ("/no", "no folder"), ("", "Name a run")):
            await typed(pilot, name)
            assert says in shown(pilot)
        await typed(pilot, "r8-pirate")
        await press(pilot, "plus")
        await typed(pilot, str(folder))
        await ready(pilot)
        assert screen.form.draft.plan.weights == (1 / 3,) * 3
        assert "c made-elsewhere" in shown(pilot)
        await press(pilot, "plus")
        await typed(pilot, str(folder))
        assert "in this merge already" in shown(pilot)
        await press(pilot, "escape", "g", "x", "x")
        await ready(pilot)
        assert [one.name for one in screen.form.draft.plan.members] == ["made-elsewhere"]
        assert not screen.form.draft.has_weights
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_an_earlier_merge_is_replaced_only_after_asking(started: Started) -> None:
    who = [adapter("r4-pirate")]
    wrote(Run(Path(who[0].run)).merged)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert "that stands there is replaced" in shown(pilot)
        await press(pilot, "t")
        assert isinstance(pilot.app.screen, Confirm)
        await press(pilot, "n")
        assert screen.is_form and not started
        await press(pilot, "t", "y")
        await ready(pilot)
        assert [one[0].members for one in started] == [tuple(who)]


@pytest.mark.usefixtures("started")
async def test_a_full_disk_and_a_base_that_is_gone_are_said_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(merge_outlook, "_free", lambda _: 1_000)
    gone = adapters.write_adapter(tmp_path / "orphan", base="/no/such/base")
    orphan = Member(str(gone), "orphan", "lora", str(gone), "/no/such/base")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, [adapter("r4-pirate")])
        assert "It takes 7.34 MB, and 1 kB are free where it goes." in shown(pilot)
        await press(pilot, "q")
        await opened(pilot, [orphan])
        said = " ".join(shown(pilot).replace("│", " ").split())
        assert "Its base /no/such/base is not there" in said and "size" not in said


async def test_what_cannot_start_is_told_and_the_form_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> Run:
        raise LoraTuiError("No run directory can be made.", "Is there room?")

    monkeypatch.setattr(merge, "start", refuse)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, two(4, 4))
        await press(pilot, "right", "t")
        await ready(pilot)
        assert "No run directory can be made." in shown(pilot) and "Is there room?" in shown(pilot)
        assert not {"g", "D", "e", "s"} & keys(screen)
        await press(pilot, "r")
        assert screen.is_form and screen.form.draft.plan.weights == (0.6, 0.5)


async def test_a_burst_of_keys_does_what_each_of_them_says(started: Started) -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await pilot.app.push_screen(MergeScreen(two(4, 4)))
        await pilot.press("right", "right", "j", "left", "t")
        await settled(pilot)
        await ready(pilot)
        assert [one[0].weights for one in started] == [(0.7, 0.4)]


async def test_what_is_in_the_way_is_seen_by_a_key_that_came_before_it_was_known(
    started: Started,
) -> None:
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, two(4, 8))
        await linear(pilot)
        screen.form.seen = None  # it is not known yet
        await press(pilot, "t")
        assert screen.is_form and not started


async def test_many_adapters_of_long_names_scroll_and_stand_at_any_size() -> None:
    name = "a-name-that-goes-on-for-ever" * 3
    who: Sequence[Member] = [adapter(f"{name}-{at}", at) for at in range(12)]
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        await press(pilot, "G")
        assert screen.query_one(RowList).chosen == "out" and "▸where to" in shown(pilot)
        for size in ((40, 12), (20, 5), (200, 60), SIZE):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert "▸" in shown(pilot) or size == (20, 5)
        assert screen.form.draft == Draft.of(who)


async def test_text_of_adapters_commands_nothing() -> None:
    first, second = two(4, 4)
    hostile = [Member(first.id, "[red]x[/] \x1b[31m\u202e", *_rest(first)), second]
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        await opened(pilot, hostile)
        assert "[red]x[/]" in shown(pilot)
        assert "\x1b" not in shown(pilot) and "\u202e" not in shown(pilot)


def _rest(one: Member) -> tuple[str, ...]:
    return one.method, one.path, one.base, one.revision, one.run


async def test_an_adapter_whose_files_are_gone_is_refused_by_name() -> None:
    run = trained("empty", steps=1)  # its folder is there, nothing is in it
    member = Member(run.id, "empty", "lora", str(run.adapter), "demo", run=str(run.path))
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, [member])
        assert "empty" in shown(pilot) and "cannot be read" in shown(pilot)
        assert "t" not in keys(screen) and not list(locations.merges_folder().glob("*"))
