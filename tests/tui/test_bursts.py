"""The real app in a real terminal: keys that come all at once, names that are no text, and bugs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lora_tui.core import locations, preset_files
from lora_tui.core.files import private_folder
from lora_tui.core.presets import Preset
from tools.terminal import APP, Terminal

from .conftest import Maker

_EVIL = "\x1b]0;PWNED\x07"


@contextmanager
def app_with_json_run(make_run: Maker) -> Iterator[Terminal]:
    """Home with two runs, once they are listed."""
    make_run("json-one", "finished", number=1)
    make_run("other", "finished", number=2)
    with Terminal(APP) as terminal:
        terminal.wait_for(lambda text: "json-one" in text and "demo" in text)
        terminal.settle()
        yield terminal


def leave(terminal: Terminal, said: str) -> None:
    """One esc is enough to be back on Home."""
    terminal.press("\x1b")
    terminal.wait_for(lambda text: "Presets" in text and "Runs" in text and said not in text)


def test_typing_in_the_filter_opens_nothing(make_run: Maker) -> None:
    with app_with_json_run(make_run) as terminal:
        terminal.press("/")
        terminal.wait_for("show only")
        terminal.press("json")
        terminal.wait_for(lambda text: "1 of 2 with json" in text and "other" not in text)
        assert "Name of" not in terminal.text


def test_moving_ahead_in_the_form(make_run: Maker) -> None:
    with app_with_json_run(make_run) as terminal:
        terminal.press("\r")
        terminal.wait_for("[model]")
        terminal.settle()
        terminal.press("jjj")
        terminal.wait_for("▸load_in_4bit")


@pytest.mark.parametrize(
    ("state", "burst", "says"), [("running", "ss", "Stop"), ("stopped", "RR", "Resume")]
)
def test_on_a_run_too(state: str, burst: str, says: str, make_run: Maker) -> None:
    make_run("one", state)
    with Terminal(APP) as terminal:
        terminal.wait_for("one")
        terminal.press("\x1b[C\r")
        terminal.wait_for("smoothed")
        terminal.press(burst)
        terminal.wait_for(f"{says} one?")
        terminal.pump(1.0)
        terminal.press("\x1b")
        terminal.wait_for(lambda text: f"{says} one?" not in text)


@pytest.mark.parametrize(
    "burst", ["\x1b\r\x1b[B", "\x1b\t\r", "\x1bb\r"], ids=["enter", "tab", "b"]
)
def test_a_question_that_escape_leaves_is_not_answered_by_enter(
    burst: str, make_run: Maker
) -> None:
    """They come in one burst; what enter would have said yes to does not happen."""
    make_run("one", "stopped")
    with Terminal(APP) as terminal:
        terminal.wait_for("one")
        terminal.press("\x1b[C\r")
        terminal.wait_for("smoothed")
        terminal.press("R")
        terminal.wait_for("Resume one?")
        terminal.press(burst)
        terminal.wait_for(lambda text: "Resume one?" not in text)
        terminal.pump(1.0)
        assert "stopped" in terminal.text and "starting" not in terminal.text


@pytest.mark.parametrize(
    ("burst", "says"), [("tt", "Name of the run"), ("\r\r", "[model]"), ("nn", "When to pick it")]
)
def test_a_key_that_comes_twice_opens_one_thing(burst: str, says: str, make_run: Maker) -> None:
    with app_with_json_run(make_run) as terminal:
        terminal.press(burst)
        terminal.wait_for(says)
        terminal.pump(1.0)
        leave(terminal, says)


@pytest.mark.parametrize("side", ["", "\x1b[C"], ids=["presets", "runs"])
def test_keys_after_one_that_opens_a_dialogue_are_for_the_dialogue(
    side: str, make_run: Maker
) -> None:
    with app_with_json_run(make_run) as terminal:
        if side:
            terminal.press(side)
            terminal.settle()
        terminal.press("nquick\r")
        # Typed over what was suggested, accepted, and saved.
        terminal.wait_for(lambda text: "[model]" in text and "quick  saved" in text)


def test_train_and_accept_in_one_burst_starts_a_run(make_run: Maker) -> None:
    with app_with_json_run(make_run) as terminal:
        terminal.press("t\r")
        terminal.wait_for("starting")
        terminal.press("s")
        terminal.wait_for("Stop demo?")
        terminal.press("y")
        terminal.wait_for(lambda text: "stopped" in text or "finished" in text)


def test_ctrl_c_twice_asks_once(make_run: Maker) -> None:
    make_run("live", "running")
    with app_with_json_run(make_run) as terminal:
        terminal.press("\x03\x03")
        terminal.wait_for("goes on without this app")
        terminal.pump(1.0)
        leave(terminal, "goes on without")


def test_names_of_files_never_reach_the_terminal_raw(make_run: Maker) -> None:
    run = make_run("x", "finished")
    evil = run.path.with_name(f"{run.path.name}{_EVIL}")
    run.path.rename(evil)
    folder = private_folder(locations.user_presets_folder())
    (folder / f"a{_EVIL}.toml").write_text(preset_files.dumps(Preset(name=f"b{_EVIL}")))
    with Terminal(APP, size=(120, 24)) as terminal:
        terminal.wait_for("PWNED")
        for keys, says in (
            ("G\r", "[model]"),  # the form of the preset
            ("f", "Nothing differs"),
            ("2 ", "unsaved"),
            ("s", "Saved in"),
            ("t", "Name of the run"),
            ("\x1b", "[lora]"),
            ("\x1b", "Runs"),
            (":", "Search"),
            ("PWNED", "Show the run"),
            ("\x1b", "Runs"),
            ("\t\r", "loss"),
        ):
            terminal.press(keys)
            terminal.wait_for(says)
            terminal.settle(0.3)
            assert _EVIL.encode() not in terminal.raw, (keys, terminal.text)
            assert b"\x1b]0;" not in terminal.raw, (keys, terminal.text)


def test_a_key_right_after_enter_is_not_typed_into_the_field() -> None:
    with Terminal(APP) as terminal:
        terminal.wait_for("demo")
        terminal.press("\r")
        terminal.wait_for("name_or_path")
        terminal.press("3\r")  # the data table's first line, source
        terminal.wait_for("accept")
        terminal.press("x\rj")
        terminal.wait_for(lambda text: "▸weights" in text and "demox" in text)
        assert "demoxj" not in terminal.text


_BROKEN = """
from textual.binding import Binding
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.screens.home import HomeScreen

def broken(self):
    raise ZeroDivisionError("a bug [of] ours")

HomeScreen.action_{} = broken
app = LoraTuiApp()
app.run(mouse=False)
raise SystemExit(app.return_code)
"""


@pytest.mark.parametrize(("action", "key"), [("look_again", ""), ("find", "/")])
def test_a_bug_ends_the_app_with_a_sentence_and_a_log(action: str, key: str) -> None:
    with Terminal([sys.executable, "-c", _BROKEN.format(action)], size=(120, 24)) as terminal:
        if key:
            terminal.wait_for("demo")
            terminal.press(key)
        assert terminal.wait_for_end() == 1
        assert "Something went wrong in the app (ZeroDivisionError)" in terminal.text
        assert "Traceback" not in terminal.text and "Traceback" not in terminal.raw.decode()
    log = (locations.home() / "app.log").read_text()
    assert "Traceback" in log and "a bug [of] ours" in log
