"""Counting what is trained, from headers alone."""

import json
import struct
from pathlib import Path

import pytest

from lora_tui.core import parameters
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.parameters import count_trainable, read_base
from lora_tui.core.platforms import Platform
from lora_tui.core.preset_files import with_settings
from lora_tui.core.presets import Preset
from lora_tui.core.safetensors import read_header


def write_header(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """A safetensors file with a true header and its data left out (as a hole)."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        length = 2
        for size in shape:
            length *= size
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + length]}
        offset += length
    text = json.dumps(header | {"__metadata__": {"format": "pt"}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + offset)


@pytest.fixture
def smollm2(tmp_path: Path) -> Path:
    """SmolLM2-135M's exact shape: 30 layers, hidden 576, MLP 1536, 9 heads, 3 KV heads."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (49152, 576),
        "model.norm.weight": (576,),
    }
    for layer in range(30):
        prefix = f"model.layers.{layer}."
        shapes |= {
            f"{prefix}self_attn.q_proj.weight": (576, 576),
            f"{prefix}self_attn.k_proj.weight": (192, 576),
            f"{prefix}self_attn.v_proj.weight": (192, 576),
            f"{prefix}self_attn.o_proj.weight": (576, 576),
            f"{prefix}mlp.gate_proj.weight": (1536, 576),
            f"{prefix}mlp.up_proj.weight": (1536, 576),
            f"{prefix}mlp.down_proj.weight": (576, 1536),
            f"{prefix}input_layernorm.weight": (576,),
            f"{prefix}post_attention_layernorm.weight": (576,),
        }
    folder = tmp_path / "smollm2"
    folder.mkdir()
    write_header(folder / "model.safetensors", shapes)
    (folder / "config.json").write_text('{"tie_word_embeddings": true}')
    return folder


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["lora.r=8"], 2_442_240),
        (["lora.r=16"], 4_884_480),
        (["lora.r=64"], 19_537_920),
        (["lora.r=16", "lora.target_modules=all-linear"], 4_884_480),
        (["lora.r=16", "lora.target_modules=q_proj,v_proj"], 30 * 16 * (1152 + 768)),
        (["lora.r=16", "lora.use_dora=true"], 4_884_480 + 30 * (576 * 3 + 192 * 2 + 1536 * 2)),
        (["lora.method=full"], 134_515_008),
    ],
)
def test_parameters_of_smollm2_are_exact(smollm2: Path, settings: list[str], expected: int) -> None:
    preset = with_settings(Preset(), settings)
    trainable = count_trainable(read_base(str(smollm2)), preset)
    assert trainable.parameters == expected and trainable.total == 134_515_008
    assert trainable.saved_bytes == expected * (2 if preset.lora.method == "full" else 4)


@pytest.mark.parametrize(
    ("settings", "saved"),
    [
        ([], 9_768_960),
        (["model.dtype=float32"], 19_537_920),
        (["lora.save_dtype=float32"], 19_537_920),
        (["lora.use_dora=true"], 9_768_960 + 4 * 30 * (576 * 3 + 192 * 2 + 1536 * 2)),
        (["lora.init_lora_weights=pissa"], 2 * 19_537_920),
        (["lora.method=full"], 2 * 134_515_008),
    ],
)
def test_an_adapter_weighs_what_its_arithmetic_takes(
    smollm2: Path, settings: list[str], saved: int
) -> None:
    preset = with_settings(Preset(), settings)
    here = Platform("transformers", "cpu", bfloat16=True)
    assert count_trainable(read_base(str(smollm2)), preset, here).saved_bytes == saved


def test_an_untied_head_counts_and_gets_no_adapter_from_all_linear(tmp_path: Path) -> None:
    write_header(
        tmp_path / "model.safetensors",
        {"lm_head.weight": (10, 4), "model.layers.0.fc.weight": (4, 4)},
    )
    base = read_base(str(tmp_path))
    preset = with_settings(Preset(), ["lora.r=2", "lora.target_modules=all-linear"])
    assert base.parameters == 56 and count_trainable(base, preset).parameters == 2 * 8


def test_unknown_targets_name_those_there_are(smollm2: Path) -> None:
    with pytest.raises(LoraTuiError, match="c_attn") as caught:
        count_trainable(
            read_base(str(smollm2)), with_settings(Preset(), ["lora.target_modules=c_attn,"])
        )
    assert "q_proj" in caught.value.hint


def test_shards_and_the_hub_cache(
    smollm2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = (
        tmp_path / "hub" / "models--HuggingFaceTB--SmolLM2-135M-Instruct" / "snapshots" / "abc"
    )
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    write_header(snapshot / "a.safetensors", {"model.layers.0.q_proj.weight": (4, 4)})
    write_header(snapshot / "b.safetensors", {"model.layers.1.q_proj.weight": (4, 4)})
    weight_map = {
        "model.layers.0.q_proj.weight": "a.safetensors",
        "model.layers.1.q_proj.weight": "b.safetensors",
    }
    (snapshot / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert read_base("HuggingFaceTB/SmolLM2-135M-Instruct").parameters == 32
    assert parameters.model_folder("HuggingFaceTB/SmolLM2-135M-Instruct", "no-such-tag") is None
    for missing in ("nobody/nothing", "../../no/where", "/no/where"):
        assert parameters.model_folder(missing) is None
    with pytest.raises(LoraTuiError, match="not on this machine"):
        read_base("nobody/nothing")
    with pytest.raises(LoraTuiError, match=r'There is no model at "\./gone"'):
        read_base("./gone")


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 8, b"\xff" * 64, struct.pack("<Q", 4) + b"nope", struct.pack("<Q", 2) + b"[]"],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(LoraTuiError, match="not a readable safetensors file"):
        read_header(path)
