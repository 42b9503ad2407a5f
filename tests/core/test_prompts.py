import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import prompts
from lora_tui.core.errors import BadInput, LoraTuiError

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(name: str, text: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return put


def lines(*items: Any) -> str:
    return "".join(json.dumps(item) + "\n" for item in items)


def test_what_is_kept_is_read_again_in_its_order() -> None:
    asked = ["What is tar?", "two\nlines, and a tab\t", "[bold]x[/] ünï 漢字 \x1b[31m", "a\u2028b"]
    assert [prompts.add(text) for text in asked] == [True] * 4
    assert prompts.read(prompts.kept()) == asked
    assert prompts.kept().read_text("utf-8").count("\n") == 4
    assert prompts.kept().stat().st_mode & 0o77 == 0


def test_the_same_prompt_is_kept_once() -> None:
    assert prompts.add("What is tar?")
    assert not prompts.add("What is tar?")
    assert prompts.add("What is tar? ")
    assert len(prompts.read(prompts.kept())) == 2


def test_half_a_line_at_the_end_spoils_nothing_that_follows() -> None:
    prompts.add("one")
    with prompts.kept().open("a") as file:
        file.write('"typed by hand"')
    prompts.add("two")
    assert prompts.read(prompts.kept()) == ["one", "typed by hand", "two"]


def test_a_disk_that_does_not_take_it_is_said(own_home: Path) -> None:
    prompts.kept().mkdir(parents=True)
    with pytest.raises(LoraTuiError, match="was not kept"):
        prompts.add("one")


def test_a_text_file_holds_a_prompt_a_line(write: Write) -> None:
    path = write("some.txt", "\ufeffWhat is tar?\r\n\n  [1, 2] are?  \nlast")
    assert prompts.read(path) == ["What is tar?", "[1, 2] are?", "last"]


def test_json_lines_may_be_texts_or_rows_of_data(write: Write) -> None:
    chat = [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "last\nquestion"},
        {"role": "assistant", "content": "answer"},
    ]
    path = write(
        "some.jsonl",
        lines(
            "plain", {"prompt": "a", "question": "not this"}, {"question": "b"}, {"messages": chat}
        )
        + "\n"
        + lines({"instruction": "c", "output": "d"}),
    )
    assert prompts.read(path) == ["plain", "a", "b", "last\nquestion", "c"]
    assert prompts.read(write("some.json", json.dumps(["x", {"prompt": "y"}], indent=1))) == [
        "x",
        "y",
    ]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.txt", "", "holds no prompt"),
        ("a.txt", " \n\n", "holds no prompt"),
        ("a.jsonl", "\n", "holds no prompt"),
        ("a.json", "[]", "holds no prompt"),
        ("a.jsonl", '{"prompt": "x"}\n{"prompt": \n', "line 2: no JSON"),
        ("a.jsonl", '"x"\n\n{"text": "y"}\n', "line 3: no prompt, question or messages: text"),
        ("a.jsonl", '{"prompt": 3}\n', "line 1: the prompt is no text"),
        ("a.jsonl", '{"prompt": " "}\n', "line 1: the prompt is empty"),
        ("a.jsonl", '{"messages": [{"role": "system", "content": "x"}]}\n', "line 1: the prompt"),
        ("a.jsonl", '{"messages": "x"}\n', "line 1: the prompt is no text"),
        ("a.jsonl", '"x"\nnull\n17\n', "line 2: .*\n  line 3: "),
        ("a.jsonl", "{" * 100_000 + "\n", "line 1: no JSON"),
        ("a.jsonl", "x\n" * 9, "line 5: .*\n  and 4 lines more"),
        ("a.json", '["x", 3]', "3: the prompt is no text"),
        ("a.json", '["x",\n', "see line 2"),
        ("a.txt", b"fine\n\xff\xfe", "see line 2"),
    ],
)
def test_what_is_wrong_is_named_by_its_line(
    write: Write, name: str, text: str | bytes, says: str
) -> None:
    with pytest.raises(BadInput, match=says) as told:
        prompts.read(write(name, text))
    assert told.value.hint


def test_a_file_that_is_not_there_or_is_no_list_of_prompts(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"none\.txt cannot be read: No such file"):
        prompts.read(tmp_path / "none.txt")
    with pytest.raises(BadInput, match="cannot be read: Is a directory"):
        prompts.read(tmp_path)
    large = tmp_path / "large.jsonl"
    with large.open("wb") as file:
        file.truncate(10_000_001)
    with pytest.raises(BadInput, match="10 MB: that is data"):
        prompts.read(large)
