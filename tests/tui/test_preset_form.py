"""The preset form by keys alone: editing, problems, what follows, and the way to the disk."""

from pathlib import Path

import pytest

from lora_tui.core import locations, preset_files
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.preset_form import PresetForm
from lora_tui.tui.widgets.follows import Follows
from lora_tui.tui.widgets.setting_field import SettingField

from .conftest import shown
from .preset_forms import opened, press


async def test_every_table_is_a_tab_and_every_setting_a_line(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "demo.toml")
        assert "[model] lora data training engine" in shown(pilot)
        assert "name_or_path" in shown(pilot) and "8 to 1,048,576" in shown(pilot)
        await press(pilot, "tab")
        assert "[lora]" in shown(pilot) and "lora_dropout" in shown(pilot)
        await press(pilot, "5")
        assert "[engine]" in shown(pilot) and "processes" in shown(pilot)
        await press(pilot, "tab")
        assert "[model]" in shown(pilot)
        await press(pilot, "shift+tab")
        assert "[engine]" in shown(pilot)


async def test_a_typed_value_is_taken_and_what_follows_changes_at_once(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        form = await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "j", "enter", "end", "4")  # r: 16 becomes 164
        assert form.draft.preset.lora.r == 164
        assert dict(form.query_one(Follows).forecast.steps)["alpha/r"] == "0.0976"
        assert "unsaved" in shown(pilot)
        await press(pilot, "enter", "u")
        assert form.draft.preset.lora.r == 16
        assert "unsaved" not in shown(pilot)


@pytest.mark.parametrize(
    ("keys", "text", "says"),
    [
        (("2", "j"), "0", "0 is out of range: 1 to 1"),
        (("2", "j"), "many", '"many" is not a whole number'),
        (("4", "j", "j"), "[red]", '"[red]" is not a number'),
        (("5", "j"), "gpu", '"gpu" is not auto, cpu, cuda or cuda:N'),
    ],
)
async def test_a_problem_stands_beside_the_field_and_the_text_stays(
    shipped: Path, keys: tuple[str, ...], text: str, says: str
) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        form = await opened(pilot, shipped / "demo.toml")
        await press(pilot, *keys, "enter", "end", "ctrl+u")
        await press(pilot, *text)
        assert says in " ".join(shown(pilot).split()), "while it is typed"
        await press(pilot, "enter")
        assert says in " ".join(shown(pilot).split())
        assert text in shown(pilot)
        await press(pilot, "s")
        assert isinstance(app.screen, Notice)
        assert says in shown(pilot)
        assert form.draft.problems
    assert not locations.user_presets_folder().exists()


async def test_a_path_that_is_not_there_is_marked_until_it_is(
    shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    app = LoraTuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        form = await opened(pilot, shipped / "demo.toml")
        await press(pilot, "3", "enter", "end", "ctrl+u")
        await press(pilot, *"rows.jsonl", "enter")
        assert "[data 1!]" in shown(pilot) and 'there is no "rows.jsonl"' in shown(pilot)
        await press(pilot, "2", "j", "enter", "end", "ctrl+u", "0", "enter", "3")
        assert "[data 1!]" in shown(pilot) and "lora 1!" in shown(pilot), "all at once"
        (tmp_path / "rows.jsonl").write_text("{}\n")
        form.count()
        await press(pilot)
        assert "[data]" in shown(pilot) and form.unsaved


async def test_escape_in_a_field_leaves_the_value_as_it_was(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        form = await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "j", "enter", "end", "x", "escape")
        assert form.draft.preset.lora.r == 16
        assert app.screen is form


async def test_settings_that_do_not_go_together_are_told(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "full.toml")
        await press(pilot, "j", "j", "j", "space")  # load_in_4bit with method = "full"
        assert "a 4-bit base cannot be trained whole" in shown(pilot)
        assert "[model 1!]" in shown(pilot)


async def test_choices_are_turned_and_picked(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        form = await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right")
        assert form.draft.preset.lora.method == "full"
        await press(pilot, "enter")
        assert isinstance(app.screen, Choose)
        await press(pilot, "k", "enter")
        assert form.draft.preset.lora.method == "lora"
        await press(pilot, "enter", "escape")
        assert form.draft.preset.lora.method == "lora"


async def test_code_from_the_hub_is_let_in_only_after_a_question(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        form = await opened(pilot, shipped / "demo.toml")
        await press(pilot, "G", "space")
        assert isinstance(app.screen, Confirm)
        assert "with your files and keys" in " ".join(shown(pilot).split())
        await press(pilot, "enter", "n")
        assert form.draft.preset.model.trust_remote_code is False
        await press(pilot, "space", "y")
        assert form.draft.preset.model.trust_remote_code is True
        await press(pilot, "space")
        assert form.draft.preset.model.trust_remote_code is False


async def test_a_model_that_is_not_here_is_said_to_be_missing(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "lora.toml")
        assert "some/model is not on this machine yet." in shown(pilot)
        assert "2 x 4 = 8 rows" in shown(pilot)


async def test_names_from_files_are_never_markup(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('name = "x"\n[model]\nname_or_path = "[bold red]m[/]\\u001b[0m"\n')
    app = LoraTuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot, path)
        text = shown(pilot)
        assert "[bold red]m[/]" in text
        assert "\x1b" not in text


async def test_a_list_is_typed_and_not_only_picked(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        form = await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "j", "j", "j", "j", "enter", "end", "ctrl+u")
        await press(pilot, *"q_proj, v_proj", "enter")
        assert form.draft.preset.lora.target_modules == ("q_proj", "v_proj")


@pytest.mark.parametrize(
    ("keys", "place"), [("down", 3), ("j", 3), ("pagedown", 10), ("end", -1), ("G", -1)]
)
async def test_a_table_longer_than_the_screen_is_walked_by_every_key(keys: str, place: int) -> None:
    """A pane that scrolls must not take the keys: another field than the marked would be edited."""
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        entry = next(one for one in preset_files.list_presets() if one.name == "demo")
        form = PresetForm(entry)
        await app.push_screen(form)
        await pilot.pause()
        await pilot.press("4", *[keys] * (3 if place == 3 else 1))
        await pilot.pause()
        pane = form.query_one("#training")
        fields = list(pane.query(SettingField))
        assert pane.max_scroll_y > 0, "it does not fit"
        assert form.focused is fields[place]
        assert pane.region.contains_region(fields[place].region)
