"""Foreign text made safe, and numbers always written the same way."""

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.core import plain, text
from lora_tui.core.files import slug


@given(st.text())
def test_no_control_character_survives(foreign: str) -> None:
    shown = text.printable(foreign)
    kinds = {unicodedata.category(character) for character in shown if character not in "\n\t"}
    assert not kinds & {"Cc", "Cf", "Cs"}
    assert "\n" not in text.one_line(foreign) and "\x1b" not in shown and "\u202e" not in shown


def test_ordinary_text_stays_as_it_is() -> None:
    for words in ("plain", "Grüße, 世界 – ça va?", "[red]x[/]", "two\nlines\tand a tab"):
        assert text.printable(words) == words


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "-"),
        (312, "312"),
        (18240, "18,240"),
        (1.28412, "1.284"),
        (18240.4, "18,240"),
        (0.02134, "0.0213"),
        (1.1e-4, "1.1e-4"),
        (0.0, "0"),
        (-3.25, "-3.250"),
        (math.nan, "NaN"),
        (-math.inf, "-inf"),
        (150.4, "150"),
    ],
)
def test_numbers(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("demmo", "; did you mean demo?"),
        ("smollm", "; did you mean smollm2-135m-chat?"),
        ("CHAT", "; did you mean smollm2-135m-chat?"),
        ("nobody", "."),
        ("1", "."),
        ("", "."),
    ],
)
def test_the_nearest_name_is_said(name: str, said: str) -> None:
    assert text.did_you_mean(name, ["demo", "smollm2-135m-chat"]) == said


def test_units() -> None:
    assert (text.size(19.5e6), text.size(3.1e9), text.size(12), text.size(None)) == (
        "19.5 MB",
        "3.1 GB",
        "12 B",
        "-",
    )
    assert text.size(999.9e6) == "1 GB" and text.size(999) == "999 B"
    assert (text.share(0.0363), text.share(0.00012), text.share(1)) == (
        "3.6 %",
        "0.012 %",
        "100.0 %",
    )
    assert (
        text.duration(9.24),
        text.duration(9),
        text.duration(12.3),
        text.duration(59.6),
        text.duration(130),
        text.duration(3900),
        text.duration(273_600),
    ) == (
        "9.2 s",
        "9 s",
        "12 s",
        "01:00",
        "02:10",
        "1h05",
        "3d04h",
    )
    assert text.duration(math.inf) == "-" and text.duration(3599.9) == "1h00"
    assert (text.count(4_884_480), text.count(134_515_008), text.count(999_999), text.count(7)) == (
        "4.88M",
        "134.5M",
        "1.00M",
        "7",
    )


@given(st.text())
def test_a_slug_is_a_safe_file_name(name: str) -> None:
    made = slug(name)
    assert (
        made
        and "/" not in made
        and not made.startswith(".")
        and len(made) <= 48
        and made == made.lower()
    )
    assert slug(made) == made


def test_plain_lines_tell_what_matters_and_obey_no_control_codes() -> None:
    event = {
        "t": 0.0,
        "kind": "step",
        "step": 3,
        "loss": 1.28412,
        "learning_rate": 2e-4,
        "grad_norm": "nan",
    }
    assert str(plain.line(event, 10)).endswith("step 3/10 loss 1.284 lr 2.0e-4 grad NaN")
    failed = plain.line(
        {"t": 0.0, "kind": "failed", "summary": "\x1b[31mOut\r\nof memory.", "hint": "Halve it."}
    )
    assert failed and "\x1b" not in failed and "\n" not in failed and failed.endswith("Halve it.")
    assert plain.line({"t": 0.0, "kind": "unknown"}) is None
    for kind in plain._WORDS:
        assert plain.line({"kind": kind}) is not None


def test_no_moment_is_not_now() -> None:
    assert plain.moment(None) == plain.moment("yesterday") == "-"
