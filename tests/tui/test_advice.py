"""Advice on the screens: in the form while it is edited, on a run, and the list behind the key."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import preset_files, runs
from lora_tui.core.advice import RULES, Advice
from lora_tui.core.preset_files import Entry, changed
from lora_tui.core.presets import Preset
from lora_tui.core.runs import Run
from lora_tui.tui import advice_flows
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.advice import AdviceList
from lora_tui.tui.screens.ask import Ask
from lora_tui.tui.screens.help import HelpScreen
from lora_tui.tui.screens.preset_form import PresetForm
from lora_tui.tui.screens.training import TrainingScreen
from lora_tui.tui.widgets.loss_chart import LossChart

from .conftest import Maker, say, settled, shown, toasts

both_sizes = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])

STEPS = {"training.max_steps": 50, "training.learning_rate": 1e-3}


async def press(pilot: Pilot[None], *keys: str) -> None:
    for key in keys:
        await pilot.press(key)
        await settled(pilot)


async def form_of(pilot: Pilot[None], preset: Preset) -> PresetForm:
    """The form of a preset of one's own."""
    await settled(pilot)
    path = preset_files.save(preset, "mine")
    form = PresetForm(Entry.read(path, shipped=False))
    await pilot.app.push_screen(form)
    await settled(pilot)
    return form


def plainly(pilot: Pilot[None]) -> str:
    """The text on the screen without its line breaks and borders."""
    return " ".join(shown(pilot).replace("│", " ").split())


# --- the form ------------------------------------------------------------------------------------


async def test_the_form_names_what_is_advised_and_follows_every_edit() -> None:
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await form_of(pilot, changed(Preset(), STEPS))
        assert "▲ 1 hint (v): few steps" in shown(pilot)
        await press(pilot, "2", "j", "j", "enter", "end", "ctrl+u", *"100", "enter")
        assert "▲ 2 hints (v): odd scale, few steps" in shown(pilot)
        await press(pilot, "enter", "end", "x", "enter")
        assert "hint" not in shown(pilot), "something is wrong with it: first things first"
        await press(pilot, "v")
        assert "Correct the preset first" in toasts(pilot)
        await press(pilot, "u")
        assert "▲ 1 hint (v): few steps" in shown(pilot)


async def test_in_a_wide_form_each_hint_stands_with_its_source() -> None:
    app = LoraTuiApp()
    async with app.run_test(size=(120, 40)) as pilot:
        await form_of(pilot, changed(Preset(), {**STEPS, "lora.target_modules": ["q_proj"]}))
        text = shown(pilot)
        assert "▲ 2 hints  v tells all" in text
        assert "attention only" in text and "TRL, lora_without_regret.md" in text
        assert "few steps" in text and "lora-tui's own rule" in text
        assert text.index("logits") < text.index("2 hints"), "below the figures"
        await pilot.resize_terminal(80, 24)
        await settled(pilot)
        assert "▲ 2 hints (v): attention only, few steps" in shown(pilot)


async def test_enter_on_advice_puts_its_change_into_the_draft() -> None:
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        form = await form_of(pilot, changed(Preset(), {**STEPS, "lora.lora_alpha": 200.0}))
        await press(pilot, "v")
        assert isinstance(app.screen, AdviceList)
        assert "The update counts 12.5 times" in plainly(pilot)
        await press(pilot, "j")
        assert "50 steps are a first look" in plainly(pilot)
        assert "source lora-tui's own rule" in plainly(pilot)
        assert "training.max_steps = 200" in shown(pilot)
        await press(pilot, "enter")
        assert isinstance(app.screen, PresetForm)
        assert form.draft.preset.training.max_steps == 200
        assert "training.max_steps = 200" in toasts(pilot)
        assert "unsaved" in shown(pilot) and "▲ 1 hint (v): odd scale" in shown(pilot)
        await press(pilot, "v", "enter", "v")
        assert form.draft.preset.lora.lora_alpha == 16.0
        assert "Nothing to advise" in shown(pilot)
        await press(pilot, "enter", "escape")
        assert isinstance(app.screen, PresetForm)
    assert preset_files.find("mine").training.max_steps == 50, "nothing is saved unasked"


async def test_a_data_report_on_the_same_rows_is_known_to_the_form() -> None:
    preset = changed(Preset(), {**STEPS, "training.max_steps": 500})
    run = runs.create(preset, kind="data")
    report = {"tokens": {"max": 90}, "train_rows": 900, "eval_rows": 9, "padding_share": 0.7}
    run.report.write_text(json.dumps(report))
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await form_of(pilot, preset)
        assert "many epochs, much padding" in shown(pilot)
        await press(pilot, "3", "G", "k", "right")  # other tokens count: another report
        assert "hint" not in shown(pilot)


async def test_a_model_that_is_not_here_leaves_the_rules_that_do_not_need_it() -> None:
    app = LoraTuiApp()
    values = {**STEPS, "model.name_or_path": "some/model", "training.learning_rate": 2e-4}
    async with app.run_test(size=(80, 24)) as pilot:
        await form_of(pilot, changed(Preset(), values))
        assert "some/model is not on this machine yet." in shown(pilot)
        assert "▲ 1 hint (v): few steps" in shown(pilot)


# --- a run ---------------------------------------------------------------------------------------


@pytest.fixture
def diverged(make_run: Maker) -> Run:
    run = make_run("r16-nan", "running", steps=20, most=500)
    say(run, 30, "step", step=21, loss="nan", seconds=21.0)
    return run


async def ready(pilot: Pilot[Any], holds: Callable[[], object]) -> None:
    """Wait for a frame of the thread that follows the run."""
    for _ in range(1000):
        if holds():
            return
        await pilot.pause(0.01)
    raise AssertionError(shown(pilot))


def title(pilot: Pilot[Any]) -> str:
    return str(pilot.app.screen.query_one(LossChart).border_title)


async def test_a_run_says_beside_its_curve_that_there_is_advice_and_makes_a_preset_of_it(
    diverged: Run,
) -> None:
    app = LoraTuiApp(open_run=diverged)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, lambda: "1 hint (v)" in title(pilot))
        await press(pilot, "v")
        assert "The loss was no number: stop" in plainly(pilot)
        assert "new preset" in shown(pilot)
        await press(pilot, "enter")
        assert isinstance(app.screen, Ask) and "New preset from r16-nan" in shown(pilot)
        await press(pilot, "enter")
        assert isinstance(app.screen, PresetForm)
        assert app.screen.draft.preset.training.learning_rate == 7e-5
        await press(pilot, "escape")
        assert isinstance(app.screen, TrainingScreen)
    assert preset_files.find("my-r16-nan").training.learning_rate == 7e-5
    assert preset_files.load(diverged.preset).training.learning_rate == 2e-4


async def test_leaving_the_name_makes_no_preset(diverged: Run) -> None:
    app = LoraTuiApp(open_run=diverged)
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, lambda: "1 hint (v)" in title(pilot))
        await press(pilot, "v", "enter", "escape")
        assert isinstance(app.screen, TrainingScreen)
        assert [entry for entry in preset_files.list_presets() if not entry.shipped] == []


async def test_a_run_without_oddities_has_no_mark_and_the_key_says_so(make_run: Maker) -> None:
    app = LoraTuiApp(open_run=make_run("calm", "running", steps=20, most=500))
    async with app.run_test(size=(80, 24)) as pilot:
        await ready(pilot, lambda: "loss" in title(pilot))
        assert "hint" not in title(pilot)
        await press(pilot, "v")
        assert "Nothing to advise: no rule speaks" in plainly(pilot)


async def test_a_run_whose_preset_is_garbage_gets_no_advice_and_the_key_says_why(
    diverged: Run,
) -> None:
    diverged.preset.write_text("schema = [")
    app = LoraTuiApp(open_run=diverged)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await ready(pilot, lambda: "loss" in title(pilot))
        assert "hint" not in title(pilot)
        await press(pilot, "v")
        assert "is not TOML" in toasts(pilot) + shown(pilot)


@both_sizes
def test_the_list_of_a_form(snap_compare: Any, size: tuple[int, int]) -> None:
    async def prepare(pilot: Pilot[None]) -> None:
        await form_of(pilot, changed(Preset(), {**STEPS, "lora.target_modules": ["q_proj"]}))
        await press(pilot, "v")

    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=prepare)


@both_sizes
@pytest.mark.usefixtures("shipped")
def test_a_run_with_advice(diverged: Run, snap_compare: Any, size: tuple[int, int]) -> None:
    async def prepare(pilot: Pilot[None]) -> None:
        await ready(pilot, lambda: "1 hint (v)" in title(pilot))
        await pilot.pause(0.2)

    assert snap_compare(LoraTuiApp(open_run=diverged), terminal_size=size, run_before=prepare)


# --- the list ------------------------------------------------------------------------------------


MANY = [
    Advice(f"rule {at}", f"Say {at}. " + "A long reason. " * (10 * at), "a book", {"lora.r": at})
    for at in range(1, 30)
]


async def listed(pilot: Pilot[Any], advices: list[Advice], taken: list[Advice]) -> None:
    """Show the list as any screen would."""

    async def take(chosen: Advice) -> None:
        taken.append(chosen)

    flow = advice_flows.show(pilot.app, advices, take, does="do it")
    pilot.app.run_worker(flow, group="dialogue", exit_on_error=False)
    await settled(pilot)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20), (40, 12)])
async def test_many_and_long_pieces_of_advice_scroll(size: tuple[int, int]) -> None:
    taken: list[Advice] = []
    app = LoraTuiApp()
    async with app.run_test(size=size) as pilot:
        await listed(pilot, MANY, taken)
        await press(pilot, "G")
        assert "rule 29" in shown(pilot) and "Say 29." in shown(pilot)
        assert "a book" not in shown(pilot) and "space more" in plainly(pilot)
        await pilot.press(*["space"] * 30)
        await settled(pilot)
        assert "a book" in shown(pilot) and "lora.r = 29" in shown(pilot)
        await press(pilot, "k")
        assert "Say 28." in shown(pilot), "another one is read from its start"
        await press(pilot, "enter")
    assert taken == [MANY[27]]


async def test_advice_that_changes_nothing_is_read_and_not_taken() -> None:
    taken: list[Advice] = []
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await listed(pilot, [Advice("more rows", "Bring more rows.", "[b]x[/] \x1b[31m")], taken)
        assert "nothing in the preset" in shown(pilot)
        assert "[b]x[/] �[31m" in shown(pilot), "no markup, and nothing a terminal would obey"
        assert "do it" not in shown(pilot)
        await press(pilot, "enter")
        assert isinstance(app.screen, AdviceList)
        await press(pilot, "q")
        assert not isinstance(app.screen, AdviceList)
    assert taken == []


async def test_the_help_tells_where_the_advice_comes_from(shipped: Path) -> None:
    app = LoraTuiApp()
    async with app.run_test(size=(80, 24)) as pilot:
        await settled(pilot)
        for keys in (("enter", "question_mark"), ("escape", "v", "question_mark")):
            await press(pilot, *keys)
            assert isinstance(app.screen, HelpScreen)
            await press(pilot, "G")
            assert "much padding" in shown(pilot) and "lora-tui's own rule" in plainly(pilot)
            rows = "\n".join(f"{key.keys} {key.does}" for key in app.screen._keys)
            assert all(f"{one.name} {one.when} ({one.source})" in rows for one in RULES)
            await press(pilot, "slash", *"padding")
            assert "more than half" in plainly(pilot) and "diverged" not in shown(pilot)
            await press(pilot, "escape")
