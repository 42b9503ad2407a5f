"""How the screens look, at 80x24 and 120x40. `pytest --snapshot-update` accepts a new look."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core import preset_files
from lora_tui.core.items import Item
from lora_tui.jobs import launch
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.check_watching import Frame
from lora_tui.tui.screens.check import CheckScreen

from .conftest import Maker, settled
from .data_reports import PRESET, ready, written

Compare = Callable[..., bool]
Prepare = Callable[[Pilot[Any]], Awaitable[None]]

pytestmark = pytest.mark.usefixtures("shipped")
both_sizes = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])


@pytest.fixture
def full_home(make_run: Maker) -> None:
    """A run of every state, and a name that is none of the terminal's business."""
    make_run("r16-alpaca", "running", number=30, steps=31)
    make_run("r8-pirate", "stopping", number=29, steps=12)
    make_run("r4-paused", "paused", number=28, steps=25)
    make_run("r32-alpaca", "queued", number=27)
    make_run("full-alpaca", "finished", number=26, steps=50)
    make_run("r64-alpaca", "failed", number=25, steps=14, summary="Out of memory at step 14.")
    make_run("[red]x[/] \x1b[31m", "finished", number=24, steps=20, most=20)
    make_run("a-name-that-is-much-too-long-for-its-column", "crashed", number=23)
    make_run("demo", "stopped", number=22, steps=30)


def keys(*pressed: str) -> Prepare:
    """Press keys one after another, each after what the one before it set going."""

    async def prepare(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        for key in pressed:
            await pilot.press(key)
            await settled(pilot)
        for field in pilot.app.screen.query("Input"):
            field.cursor_blink = False  # type: ignore[attr-defined]  # an Input
        await pilot.pause()

    return prepare


@both_sizes
def test_home_empty(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=keys())


@both_sizes
@pytest.mark.usefixtures("full_home")
def test_home_full(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=keys("tab", *"jjjjj"))


@both_sizes
def test_form(snap_compare: Compare, size: tuple[int, int]) -> None:
    shown = keys("enter", "2", "j", "enter", "end", "4", "enter", "j")
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=shown)


@both_sizes
def test_form_with_problems(snap_compare: Compare, size: tuple[int, int]) -> None:
    shown = keys("G", "enter", "4", "j", "enter", "end", "x")
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=shown)


@both_sizes
@pytest.mark.usefixtures("full_home")
def test_help(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=keys("question_mark"))


@both_sizes
@pytest.mark.usefixtures("full_home")
def test_confirm(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=keys("tab", "S"))


@both_sizes
@pytest.mark.usefixtures("full_home")
def test_quit(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=keys("q"))


@both_sizes
def test_train(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=keys("G", "t"))


@both_sizes
def test_choose(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(
        LoraTuiApp(), terminal_size=size, run_before=keys("enter", "4", *"jjj", "enter")
    )


def data(*pressed: str) -> Prepare:
    """Open the data of the first preset, and press keys."""

    async def prepare(pilot: Pilot[Any]) -> None:
        await keys("d")(pilot)
        await ready(pilot)
        for key in pressed:
            await pilot.press(key)
            await settled(pilot)
            if not pilot.app.screen.is_modal:
                await ready(pilot)

    return prepare


@pytest.fixture
def report(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a report written by hand in place of the job, of the first preset."""
    (shipped / "demo.toml").write_text(preset_files.dumps(PRESET))
    monkeypatch.setattr(launch, "located", lambda preset: preset)

    def put(**how: Any) -> None:
        run = written(**how)
        monkeypatch.setattr(launch, "start", lambda *_, **__: run)

    return put


@both_sizes
def test_data_figures(
    snap_compare: Compare, report: Callable[..., None], size: tuple[int, int]
) -> None:
    report()
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=data())


@both_sizes
def test_data_row_that_is_cut(
    snap_compare: Compare, report: Callable[..., None], size: tuple[int, int]
) -> None:
    report()
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=data("tab", "o", "o"))


def test_data_row_as_it_came(snap_compare: Compare, report: Callable[..., None]) -> None:
    report()
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=data("end", "p", "v"))


@both_sizes
def test_data_changed(
    snap_compare: Compare, report: Callable[..., None], size: tuple[int, int]
) -> None:
    report(warnings=[], remedies=[])
    change = data("m", "j", "enter", "j", "enter")
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=change)


@both_sizes
def test_data_that_failed(
    snap_compare: Compare, report: Callable[..., None], size: tuple[int, int]
) -> None:
    said = "The columns frage, antwort do not fit any known format."
    hint = 'Name them in data.columns, as in ["prompt=question", "completion=answer"].'
    report(final="failed", summary=said, hint=hint)
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=data())


def test_data_narrow(snap_compare: Compare, report: Callable[..., None]) -> None:
    report()
    assert snap_compare(LoraTuiApp(), terminal_size=(60, 20), run_before=data())


def test_data_in_ascii(
    snap_compare: Compare, report: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lora_tui.tui import look

    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    report()
    shown = data("tab", "o", "o")
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=shown)


def test_home_in_ascii(
    snap_compare: Compare, full_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lora_tui.tui import look

    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=keys("tab"))


def test_home_without_colours(
    snap_compare: Compare, full_home: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=keys("tab"))


def test_home_narrow(snap_compare: Compare, full_home: None) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=(60, 20), run_before=keys("tab"))


def test_home_tiny(snap_compare: Compare, full_home: None) -> None:
    assert snap_compare(LoraTuiApp(), terminal_size=(40, 12), run_before=keys("tab"))


def checked(*items: Item, **more: Any) -> Prepare:
    """The check of the first preset, with what it has told so far."""

    async def prepare(pilot: Pilot[Any]) -> None:
        await keys("c")(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, CheckScreen)
        screen.post_message(screen.Arrived(Frame(items, **more), screen._cancelled))
        await settled(pilot)

    return prepare


CHECKED = (
    Item("preset", "green", "unsloth on cpu, 2 threads"),
    Item(
        "model",
        "green",
        "LlamaForCausalLM, 134.5M parameters, 4.88M trained; licence apache-2.0",
    ),
    Item("tokenizer", "green", "49,152 tokens, ends with <|im_end|>"),
    Item(
        "data",
        "yellow",
        "question_answer (prompt=question, completion=answer): 400 rows to train on, 32 held out",
        "61 of 461 rows are left out: no answer (61).",
    ),
    Item("mask", "green", "55.7 % of the tokens are trained, in every row"),
    Item("disk", "green", "195 MB needed for checkpoints and result, 53.6 GB free"),
)


@both_sizes
@pytest.mark.usefixtures("no_check")
def test_check_at_work(snap_compare: Compare, size: tuple[int, int]) -> None:
    looking = checked(*CHECKED[:4], looking="mask", seconds=3)
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=looking)


@both_sizes
@pytest.mark.usefixtures("no_check")
def test_check_that_found_something_wrong(snap_compare: Compare, size: tuple[int, int]) -> None:
    red = Item(
        "memory",
        "red",
        "about 61.2 GB at the longest rows, 23.9 GB free: it does not fit.",
        "Set training.per_device_train_batch_size = 2 and "
        "training.gradient_accumulation_steps = 16: the result stays the same.",
    )
    sizes = "by installed packages: f16 270 MB, q8_0 144 MB, q4_k_m 105 MB"
    export = Item("export", "green", sizes)
    over = checked(*CHECKED, red, export, looking="", is_over=True)
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=over)


@pytest.fixture
def no_check(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No job is started: what it would tell is put in by hand."""
    monkeypatch.setattr(CheckScreen, "follow_job", lambda *_: None)
