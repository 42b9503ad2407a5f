"""What Home's keys do with presets and runs: train, make, stop, delete, each asked about."""

from pathlib import Path

import pytest
from textual.widgets import Input

from lora_tui.core import events, locations, preset_files, runs
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.jobs import queue
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.notice import Notice
from lora_tui.tui.screens.preset_form import PresetForm
from lora_tui.tui.widgets.run_list import RunList

from .conftest import Maker, say, settled, shown, toasts

pytestmark = pytest.mark.usefixtures("shipped")


def home(app: LoraTuiApp) -> HomeScreen:
    screen = app.screen_stack[0]
    assert isinstance(screen, HomeScreen)
    return screen


async def test_delete_asks_first(make_run: Maker) -> None:
    run = make_run("gone", "finished")
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await pilot.press("tab", "x")
        await settled(pilot)
        assert isinstance(app.screen, Confirm)
        await pilot.press("enter")  # a stray enter deletes nothing
        await settled(pilot)
        assert run.path.exists()
        await pilot.press("n", "x")
        await settled(pilot)
        await pilot.press("y")
        await settled(pilot)
        assert not run.path.exists()
        await settled(pilot)
        assert "No runs yet" in shown(pilot)


async def test_keys_are_offered_only_where_they_do_something(make_run: Maker) -> None:
    make_run("live", "running")
    make_run("crash", "crashed", number=1)
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await pilot.press("tab")
        await settled(pilot)
        last = shown(pilot).splitlines()[-1]
        assert "S stop" in last and "P pause" in last and "R resume" not in last
        await pilot.press("j")
        await settled(pilot)
        last = shown(pilot).splitlines()[-1]
        assert "S stop" not in last and "P pause" not in last and "R resume" in last
        assert last.endswith("? help")


async def test_a_run_is_paused_and_goes_on_by_the_keys_of_the_list(make_run: Maker) -> None:
    run = make_run("live", "running")
    app = LoraTuiApp()
    async with app.run_test(size=(120, 30)) as pilot:
        await settled(pilot)
        await pilot.press("tab", "P")
        await settled(pilot)
        assert run.pause.exists()
        say(run, 400.0, "paused", step=12)
        await pilot.press("r")
        await settled(pilot)
        assert "‖ live" in shown(pilot) and "R resume" in shown(pilot).splitlines()[-1]
        await pilot.press("R")  # in place: nothing is asked
        await settled(pilot)
        assert not run.pause.exists()


async def test_stopping_a_run_of_another_machine_says_so(make_run: Maker) -> None:
    make_run("far", "running")
    app = LoraTuiApp()
    async with app.run_test(size=(160, 30), notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("tab", "S")
        await settled(pilot)
        await pilot.press("y")
        await settled(pilot)
        assert "runs on here, not on this machine" in toasts(pilot)


async def test_train_starts_a_run_under_the_name_that_is_typed(
    make_run: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[runs.Run] = []
    opened: list[runs.Run] = []
    monkeypatch.setattr(queue, "submit", lambda run, verb: started.append(run))
    monkeypatch.setattr(LoraTuiApp, "open_run", lambda self, run: opened.append(run))
    make_run("other", "running")
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await pilot.press("t")
        await settled(pilot)
        assert isinstance(app.screen, Ask)
        assert app.screen.query_one(Input).value == "demo"
        assert "Hub" not in shown(pilot)
        await pilot.press("end", *"-x", "enter")  # typing at once would replace the whole name
        await settled(pilot)
        chosen = home(app).query_one(RunList).chosen
    (run,) = (run for run in runs.list_runs() if runs.read_info(run)["name"] == "demo-x")
    assert chosen == run.id, "the cursor is on the new run when one comes back"
    assert started == opened == [run]
    assert preset_files.load(run.preset).lora == Preset().lora


async def test_train_and_new_take_the_file_as_it_is_now(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        text = preset_files.dumps(Preset(name="demo", description="Changed meanwhile."))
        (shipped / "demo.toml").write_text(text)
        await pilot.press("n")
        await settled(pilot)
        assert "Changed meanwhile." in shown(pilot)
        await pilot.press("escape")
        await settled(pilot)
        for key in ("t", "n"):
            (shipped / "demo.toml").write_text("[lora]\nr = 0\n")
            await pilot.press(key)
            await settled(pilot)
            assert isinstance(app.screen, Notice)
            assert "lora.r: 0 is out of range" in shown(pilot)
            (shipped / "demo.toml").write_text(text)
            await pilot.press("escape")
            await settled(pilot)


async def test_a_run_needs_a_name_and_gets_a_free_one(make_run: Maker) -> None:
    make_run("demo", "finished")
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await pilot.press("t")
        await settled(pilot)
        assert app.screen.query_one(Input).value == "demo-2"
        await pilot.press("backspace", "enter")  # the whole text is selected at first
        await settled(pilot)
        assert isinstance(app.screen, Ask)
        assert "A run needs a name." in shown(pilot)
        await pilot.press("escape")
        await settled(pilot)
    assert len(runs.list_runs()) == 1


async def test_what_the_hub_has_to_give_is_said_before_training() -> None:
    app = LoraTuiApp()
    async with app.run_test(size=(100, 30)) as pilot:
        await settled(pilot)
        await pilot.press("G")
        await settled(pilot)
        assert "Needs the Hub, or local copies, for the model some/model" in " ".join(
            shown(pilot).split()
        )
        await pilot.press("t")
        await settled(pilot)
        assert "This needs the Hub: the model some/model and" in shown(pilot)


async def test_a_run_that_cannot_start_is_told_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "write_atomically", refuse)
    app = LoraTuiApp()
    async with app.run_test(notifications=True) as pilot:
        await settled(pilot)
        await pilot.press("t")
        await settled(pilot)
        await pilot.press("enter")
        await settled(pilot)
        assert "The run was not created" in toasts(pilot)
        assert isinstance(app.screen, HomeScreen)
    assert runs.list_runs() == []


async def test_new_makes_a_preset_of_ones_own_and_opens_it() -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await pilot.press("n")
        await settled(pilot)
        assert isinstance(app.screen, Ask)
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(app.screen, PresetForm)
        await pilot.press("escape")
        await settled(pilot)
        assert "my-demo" in [row.entry.name for row in home(app).presets]
    assert (locations.user_presets_folder() / "my-demo.toml").is_file()


async def test_a_real_engine_process_is_started_and_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole way from the key to a process, which is then ended."""
    from lora_tui.jobs import control

    monkeypatch.setattr(LoraTuiApp, "open_run", lambda self, run: None)
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        await pilot.press("t")
        await settled(pilot)
        await pilot.press("enter")
        await settled(pilot)
        (run,) = runs.list_runs()
        try:
            reported, _ = events.read_new(run.events)
            assert reported[0]["kind"] == "launched"
            home(app).look()
            await settled(pilot)
            assert home(app).query_one(RunList).chosen == run.id
        finally:
            if runs.is_alive(run):
                control.kill(run)
            assert control.wait_until_dead(run, 30)


async def test_what_cannot_start_or_is_not_safe_is_said_before_it_starts(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test() as pilot:
        await settled(pilot)
        preset = changed(Preset(name="demo"), {"data.source": "lost.jsonl"})
        (shipped / "demo.toml").write_text(preset_files.dumps(preset))
        await pilot.press("r", "t")
        await settled(pilot)
        assert isinstance(app.screen, Notice) and 'there is no "lost.jsonl"' in shown(pilot)
        await pilot.press("escape")
        await settled(pilot)
        assert "✗ gone" in shown(pilot) and 'there is no "lost.jsonl"' in shown(pilot)
        preset = changed(Preset(name="demo"), {"model.trust_remote_code": True})
        (shipped / "demo.toml").write_text(preset_files.dumps(preset))
        await pilot.press("t")
        await settled(pilot)
        assert "model.trust_remote_code is on" in " ".join(shown(pilot).split())
