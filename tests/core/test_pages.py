"""Rows to page through: written whole, read while they grow."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.core import pages
from lora_tui.core.pages import Page, Pages, PageWriter


def test_pages_are_read_as_they_were_written(tmp_path: Path) -> None:
    first = Page(0, "row 1", {"q": "übler\x1b[31m"}, "ask answer", ((4, 10),), None, 9, 3)
    second = Page(7, "row 8", {"q": 1}, left="empty answer")
    with PageWriter(tmp_path) as writer:
        writer.add(first)
        writer.add(second)
    assert list(Pages(tmp_path).look()) == [first, second]


def test_a_page_is_seen_only_once_it_is_whole(tmp_path: Path) -> None:
    found = Pages(tmp_path)
    assert len(found.look()) == 0
    with PageWriter(tmp_path) as writer:
        writer.add(Page(0, "row 1", {}))
        assert len(found.look()) == 0
        writer.flush()
        assert len(found.look()) == 1
        writer.add(Page(1, "row 2", {}))
    index = tmp_path / "rows.index"
    index.write_bytes(index.read_bytes()[:-1])  # as if the writer were in the middle of an entry
    assert len(found.look()) == 1
    assert [page.place for page in found] == ["row 1"]


def test_pages_that_come_late_stand_in_their_place(tmp_path: Path) -> None:
    found = Pages(tmp_path)
    with PageWriter(tmp_path) as writer:
        for number in (0, 1, 9, 9):
            writer.add(Page(number, f"row {number + 1}", {}))
        writer.flush()
        assert list(found.look().numbers) == [0, 1, 9, 9]
        writer.add(Page(5, "row 6", {}))
    assert list(found.look().numbers) == [0, 1, 5, 9, 9]
    assert [page.number for page in found] == [0, 1, 5, 9, 9]


def test_room_on_the_disk_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_BYTES", 500)
    with PageWriter(tmp_path) as writer:
        written = 0
        while not writer.is_full:
            writer.add(Page(written, f"row {written + 1}", {"text": "x" * 50}))
            written += 1
    assert 2 < written < 10
    assert len(Pages(tmp_path).look()) == written


def test_text_that_is_no_unicode_can_be_written(tmp_path: Path) -> None:
    with PageWriter(tmp_path) as writer:
        writer.add(Page(0, "row 1", {"text": "half \ud83d"}))
    assert Pages(tmp_path).look()[0].raw["text"] == "half ?"


@given(
    st.text(max_size=40),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=3),
    st.none() | st.integers(0, 40),
)
def test_segments_are_the_text_in_pieces(
    text: str, places: list[tuple[int, int]], cut: int | None
) -> None:
    size = len(text)
    spans = tuple((min(a, b, size), min(max(a, b), size)) for a, b in places)
    cut = None if cut is None else min(cut, size)
    segments = Page(0, "row 1", {}, text, spans, cut).segments
    assert "".join(piece for piece, _ in segments) == text
    kinds = [kind for piece, kind in segments for _ in piece]
    for at, kind in enumerate(kinds):
        is_cut = cut is not None and at >= cut
        is_trained = any(start <= at < end for start, end in spans)
        assert kind == ("cut" if is_cut else "trained" if is_trained else "given")


def test_long_values_are_shortened() -> None:
    long: dict[str, object] = {"text": "x" * (pages.LONGEST_TEXT + 5), "list": [1]}
    row = pages.shortened(long)
    assert row == {"text": "x" * pages.LONGEST_TEXT + "…", "list": [1]}
