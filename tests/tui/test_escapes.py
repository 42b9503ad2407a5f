"""What the terminal sends, read as keys: escapes that stand alone, and the starts of sequences."""

import time

import pytest
from textual import constants, events

from lora_tui.tui.escapes import EscapeParser, keep_escapes

WAIT = constants.ESCAPE_DELAY * 1.5


def keys(*pieces: str, pause: float = 0) -> list[str]:
    """The keys that some reads from the terminal make, `pause` seconds between them."""
    keep_escapes()
    parser = EscapeParser()
    found = []
    for piece in pieces:
        found += [*parser.feed(piece), *parser.tick()]
        time.sleep(pause)
    time.sleep(WAIT)
    found += parser.tick()
    return [one.key if isinstance(one, events.Key) else type(one).__name__ for one in found]


@pytest.mark.parametrize(
    ("sent", "pressed"),
    [
        ("\x1b", "escape"),
        ("\x1b\r", "escape enter"),
        ("\x1by", "escape y"),
        ("\x1b0", "escape 0"),
        ("\x1b\x1b", "escape escape"),
        ("jj\x1bT\r", "j j escape T enter"),
        ("\x1b\r\x1b[B", "escape enter down"),
        ("\x1b\x1b[A\x1b", "escape up escape"),
        ("\x1b[A\x1bOP", "up f1"),
        ("\x1b\t\x1bb\x1b\x7f", "shift+tab ctrl+left ctrl+w"),
        ("\x1b[27u\r", "escape enter"),
        ("\x1b[200~a\rb\x1b[201~\x1b", "Paste escape"),
    ],
)
def test_an_escape_that_stands_alone_is_one(
    sent: str, pressed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys(sent) == pressed.split()
    monkeypatch.setattr(constants, "DISABLE_KITTY_KEY", True)  # as the app asks for
    assert keys(sent) == pressed.split()
    assert keys(*sent) == pressed.split()  # one character a read, as a slow line may have it


def test_a_sequence_that_comes_in_two_reads_is_still_one() -> None:
    assert keys("\x1b", "[B") == ["down"] and keys("\x1b", "\r") == ["escape", "enter"]


def test_an_escape_that_nothing_followed_for_long_is_over() -> None:
    assert keys("\x1b", "\r", pause=WAIT) == ["escape", "enter"]


def test_the_last_escape_is_not_lost_when_the_terminal_ends() -> None:
    parser = EscapeParser()
    found = [*parser.feed("\x1b"), *parser.feed("")]
    assert [one.key for one in found if isinstance(one, events.Key)] == ["escape"]
