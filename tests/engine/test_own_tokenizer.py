"""The tokenizer beside an adapter is kept where it differs, and said to be."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core.errors import LoraTuiError
from tests.adapters import DEMO_MODEL


@pytest.fixture(scope="module")
def base() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(DEMO_MODEL)


@pytest.fixture
def own() -> Any:
    from lora_tui.engine import own_tokenizer

    return own_tokenizer


def beside(folder: Path, **template: str) -> Path:
    """The base's tokenizer in an adapter's folder, with another chat template if that is given."""
    folder.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (DEMO_MODEL / name).is_file():
            shutil.copyfile(DEMO_MODEL / name, folder / name)
    if template:
        (folder / "chat_template.jinja").write_text(template["template"], "utf-8")
    return folder


def changed(folder: Path) -> Path:
    """With the same tokens, which it cuts text into without looking at digits."""
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text("utf-8"))
    document["pre_tokenizer"] = {
        "type": "ByteLevel",
        "add_prefix_space": True,
        "trim_offsets": True,
        "use_regex": False,
    }
    path.write_text(json.dumps(document), "utf-8")
    return folder


def test_one_that_is_the_bases_or_none_leaves_the_bases(own, base, tmp_path):
    rows = len(base)
    (tmp_path / "bare").mkdir()
    assert own.chosen(base, tmp_path / "bare", rows) == (base, [])
    assert own.chosen(base, beside(tmp_path / "same"), rows) == (base, [])


def test_one_that_differs_is_taken_and_named(own, base, tmp_path):
    rows = len(base)
    found, said = own.chosen(base, beside(tmp_path / "t", template="{{ messages }}"), rows)
    assert found.chat_template == "{{ messages }}"
    assert said == ["The adapter brings a chat template of its own: written with it."]
    found, said = own.chosen(base, changed(beside(tmp_path / "s")), rows)
    assert found("a 12")["input_ids"] != base("a 12")["input_ids"]
    assert "a way of its own to cut text into tokens" in said[0]


def test_one_that_is_broken_or_too_large_is_not(own, base, tmp_path):
    folder = beside(tmp_path / "large")
    assert own.chosen(base, folder, len(base) - 1)[1][0].startswith("The adapter's tokenizer has")
    (folder / "tokenizer.json").write_text("{", "utf-8")
    found, said = own.chosen(base, folder, len(base))
    assert found is base and "cannot be read" in said[0]
    with pytest.raises(LoraTuiError):
        own.read(folder, len(base))


def test_several_adapters_leave_the_first_that_there_is(own, base, tmp_path):
    (tmp_path / "bare").mkdir()
    first = beside(tmp_path / "first", template="{{ messages }}")
    same, other = beside(tmp_path / "same", template="{{ messages }}"), beside(tmp_path / "other")
    (target := tmp_path / "target").mkdir()
    said = own.keep_first([tmp_path / "bare", first, same, other], len(base), target)
    assert own.read(target, len(base)).chat_template == "{{ messages }}"
    assert len(said) == 1 and said[0].startswith(f"{other} brings a chat template of its own")


def test_the_proof_of_a_merge_sees_each_difference(base, tmp_path):
    from lora_tui.engine.merge_proof import about_tokens

    same, other = beside(tmp_path / "same"), beside(tmp_path / "other", template="{{ messages }}")
    assert about_tokens(same, base, trust=False) == []
    (fault,) = about_tokens(other, base, trust=False)
    assert fault.startswith("Its chat template is not the one")
    (fault,) = about_tokens(changed(same), base, trust=False)
    assert fault.startswith("Its tokenizer makes other tokens")
