"""What the data screen draws: rows of any text, and bars of any lengths."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lora_tui.core import preset_files
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset
from lora_tui.tui import histogram, look, row_text
from lora_tui.tui.histogram import Lengths
from tools.terminal import APP, Terminal

from .data_reports import (
    page,
    report,
)
from .data_screens import EVIL

# --- rows --------------------------------------------------------------------------------------


@given(st.text(), st.integers(2, 40))
def test_any_text_is_calm_and_fits(text: str, width: int) -> None:
    safe = row_text.calm(text + EVIL[:120])
    assert all(character.isprintable() or character == "\n" for character in safe)
    for line in safe.split("\n"):
        assert cell_len(line) == sum(map(cell_len, line))
        pieces = list(row_text.wrapped(line, width))
        assert all(cell_len(piece) <= width for piece in pieces)
        assert "".join(pieces).replace(" ", "") == line.replace(" ", "")


def test_a_row_of_anything_is_laid_out_in_its_width() -> None:
    evil = page(0, EVIL, EVIL)
    odd = {EVIL: EVIL, "nested": [{"role": "user", "content": EVIL}], "deep": {"a": [1, None]}}
    rows = [
        *row_text.rendered(replace(evil, cut=len(evil.text) - 200), 60, 64),
        *row_text.raw(odd, 60),
        *row_text.first_rows([odd, {}], 60),
    ]
    for row in rows:
        line = "".join(text for text, _ in row)
        assert cell_len(line) <= 60 and line.isprintable()


def test_a_row_that_is_longer_than_can_be_read_is_cut_short() -> None:
    rows = row_text.raw({"a": [str(number) for number in range(100_000)]}, 60)
    assert len(rows) < 5000
    assert row_text.raw({}, 60) == ((("(an empty row)", "muted"),),)


def test_hostile_rows_do_not_disturb_a_real_terminal(tmp_path: Path) -> None:
    source = tmp_path / f"rows{'x' * 120}.jsonl"
    rows = [{"question": EVIL, "answer": EVIL}] * 3
    source.write_text("\n".join(map(json.dumps, rows)))
    preset_files.save(
        changed(Preset(), {"data.source": str(source), "model.max_seq_length": 8192}), "evil"
    )
    with Terminal(APP, size=(80, 24)) as terminal:
        terminal.wait_for("evil")
        terminal.press("Gd")
        for keys, says in (("", "as they came"), ("", "tokens"), ("\t", "trained"), ("v", "came")):
            terminal.press(keys)
            terminal.wait_for(says)
            terminal.settle(0.7)
            assert b"\x1b]0;" not in terminal.raw and b"\x1b[31m" not in terminal.raw
            lines = terminal.text.splitlines()
            assert lines[1].startswith("┌") and lines[1].endswith("┐"), terminal.text
            body = [line for line in lines[2:22] if not line.startswith("└")]
            assert all(line.startswith("│") and line.endswith("│") for line in body), terminal.text
        assert "␛]0;PWNED␇" in terminal.text


# --- the bars ----------------------------------------------------------------------------------


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("size", [(76, 8), (20, 5), (200, 30), (12, 5)])
def test_bars_fill_their_room_exactly(
    size: tuple[int, int], ascii_only: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", str(int(ascii_only)))
    look.ascii_only.cache_clear()
    width, height = size
    rows = histogram.draw(Lengths.of(report()), width, height, ascii_only=ascii_only)
    lines = ["".join(text for text, _ in row) for row in rows]
    assert len(lines) == height and all(len(line) <= width for line in lines)
    assert "\n".join(lines).isascii() or not ascii_only
    mark = "|" if ascii_only else "│"
    roles = [(text, role) for row in rows[1:-2] for text, role in row]
    assert (mark, "strong") in roles
    assert any(role == "bad" for _, role in roles) or width < 20


@pytest.mark.parametrize(
    ("counts", "width", "cut"),
    [([], 1, 10), ([0, 0], 1, 1), ([5], 1, 1000), ([10**12, 0, 1], 10**6, 8), ([1] * 241, 7, 300)],
)
def test_bars_of_odd_reports(counts: list[int], width: int, cut: int) -> None:
    found = Lengths(width, tuple(counts), 0, cut)
    for size in ((76, 8), (4, 2), (0, 0), (-1, -1)):
        rows = histogram.draw(found, *size, ascii_only=True)
        assert bool(rows) == (any(counts) and size[0] > 10)
