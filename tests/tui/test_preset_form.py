"""The preset form by keys alone: editing, problems, what follows, and the way to the disk."""

from pathlib import Path

import pytest
from textual.pilot import Pilot

from lora_tui.core import locations, preset_files, runs
from lora_tui.core.preset_files import Entry
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.jobs import launch
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.choose import Choose
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.preset_form import PresetForm
from lora_tui.tui.widgets.follows import Follows
from lora_tui.tui.widgets.setting_field import SettingField

from .conftest import settled, shown, toasts


async def opened(pilot: Pilot[None], path: Path, *, shipped: bool = True) -> PresetForm:
    """The form of a preset file."""
    await settled(pilot)
    form = PresetForm(Entry.read(path, shipped=shipped))
    await pilot.app.push_screen(form)
    await settled(pilot)
    return form


async def press(pilot: Pilot[None], *keys: str) -> None:
    await pilot.press(*keys)
    await settled(pilot)


def mine() -> Path:
    return preset_files.save(Preset(description="Mine."), "mine")


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


async def test_saving_a_shipped_preset_makes_a_preset_of_ones_own(shipped: Path) -> None:
    before = (shipped / "demo.toml").read_bytes()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "s")
        assert isinstance(app.screen, Ask)
        await press(pilot, "enter")
        assert "my-demo  saved" in shown(pilot)
        await press(pilot, "escape")
        assert not isinstance(app.screen, PresetForm)
    assert (shipped / "demo.toml").read_bytes() == before
    assert preset_files.find("my-demo").lora.method == "full"


async def test_ones_own_preset_is_saved_in_its_place_by_either_key() -> None:
    path = mine()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, path, shipped=False)
        await press(pilot, "2", "right", "s")
        assert preset_files.load(path).lora.method == "full"
        await press(pilot, "j", "enter", "end", "4", "ctrl+s")
        assert preset_files.load(path).lora.r == 164


async def test_a_preset_is_saved_in_the_file_it_was_opened_from() -> None:
    other = preset_files.save(Preset(description="Another."), "my-preset")
    path = other.with_name("My Preset.toml")
    path.write_text('description = "Mine."\n')
    before = other.read_bytes()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, path, shipped=False)
        await press(pilot, "2", "right", "s")
        assert "My Preset  saved" in shown(pilot)
    assert preset_files.load(path).lora.method == "full"
    assert other.read_bytes() == before


async def test_save_as_asks_before_it_replaces(shipped: Path) -> None:
    path = mine()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "a")
        await press(pilot, *"mine", "enter")
        assert isinstance(app.screen, Confirm)
        assert "mine exists" in shown(pilot)
        await press(pilot, "n")
        assert preset_files.load(path).lora.method == "lora"
        await press(pilot, "a", *"No/pe")
        assert "take no-pe" in shown(pilot)


async def test_a_file_changed_by_another_program_is_not_overwritten_unasked() -> None:
    path = mine()
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, path, shipped=False)
        await press(pilot, "2", "right")
        path.write_text("[lora]\nr = 5\n")
        await press(pilot, "s")
        assert "was changed by another program" in " ".join(shown(pilot).split())
        await press(pilot, "n")
        assert preset_files.load(path).lora.r == 5
        path.unlink()
        await press(pilot, "s")
        assert "was removed" in " ".join(shown(pilot).split())
        await press(pilot, "y")
        assert preset_files.load(path).lora.method == "full"


async def test_a_vanished_file_is_told_when_the_difference_is_asked_for() -> None:
    path = mine()
    app = LoraTuiApp()
    async with app.run_test(size=(160, 30), notifications=True) as pilot:
        form = await opened(pilot, path, shipped=False)
        await press(pilot, "2", "right")
        path.unlink()
        await press(pilot, "f")
        assert "There is no preset at" in toasts(pilot)
        assert app.screen is form


async def test_the_difference_names_key_was_and_is(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "j", "enter", "end", "x", "enter", "f")
        assert isinstance(app.screen, Notice)
        assert "lora.method  lora  →  full" in shown(pilot)
        assert "lora.r         16  →  16x" in shown(pilot)


async def test_leaving_asks_about_unsaved_changes(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        form = await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "escape")
        assert "Unsaved changes" in shown(pilot) and "lora.method" in shown(pilot)
        await press(pilot, "escape")
        assert app.screen is form
        await press(pilot, "escape")
        await press(pilot, "j", "enter")
        assert app.screen is app.screen_stack[0]
        assert not locations.user_presets_folder().exists()


async def test_train_takes_what_is_on_the_screen(
    shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened_runs: list[Run] = []
    monkeypatch.setattr(launch, "launch", lambda run, verb="train": None)
    monkeypatch.setattr(LoraTuiApp, "open_run", lambda self, run: opened_runs.append(run))
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await opened(pilot, shipped / "demo.toml")
        await press(pilot, "2", "right", "t")
        await press(pilot, "enter")
    (run,) = runs.list_runs()
    assert opened_runs == [run]
    assert preset_files.load(run.preset).lora.method == "full"


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
