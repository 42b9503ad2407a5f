"""What the terminal sends, read as keys: escapes that stand alone, and the starts of sequences."""

from collections.abc import Callable

import pytest
from textual import constants, events
from textual.widgets import Input, TextArea

from lora_tui.tui.escapes import EscapeParser, apart, keep_escapes

Read = Callable[..., list[str]]


def told(event: object) -> str:
    """A key's name, or what was pasted."""
    if isinstance(event, events.Paste):
        return repr(event.text)
    return event.key if isinstance(event, events.Key) else ""


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Reads pieces of what a terminal sends, `pause` seconds apart by a clock of its own."""
    now = [0.0]
    for module in ("lora_tui.tui.escapes", "textual._parser"):
        monkeypatch.setattr(f"{module}.get_time", lambda: now[0])
    monkeypatch.setattr(constants, "DISABLE_KITTY_KEY", True)  # as the app asks for
    keep_escapes()

    def read(*pieces: str, pause: float = 0.0) -> list[str]:
        parser = EscapeParser()
        found: list[object] = []
        for piece in pieces:
            found += [*parser.feed(piece), *parser.tick()]
            now[0] += pause
            found += parser.tick()
        now[0] += 2 * constants.ESCAPE_DELAY
        found += parser.tick()
        return [told(one) for one in found]

    return read


@pytest.mark.parametrize(
    ("sent", "pressed"),
    [
        ("\x1b", "escape"),
        ("\x1b\r", "escape enter"),
        ("\x1by", "escape y"),
        ("\x1b0", "escape 0"),
        ("\x1b\t\r", "escape tab enter"),
        ("\x1b[\r", "escape left_square_bracket enter"),
        ("\x1bO\r", "escape O enter"),
        ("\x1b[", "escape left_square_bracket"),
        ("\x1b\x1b", "escape escape"),
        ("jj\x1bT\r", "j j escape T enter"),
        ("\x1b\r\x1b[B", "escape enter down"),
        ("\x1b\x1b[A\x1b", "escape up escape"),
        ("\x1b[A\x1bOP\x1b[1;5C", "up f1 ctrl+right"),
        ("\x1bb\x1bf\x1b\x7f\x1b\x08\r", "alt+b alt+f alt+backspace alt+backspace enter"),
        ("\x1b[27u\r", "escape enter"),
    ],
)
def test_an_escape_that_stands_alone_is_one(sent: str, pressed: str, read: Read) -> None:
    assert read(sent) == pressed.split()
    assert read(*sent) == pressed.split()  # one character a read, as a slow line may have it


def test_a_sequence_that_comes_in_two_reads_is_still_one(read: Read) -> None:
    assert read("\x1b", "[B") == ["down"]


def test_an_escape_that_nothing_followed_for_long_is_over(read: Read) -> None:
    late = read("\x1b", "[B", pause=constants.ESCAPE_DELAY)
    assert late == ["escape", "left_square_bracket", "B"]


@pytest.mark.parametrize("sent", ["\x1b[200~a\x1bxb\rc\x1b[201~\x1b\r", "\x1b[200~\x1b[201~"])
def test_escapes_in_a_paste_are_no_keys(sent: str, read: Read) -> None:
    wanted = ["'axb\\rc'", "escape", "enter"] if "a" in sent else ["''"]
    assert read(sent) == read(*sent) == wanted


def test_what_a_terminal_answers_is_no_key(read: Read) -> None:
    sent = "j\x1b]11;rgb:0000/0000/0000\x07k\x1bP>|xterm\x1b\\\x1b"
    assert read(sent) == read(*sent) == ["j", "k", "escape"]
    assert read("\x1b]") == ["escape", "right_square_bracket"], "nothing follows: two keys"
    assert read("\x1b]\r") == ["escape", "right_square_bracket", "enter"]


def test_a_console_of_linux_has_a_tab_of_its_own(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "linux")
    assert read("\x1b\t\x1b\r") == ["shift+tab", "escape", "enter"]


@pytest.mark.parametrize(
    ("key", "typing", "elsewhere"),
    [
        ("alt+b", "ctrl+left", "escape b"),
        ("alt+f", "ctrl+right", "escape f"),
        ("alt+backspace", "ctrl+w", "escape backspace"),
        ("enter", "enter", "enter"),
    ],
)
def test_alt_goes_by_words_where_text_is_typed(key: str, typing: str, elsewhere: str) -> None:
    pressed = events.Key(key, None)
    for widget, wanted in ((Input(), typing), (TextArea(), typing), (None, elsewhere)):
        assert [one.key for one in apart(pressed, widget)] == wanted.split()
