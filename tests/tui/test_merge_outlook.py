"""What follows from a draft of a merge: which methods fit, and what is wrong with its folder."""

from pathlib import Path

import pytest
from textual.widgets import Static

from lora_tui.core.members import Member
from lora_tui.core.merging import METHODS
from lora_tui.tui import merge_outlook
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.merge_draft import Draft

from .. import adapters
from .conftest import shown
from .data_reports import until
from .merges import adapter, opened, ready, two
from .test_merge_screen import SIZE, keys, press, typed

pytestmark = pytest.mark.usefixtures("shipped")


async def test_a_method_nobody_chose_follows_what_is_added() -> None:
    first, second = two(4, 8)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, [first])
        await press(pilot, "plus")
        await typed(pilot, second.name)
        await ready(pilot)
        assert screen.form.draft.plan.method == "cat" and "t merges them" in shown(pilot)


def test_what_refuses_every_method_marks_none(tmp_path: Path) -> None:
    bases = [adapters.write_adapter(tmp_path / name, base=f"/no/{name}") for name in "ab"]
    who = [Member(str(at), at.name, "lora", str(at), f"/no/{at.name}") for at in bases]
    found = merge_outlook.look_at(Draft.of(who))
    assert found.problems and not merge_outlook.unfit(found.draft) and found.fitting == "linear"
    assert merge_outlook.unfit(Draft.of(two(4, 8))) == {*METHODS} - {"cat", "svd"}


def test_a_folder_that_was_taken_meanwhile_is_in_the_way(tmp_path: Path) -> None:
    draft = Draft.of([adapter("r4-pirate")]).with_value("out", str(tmp_path / "there"))
    assert not merge_outlook.look_at(draft).problems
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "letters").write_text("dear")
    assert "holds something else already" in str(merge_outlook.look_at(draft).problems)


async def test_a_folder_of_what_is_merged_is_in_the_way_as_it_is_typed_and_before_the_start(
    tmp_path: Path,
) -> None:
    source = adapters.write_adapter(tmp_path / "made-elsewhere")
    who = [Member(str(source), source.name, "lora", str(source), str(adapters.DEMO_MODEL))]
    for place in (source, source / "new", source.parent):
        draft = Draft.of(who).with_value("out", str(place))
        assert "name another folder" in str(merge_outlook.look_at(draft).problems), place
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        await press(pilot, "o")
        await typed(pilot, str(source / "new"))
        problem = pilot.app.screen.query_one(".problem", Static)
        await until(pilot, lambda: "which is merged: name another folder." in str(problem.content))
        await press(pilot, "escape")
        screen.form.take(screen.form.draft.with_value("out", str(source / "new")))
        await ready(pilot)
        assert "1 thing is in the way" in shown(pilot) and "t" not in keys(screen)
