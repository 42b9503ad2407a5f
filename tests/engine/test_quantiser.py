"""What is said of a file before it is made, held against what llama.cpp makes."""

import json
import re
import subprocess
import sys
from collections import Counter

import gguf
import numpy as np
import pytest

from lora_tui.core import export_tools, preset_files, quantisation
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.gguf import read_head
from lora_tui.core.gguf_tensors import Facts, weights_of
from lora_tui.core.gguf_types import types_of
from lora_tui.core.parameters import read_config
from lora_tui.core.platforms import Platform
from lora_tui.core.quantisation import QUANTS
from lora_tui.core.safetensors import read_model
from lora_tui.engine import quantiser
from lora_tui.engine.stopping import Stopping
from tests import shapes
from tests.adapters import DEMO_MODEL
from tests.shapes import tensors_of

DRY = """
import json, sys
import cyllama.llama.llama_cpp as c
said = []
c.set_log_callback(lambda _, text: said.append(text))
found = {}
for path in sys.argv[2:]:
    for name, number in json.loads(sys.argv[1]).items():
        said.clear()
        settings = c.LlamaModelQuantizeParams()
        settings.ftype, settings.nthread, settings.dry_run = number, 1, True
        c.model_quantize(path, "nothing", settings)
        found[f"{path} {name}"] = "".join(said)
print(json.dumps(found))
"""
NAMES = "SMOLLM2 LLAMA2 LLAMA3 LLAMA3_70B LLAMA32 QWEN2 QWEN2_72B MIXTRAL MOE16"
SHAPES = {name: getattr(shapes, name) for name in NAMES.split()}


def write_empty(path, config):
    """A GGUF file of these shapes whose data are a hole in the file."""
    kind = gguf.MODEL_ARCH.QWEN2 if config["model_type"] == "qwen2" else gguf.MODEL_ARCH.LLAMA
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[kind])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(512)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_tokenizer_model("none")
    writer.add_vocab_size(config["vocab_size"])
    if experts := config.get("num_local_experts"):
        writer.add_expert_count(experts)
        writer.add_expert_used_count(2)
    table = gguf.get_tensor_name_map(kind, config["num_hidden_layers"])
    size = 0
    for name, shape in _as_converted(tensors_of(config)).items():
        tensor = table.get_name(name, try_suffixes=(".weight", ".bias"))
        is_plain = len(shape) == 1 or "gate_inp" in tensor
        kind = np.dtype(np.float32 if is_plain else np.float16)
        size += -(-int(np.prod(shape)) * kind.itemsize // 32) * 32
        writer.add_tensor_info(tensor, shape, kind, int(np.prod(shape)) * kind.itemsize)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    begin = -(-writer.fout[0].tell() // 32) * 32
    writer.close()
    with path.open("r+b") as file:
        file.truncate(begin + size)


def _as_converted(tensors):
    """Experts of one layer are one tensor there."""
    found: dict[str, tuple[int, ...]] = {}
    for tensor in tensors:
        name = re.sub(r"block_sparse_moe.experts.\d+", "feed_forward.experts", tensor.name)
        name = re.sub(r"^model\.(layers.*experts)", r"\1", name)
        before = found.get(name)
        if "experts" in name:
            found[name] = ((before[0] if before else 0) + 1, *tensor.shape)
        else:
            found[name] = tensor.shape
    return found


@pytest.fixture(scope="module")
def made_dry(tmp_path_factory):
    """What llama.cpp says it would make: {(shape, type): {tensor: type}}."""
    folder = tmp_path_factory.mktemp("dry")
    for name, config in SHAPES.items():
        write_empty(folder / name, config)
    numbers = json.dumps({one.name: one.number for one in QUANTS.values()})
    done = subprocess.run(
        [sys.executable, "-c", DRY, numbers, *(str(folder / name) for name in SHAPES)],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    line = re.compile(
        r"\[ *\d+/ *\d+\] (\S+) +- \[.*?\], type = +(\S+), size = +\S+ MiB(?: -> .*?\((\S+)\))?"
    )
    return {
        tuple(place.rpartition("/")[2].split()): {
            found[1]: (found[3] or found[2]).lower() for found in line.finditer(said)
        }
        for place, said in json.loads(done.stdout).items()
    }


@pytest.mark.parametrize("shape", SHAPES)
def test_every_tensor_of_every_type_becomes_what_is_foretold(shape, made_dry):
    config = SHAPES[shape]
    weights = weights_of(tensors_of(config), config)
    for quant in QUANTS.values():
        made = made_dry[shape, quant.name]
        said = types_of(weights, Facts.of(config), quant.name, quant.type, has_matrix=False)
        assert len(made) == len(said)
        foretold = {one.name: kind for one, kind in zip(weights, said, strict=True)}
        unlike = {
            name: (made[name], kind)
            for name, kind in foretold.items()
            if name in made and made[name] != kind
        }
        assert not unlike, quant.name
        assert sum(name in made for name in foretold) >= 7 * config["num_hidden_layers"]


# --- real files of the demo ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tools():
    return export_tools.find()


@pytest.fixture(scope="module")
def f16(tools, tmp_path_factory):
    from lora_tui.engine import converter

    path = tmp_path_factory.mktemp("demo") / "f16.gguf"
    converter.convert(tools, DEMO_MODEL, path, "f16")
    return path


@pytest.fixture(scope="module")
def demo():
    """The demo's base, as it is measured."""
    from lora_tui.engine.resident import Resident

    return Resident(preset_files.find("demo"), Platform("transformers", "cpu", bfloat16=False))


@pytest.fixture(scope="module")
def matrix(demo, f16):
    from lora_tui.engine import importance

    stop, target = Stopping(lambda: None), f16.with_name("imatrix.gguf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance, "_MOST_TOKENS", 2_000)
        return importance.compute(demo.model, demo.preset, demo.template, f16, target, stop=stop)


def quantised(tools, f16, name, matrix=None):
    target = f16.with_name(f"{name}.gguf")
    shares: list[float] = []
    head = quantiser.quantise(
        tools,
        f16,
        target,
        QUANTS[name],
        matrix=matrix.path if matrix else None,
        folder=f16.with_name("request"),
        on_share=shares.append,
    )
    assert shares[-1] == 1 and shares == sorted(shares)
    return target, head


@pytest.mark.parametrize("name", ["f32", "bf16", "q8_0", "q5_0", "q4_k_m", "iq4_xs", "iq2_xxs"])
def test_a_file_is_as_foretold(name, tools, f16, request):
    used = request.getfixturevalue("matrix") if QUANTS[name].matrix else None
    target, head = quantised(tools, f16, name, used)
    foretold = quantisation.plan(read_model(DEMO_MODEL), read_config(DEMO_MODEL), name)
    assert head.types == dict(Counter(foretold.types).most_common())
    assert abs(foretold.bytes - target.stat().st_size) < 0.02 * target.stat().st_size
    assert head.settings["general.file_type"] == QUANTS[name].number
    assert not f16.with_name("request").exists()


def test_what_goes_into_a_layer_is_summed_up(matrix, demo):
    import torch

    from lora_tui.engine import importance

    found = {
        tensor.name: np.array(tensor.data)
        for tensor in gguf.GGUFReader(matrix.path).tensors
        if tensor.name.startswith("blk.0.attn")
    }
    rows = list(importance._rows(demo.preset, demo.template))
    assert 10_000 < sum(map(len, rows)) < 17_000
    counts = np.cumsum([len(ids) for ids in rows])
    rows = rows[: int(np.argmax(counts >= 2_000)) + 1]
    assert matrix.tokens == sum(map(len, rows))
    expected, layer = 0.0, demo.model.model.layers[0]
    with torch.no_grad():
        for ids in rows:
            inputs = layer.input_layernorm(demo.model.model.embed_tokens(torch.tensor(ids)))
            expected = expected + inputs.double().square().sum(0)
    for name in ("attn_q", "attn_k", "attn_v"):
        assert np.allclose(found[f"blk.0.{name}.weight.in_sum2"][0], expected, rtol=1e-5)
        assert found[f"blk.0.{name}.weight.counts"].item() == matrix.tokens
    assert matrix.missing == ()


def test_the_matrix_changes_what_is_rounded(matrix, tools, f16):
    alone = quantised(tools, f16, "q3_k_m")[0].read_bytes()
    target, _ = quantised(tools, f16, "q3_k_m", matrix)
    assert target.stat().st_size == len(alone)
    assert target.read_bytes() != alone


def test_a_type_that_needs_a_matrix_says_so(tools, f16):
    with pytest.raises(LoraTuiError, match=r"iq2_xxs: .*imatrix"):
        quantised(tools, f16, "iq2_xxs")


def test_a_built_llama_cpp_is_called_as_its_manual_says(matrix, f16, tmp_path):
    program = tmp_path / "llama-quantize"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\n"
        "import cyllama.llama.llama_cpp as c\n"
        "c.set_log_callback(lambda _, text: print(text, end=''))\n"
        "settings = c.LlamaModelQuantizeParams()\n"
        "settings.ftype = {'Q3_K_M': 12}[sys.argv[5]]\n"
        "c.model_quantize(sys.argv[3], sys.argv[4], settings)\n"
    )
    program.chmod(0o755)
    built = export_tools.Tools("built", export_tools.find().converter, program)
    target, head = quantised(built, f16, "q3_k_m", matrix)
    assert head.types["q3_k"] == 16
    assert list(quantiser._command(built, f16, target, QUANTS["q8_0"], None))[1:4] == [
        str(f16),
        str(target),
        "Q8_0",
    ]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[:-40_000], "cut off"),
        (lambda data: data[:5_000], "readable"),
        (lambda data: data.replace(b"blk.3.ffn_up.weight", b"blk.3.ffn_ab.weight"), "missing"),
    ],
)
def test_a_file_that_is_not_whole_is_found_out(damage, said, tools, f16, tmp_path):
    target, _ = quantised(tools, f16, "q8_0")
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(damage(target.read_bytes()))
    with pytest.raises(LoraTuiError, match=said):
        quantiser.read_back(broken, f16, QUANTS["q8_0"])
    with pytest.raises(LoraTuiError, match="of the type 7, not 15"):
        quantiser.read_back(target, f16, QUANTS["q4_k_m"])


def test_the_head_is_what_ggufs_own_reader_reads(f16):
    head, theirs = read_head(f16), gguf.GGUFReader(f16)
    assert [(one.name, one.start, one.bytes) for one in head.tensors] == [
        (one.name, one.data_offset, one.n_bytes) for one in theirs.tensors
    ]
    assert [one.type for one in head.tensors] == [
        one.tensor_type.name.lower() for one in theirs.tensors
    ]
    template = theirs.fields["tokenizer.chat_template"]
    assert head.settings["tokenizer.chat_template"] == template.contents()
