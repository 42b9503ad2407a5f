"""llama.cpp's own converter, called in this process."""

import json
import shutil
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from lora_tui.core import export_tools
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.gguf import read_head
from tests.adapters import DEMO_MODEL, write_adapter


def test_each_type_and_the_libraries_beside_the_converter_that_is_used(tmp_path):
    from lora_tui.engine import converter

    packaged = export_tools.find()
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    for name in ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py"):
        shutil.copy(packaged.converter.with_name(name), folder)
    for name in ("conversion", "gguf-py"):
        shutil.copytree(packaged.converter.with_name(name), folder / name)
    own = export_tools.Tools("a user's", folder / "convert_hf_to_gguf.py")
    arguments, path = list(sys.argv), list(sys.path)
    for tools, kind in ((packaged, "f16"), (own, "f32"), (packaged, "bf16")):
        target = tmp_path / f"{kind}.gguf"
        converter.convert(tools, DEMO_MODEL, target, kind)
        head = read_head(target)
        assert head.types.get(kind, 0) >= 29
        assert head.settings["tokenizer.ggml.pre"] == "smollm"
        assert head.settings["tokenizer.ggml.add_bos_token"] is False
        for module in ("gguf", "conversion.base"):
            place = Path(str(sys.modules[module].__file__))
            assert tools.converter.parent in place.parents
    assert (sys.argv, sys.path) == (arguments, path)


def test_an_adapter_alone(tmp_path):
    from lora_tui.engine import converter

    adapter = write_adapter(tmp_path / "adapter", r=3)
    converter.convert_adapter(export_tools.find(), adapter, DEMO_MODEL, tmp_path / "a.gguf")
    head = read_head(tmp_path / "a.gguf")
    assert head.settings["general.type"] == "adapter"
    assert head.settings["adapter.lora.alpha"] == 6
    assert {entry.name.rpartition(".")[0].partition(".weight")[0] for entry in head.tensors} == {
        f"blk.{number}.{part}" for number in range(4) for part in ("attn_q", "attn_v", "ffn_down")
    }


def test_a_converter_without_the_script_for_adapters_says_what_to_do(tmp_path):
    from lora_tui.engine import converter

    tools = export_tools.Tools("old", tmp_path / "convert_hf_to_gguf.py")
    with pytest.raises(LoraTuiError, match="convert_lora_to_gguf") as raised:
        converter.convert_adapter(tools, tmp_path, DEMO_MODEL, tmp_path / "a.gguf")
    assert "Merge" in raised.value.hint


@pytest.mark.parametrize("config", [{"architectures": ["LLaDAModelLM"]}, {}])
def test_code_that_comes_with_a_model_is_not_run_unless_it_is_trusted(
    config, tmp_path, monkeypatch
):
    """llama.cpp's class for LLaDA asks transformers to trust whatever lies beside the tokenizer."""
    from transformers import dynamic_module_utils

    from lora_tui.engine import converter

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.syspath_prepend(tmp_path / "modules")
    model, ran = tmp_path / "model", tmp_path / "ran"
    shutil.copytree(DEMO_MODEL, model)
    change(model / "config.json", **config, auto_map={"AutoConfig": "tok.Own"})
    named = {"AutoTokenizer": ["tok.Own", "tok.Own"]}
    change(model / "tokenizer_config.json", auto_map=named, tokenizer_class="Own")
    (model / "tok.py").write_text(
        f"open({str(ran)!r}, 'w').close()\n"
        "from transformers import PreTrainedTokenizerFast\n"
        "class Own(PreTrainedTokenizerFast):\n    pass\n"
    )
    tools, target = export_tools.find(), tmp_path / "x.gguf"
    with pytest.raises(LoraTuiError, match=r"Python code of its own") as raised:
        converter.convert(tools, model, target, "f16")
    assert "trust_remote_code = true" in raised.value.hint and not ran.exists()
    adapter = write_adapter(tmp_path / "adapter", base=model)
    with suppress(LoraTuiError):
        converter.convert_adapter(tools, adapter, model, target)
    assert not ran.exists()
    with suppress(LoraTuiError):
        converter.convert(tools, model, target, "f16", trust=True)
    assert ran.exists() or not config


def change(path, **values):
    document = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**document, **values}), "utf-8")
