"""The events file: whole lines, whatever happened to it."""

import json
import multiprocessing
import os
import signal
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.core import events


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def kinds(found: list[events.Event]) -> list[str]:
    return [event["kind"] for event in found]


def test_absent_stays_absent_and_nan_is_a_word(path: Path) -> None:
    events.append(
        path, "step", step=1, loss=float("nan"), grad_norm=None, nested={"a": [float("inf")]}
    )
    written = json.loads(path.read_text())
    assert (
        written["loss"] == "nan"
        and "grad_norm" not in written
        and written["nested"] == {"a": ["inf"]}
    )
    assert written["t"] > 1e9 and path.stat().st_mode & 0o077 == 0
    assert events.figure("-inf") == float("-inf")
    assert events.figure("12") is None and events.figure(True) is None and events.figure([]) is None


def test_a_half_written_line_waits_and_a_garbage_line_is_passed_over(path: Path) -> None:
    path.write_bytes(
        b'{"kind":"a"}\nnot json\n[1]\n{"no":"kind"}\n{"kind":7}\n\xff\xfe\n'
        b'{"kind":"b"}\n{"kind":"c"'
    )
    found, offset = events.read_new(path)
    assert kinds(found) == ["a", "b"]
    with path.open("ab") as file:
        file.write(b"}\n")
    assert kinds(events.read_new(path, offset)[0]) == ["c"]


def test_an_event_after_a_torn_line_is_not_lost(path: Path) -> None:
    path.write_bytes(b'{"kind":"a"}\n{"kind":"st')
    events.append(path, "b")
    assert kinds(events.read_new(path)[0]) == ["a", "b"]


@pytest.mark.parametrize("text", ["", 'a"b\\', '"},{"kind":"x"}', "[{", "Zürich", "\n{}\n"])
def test_of_every_torn_line_nothing_or_all_is_read_and_what_follows_is_whole(
    path: Path, text: str
) -> None:
    events.append(path, "step", step=1)
    before = path.read_bytes()
    events.append(path, "sample", text=text, rows=[{"kind": "row"}, {"a": [1, 2.5]}])
    whole = path.read_bytes()
    for length in range(len(before), len(whole) + 1):
        for torn in (whole[:length], whole[:length].ljust(len(whole), b"\0")):
            path.write_bytes(torn)
            seen = kinds(events.read_new(path)[0])
            assert seen == ["step", "sample"][: 1 + (torn == whole)]
            events.append(path, "eval", step=2)
            after, _ = events.read_new(path)
            assert kinds(after) in (["step", "eval"], ["step", "sample", "eval"])
            assert after[-1]["step"] == 2
            if len(after) == 3:  # all but its line break was there
                assert after[1]["text"] == text and len(torn.rstrip(b"\n")) == len(whole) - 1


def test_a_missing_file_is_empty_and_a_shrunk_one_is_read_anew(path: Path) -> None:
    assert events.read_new(path) == ([], 0)
    assert list(events.batches(path)) == [[]]
    path.write_bytes(b'{"kind":"a"}\n')
    assert kinds(events.read_new(path, 10_000)[0]) == ["a"]


def test_a_line_longer_than_a_chunk_is_read(path: Path) -> None:
    events.append(path, "long", text="x" * 100_000)
    events.append(path, "short")
    assert kinds(events.read_new(path, most=1000)[0])[0] == "long"
    assert [kind for batch in events.batches(path) for kind in kinds(batch)] == ["long", "short"]


@given(st.lists(st.text(max_size=60), max_size=30), st.integers(1, 200))
def test_reading_in_any_pieces_gives_every_event_once(texts: list[str], most: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.jsonl"
        for text in texts:
            events.append(path, "sample", text=text)
        found, offset = [], 0
        while True:
            some, after = events.read_new(path, offset, most)
            found += [event["text"] for event in some]
            if after == offset:
                break
            offset = after
    assert found == [text.encode("utf-8", "replace").decode() for text in texts]


def _write_many(path: Path, mark: int) -> None:
    for number in range(200):
        events.append(path, "step", mark=mark, number=number, padding="x" * 500)


def test_several_writers_never_mix_their_lines(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_many, args=(path, mark)) for mark in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    lines = path.read_bytes().splitlines()
    assert len(lines) == 600
    for mark in range(3):
        assert [event["number"] for event in events.parse(lines) if event["mark"] == mark] == list(
            range(200)
        )


def test_a_signal_in_the_middle_of_an_append_may_append(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = os.fstat

    def interrupted(handle: int) -> os.stat_result:
        monkeypatch.setattr(os, "fstat", look)
        signal.raise_signal(signal.SIGUSR1)
        return look(handle)

    before = signal.signal(signal.SIGUSR1, lambda *_: events.append(path, "stopping"))
    try:
        monkeypatch.setattr(os, "fstat", interrupted)
        events.append(path, "step", step=1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert kinds(events.read_new(path)[0]) == ["stopping", "step"]


def test_both_ends_and_a_sample_of_a_long_file(path: Path) -> None:
    with path.open("w") as file:
        for step in range(5000):
            file.write(json.dumps({"kind": "step", "step": step, "loss": 1.0}) + "\n")
    head, tail = events.read_ends(path)
    assert head[0]["step"] == 0 and tail[-1]["step"] == 4999 and len(head) + len(tail) < 2000
    steps = [event["step"] for event in events.sample(path, 50)]
    assert 48 <= len(steps) <= 50 and steps == sorted(steps) and steps[0] == 0 and steps[-1] > 4800


@pytest.mark.parametrize("size", range(16_370, 16_420))
def test_the_last_line_is_in_the_tail_whatever_the_length(path: Path, size: int) -> None:
    last = b'{"kind":"finished"}\n'
    line = b'{"kind":"step","step":1}\n'
    padding = (size - len(last)) // len(line) * line
    gap = size - len(padding) - len(last)
    path.write_bytes(padding + b" " * (gap - 1) + b"\n" * bool(gap) + last)
    assert path.stat().st_size == size
    assert events.read_ends(path)[1][-1]["kind"] == "finished"


def test_a_last_line_longer_than_the_tail_is_found(path: Path) -> None:
    for step in range(1000):
        events.append(path, "step", step=step)
    events.append(path, "failed", trace_tail="x" * 200_000)
    assert events.read_ends(path)[1][-1]["kind"] == "failed"


def test_megabytes_without_a_line_break_are_passed_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "_LONGEST_LINE", 1 << 16)
    path.write_bytes(b'{"kind":"a"}\n' + b"\x00" * (1 << 20))
    assert [kind for batch in events.batches(path) for kind in kinds(batch)] == ["a"]
