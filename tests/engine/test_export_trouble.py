"""What goes wrong with an export: named, and with nothing half-written under a final name."""

import json
import os
import re
import resource
import shutil
import signal
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from lora_tui.core import export_tools
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.quantisation import QUANTS
from lora_tui.core.runs import is_alive
from lora_tui.engine import quantiser
from tests.adapters import DEMO_MODEL, of_other_shape, write_adapter
from tests.engine.exports import create, export, left_behind, seen

TOOLS = export_tools.find()


def copied(folder: Path, change=lambda _: None, name: str = "config.json") -> Path:
    """The demo's model with one of its files changed."""
    shutil.copytree(DEMO_MODEL, folder, dirs_exist_ok=True)
    document = json.loads((folder / name).read_text("utf-8"))
    change(document)
    (folder / name).write_text(json.dumps(document), "utf-8")
    return folder


@contextmanager
def no_larger_than(size):
    """Files cannot grow beyond this, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def add_token(tokenizer):
    last = {**tokenizer["added_tokens"][0], "id": 2048, "content": "<|more|>"}
    tokenizer["added_tokens"].append(last)


@pytest.mark.parametrize(
    ("change", "name", "said"),
    [
        (
            lambda config: config.update(architectures=["NoSuchForCausalLM"]),
            "config.json",
            "does not know",
        ),
        (add_token, "tokenizer.json", r"The tokenizer has token 2,048, .*embeds 2048 only"),
        (
            lambda tokenizer: tokenizer.update(pre_tokenizer=None),
            "tokenizer.json",
            "no pre_tokenizer at all",
        ),
        (lambda config: config.update(num_hidden_layers=2), "config.json", "Can not map tensor"),
    ],
)
def test_what_the_converter_does_not_take_is_said_in_words(change, name, said, tmp_path):
    from lora_tui.engine import converter

    source = copied(tmp_path / "model", change, name)
    with pytest.raises(LoraTuiError, match=said) as raised:
        converter.convert(TOOLS, source, tmp_path / "x.gguf", "f16")
    assert raised.value.hint


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # the converter leaves it
def test_a_disk_that_fills_up_is_named_and_a_cut_file_is_no_success(tmp_path):
    from lora_tui.engine import export_source

    f16 = tmp_path / "f16.gguf"
    with no_larger_than(1_000_000), pytest.raises(LoraTuiError, match=r"The disk of .* is full"):
        export_source.convert(TOOLS, DEMO_MODEL, f16, QUANTS["f16"])
    export_source.convert(TOOLS, DEMO_MODEL, f16, QUANTS["f16"])
    target = tmp_path / "q8_0.gguf"
    with no_larger_than(2_000_000), pytest.raises(LoraTuiError):
        quantiser.quantise(
            TOOLS,
            f16,
            target,
            QUANTS["q8_0"],
            matrix=None,
            folder=tmp_path / "request",
            on_share=lambda _: None,
        )


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """The demo with one weight that f16 does not hold."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = copied(tmp_path_factory.mktemp("models") / "large")
    model = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = 1e6
    model.save_pretrained(folder)
    return folder


def test_one_refused_type_does_not_keep_the_others(large, engines, tmp_path):
    found = seen(export(engines, large, "f16,q8_0,iq2_xxs", tmp_path, rows=1))
    assert found.ended == "finished"
    f16, q8_0, iq2 = found.files
    assert f16.state == "refused" and "65,504" in f16.refused["summary"]
    assert q8_0.state == "done" and "f32" in q8_0.proof.figures
    assert iq2.state == "refused" and "importance matrix" in iq2.refused["summary"]
    assert "training data" in iq2.refused["summary"] and iq2.refused["hint"]
    assert left_behind(tmp_path) == []
    assert {path.suffix for path in tmp_path.glob("*.gguf")} == {".gguf"}
    assert [path.name for path in tmp_path.glob("*.gguf")] == ["large-Q8_0.gguf"]


def test_an_adapter_of_another_model_is_named(engines, tmp_path):
    other = write_adapter(tmp_path / "other", change=of_other_shape)
    ended = export(engines, other, "lora,q8_0", tmp_path / "to")
    assert ended.code == 1
    assert "shape" in ended.of("refused")[0]["summary"]
    assert ended.of("failed")[0]["hint"]
    assert list((tmp_path / "to").iterdir()) == []


def test_stopped_in_the_middle_it_leaves_what_is_whole(engines, tmp_path):
    adapter = write_adapter(tmp_path / "pirate", size=0.2)
    run = create(engines, adapter, "f16,iq4_nl,q8_0", tmp_path / "to")
    is_writing = re.compile(r"quantising to iq4_nl.*share").search
    ended = engines.stop_at(run, lambda said: bool(is_writing(said)), "export")
    assert ended.code == 0 and ended.events[-1]["kind"] == "stopped"
    assert left_behind(tmp_path / "to") == []
    assert [path.name for path in (tmp_path / "to").glob("*.gguf")] == ["pirate-F16.gguf"]
    assert not (run.path / ".quantise").exists() and not (run.path / ".merged").exists()


def test_killed_in_mid_write_nothing_has_a_final_name_and_the_next_clears_up(engines, tmp_path):
    adapter = write_adapter(tmp_path / "pirate", size=0.2)
    folder = tmp_path / "to"
    run = create(engines, adapter, "q8_0", folder)
    engine = engines.start(run, "export")
    while not list(folder.glob(".*.part")) and engine.poll() is None:
        time.sleep(0.01)
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    assert not is_alive(run)
    assert left_behind(folder) and not list(folder.glob("*.gguf"))
    assert export(engines, adapter, "q8_0", folder).code == 0
    assert left_behind(folder) == []
    assert [path.name for path in folder.glob("*.gguf")] == ["pirate-Q8_0.gguf"]
    assert not (run.path / ".merged").exists()
