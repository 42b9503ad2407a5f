"""Rows out of files of every kind, and out of files that are broken in every way."""

import csv
import gzip
import io
import json
import tracemalloc

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from lora_tui.core.errors import LoraTuiError
from lora_tui.engine import readers
from lora_tui.engine.readers import Broken
from lora_tui.engine.rows import Rows

ROWS = [{"question": "What is 1?", "answer": "One – 1."}, {"question": "And 2?", "answer": "Two"}]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
BOM = b"\xef\xbb\xbf"


def as_csv(delimiter=","):
    text = io.StringIO()
    table = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
    table.writeheader()
    table.writerows(ROWS)
    return text.getvalue().encode()


def as_parquet():
    sink = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), sink)
    return sink.getvalue()


def as_object(**options):
    return json.dumps({"version": [1, 2], "about": {"n": 2}, "data": ROWS}, **options).encode()


def readable(value):
    """Test ids without bytes: gzip's hold the time, and differ between two workers."""
    return value if isinstance(value, str) else "bytes"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", LINES),
        ("a.ndjson", LINES.replace(b"\n", b"\r\n")),
        ("a.JSONL", BOM + LINES),
        ("a.jsonl", json.dumps(ROWS).encode()),
        ("a.json", LINES),
        ("a.json", json.dumps(ROWS, indent=1).encode()),
        ("a.json", BOM + json.dumps(ROWS).encode()),
        ("a.json", as_object()),
        ("a.json", as_object(indent=2)),
        ("a.csv", as_csv()),
        ("a.csv", BOM + as_csv(";")),
        ("a.tsv", as_csv("\t")),
        ("a.parquet", as_parquet()),
        ("a.bin", as_parquet()),
        ("a", LINES),
        ("a.jsonl.gz", gzip.compress(LINES)),
        ("a.json.gz", gzip.compress(as_object())),
        ("a.csv.gz", gzip.compress(as_csv())),
        ("a.jsonl", gzip.compress(LINES)),
    ],
    ids=readable,
)
def test_every_kind_gives_the_same_rows(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    assert list(readers.read(path)) == ROWS


def test_text_is_a_row_a_line(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("one\r\n\nzwölf\n".encode())
    assert list(readers.read(path)) == [{"text": "one"}, {"text": "zwölf"}]


@pytest.mark.parametrize(
    ("name", "broken", "reason"),
    [
        ("a.jsonl", b"nope", "not JSON"),
        ("a.jsonl", b'{"a": 1', "not JSON"),
        ("a.jsonl", b"[1]", "not a JSON object"),
        ("a.jsonl", b'{"a": "\xe4"}', "not UTF-8 text"),
        ("a.jsonl", b'{"a":' * 5000, "nested too deep"),
        ("a.csv", b"one", "1 cells under 2 columns"),
        ("a.csv", b"one,two,three", "3 cells under 2 columns"),
        ("a.csv", b"one,\xe4", "not UTF-8 text"),
        ("a.txt", b"\xe4", "not UTF-8 text"),
    ],
    ids=readable,
)
def test_a_broken_line_is_named_and_the_rest_read(name, broken, reason, tmp_path):
    path = tmp_path / name
    lines = {"a.jsonl": LINES, "a.csv": as_csv().replace(b"\r\n", b"\n"), "a.txt": b"1\n2\n"}[name]
    first, rest = lines.split(b"\n", 1)
    path.write_bytes(b"\n".join([first, broken, rest]))
    found = list(readers.read(path))
    broken = [item for item in found if isinstance(item, Broken)]
    assert [(item.file, item.line, item.reason) for item in broken] == [(name, 2, reason)]
    assert len([item for item in found if isinstance(item, dict)]) == 2


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a"])
def test_a_first_line_that_is_a_list_spoils_no_other(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(b"[1]\n" + LINES)
    assert list(readers.read(path)) == [Broken(name, 1, "not a JSON object"), *ROWS]


def test_a_line_of_gigabytes_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(readers, "LONGEST_LINE", 1 << 20)
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(LINES + b'{"question": "')
        for _ in range(64):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n' + LINES)
    tracemalloc.start()
    found = list(readers.read(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [*ROWS, Broken("a.jsonl", 3, "longer than 1 MB"), *ROWS]
    assert peak < 16 << 20


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.jsonl.gz", gzip.compress(LINES * 500)[:-20], "damaged or cut off"),
        ("a.jsonl.gz", gzip.compress(LINES)[:5], "damaged or cut off"),
        ("a.parquet", as_parquet()[:-30], "damaged or cut off"),
        ("a.parquet", b"PAR1", "damaged or cut off"),
        ("a.parquet", LINES, "not a Parquet file"),
        ("a.json", json.dumps(ROWS).encode()[:-30], "breaks off after 1 rows"),
        ("a.json", b"[" * 100_000, "nested too deep"),
        ("a.bin", b"\x00\x01", "of no kind that holds rows"),
    ],
    ids=readable,
)
def test_a_file_that_cannot_be_read_on_is_named(name, content, says, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(LoraTuiError, match=says):
        list(readers.read(path))


NAMES = ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.parquet", "a.jsonl.gz", "a", "a.xyz"]
PIECES = st.sampled_from(
    [
        *(b'{"a":1}', b"[", b"]", b"{", b"}", b",", b'"', b"\n", b"\r", b"\t", b":", b";"),
        *(b"PAR1", b"\x1f\x8b\x08", b"\x00", b"\xff", BOM, b"null", b"1e999", b'"\\ud800"'),
        b'{"rows":[{"b":2}',
    ]
)


@settings(max_examples=400)
@given(st.sampled_from(NAMES), st.lists(st.one_of(PIECES, st.binary(max_size=4)), max_size=30))
def test_no_file_ends_in_a_traceback(tmp_path_factory, name, pieces):
    path = tmp_path_factory.getbasetemp() / f"any-{name}"
    path.write_bytes(b"".join(pieces))
    try:
        found = list(readers.read(path))
    except LoraTuiError as error:
        assert str(path) in str(error) or path.name in str(error)
    else:
        assert all(isinstance(item, dict | Broken) for item in found)
        Rows(found, path.parent)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.lists(st.dictionaries(st.text(max_size=4), JSON, max_size=4), max_size=12))
def test_stored_rows_come_back_as_they_were(tmp_path_factory, rows):
    stored = Rows(rows, tmp_path_factory.getbasetemp())
    assert list(stored) == rows and stored[:] == rows
    assert stored[1:7:2] == rows[1:7:2]
    assert [stored[-1]] == rows[-1:] if rows else len(stored) == 0
    assert set(stored.columns) == {name for row in rows for name in row}


def test_many_rows_need_the_memory_of_few(tmp_path):
    def many():
        for number in range(50_000):
            yield {"question": f"What is {number}?", "answer": "x" * 100}

    tracemalloc.start()
    rows = Rows(many(), tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(rows) == 50_000 and rows[41_358]["question"] == "What is 41358?"
    assert peak < 1 << 20


def test_the_files_of_a_source_may_go_or_change(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    rows = Rows(readers.read(path), tmp_path)
    path.write_bytes(b"")
    assert list(rows) == ROWS
