"""An importance matrix: how large the inputs of each layer are on the rows it was trained on.

Where few bits are left, the quantiser spends them on the columns that large inputs meet. The
figures are those of llama.cpp's llama-imatrix (sums of squares over tokens), in its own format.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lora_tui.core import gguf as gguf_files
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.engine import data
from lora_tui.engine.exact import Exact
from lora_tui.engine.formats import Shapes
from lora_tui.engine.reading import Made, Reader
from lora_tui.engine.sources import open_source
from lora_tui.engine.templates import ChatTemplate

_MOST_TOKENS = 16_384
_MOST_ROWS = 256


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix on disk: of how many tokens it is, and which tensors have none of their own."""

    path: Path
    tokens: int
    missing: tuple[str, ...]


def compute(
    model: Any, preset: Preset, template: ChatTemplate, source: Path, target: Path, *, stop: Any
) -> Matrix:
    """Run the model over training rows and write what went into its layers.

    Args:
        model: The tuned model, in evaluation mode.
        preset: Names the rows.
        template: How they become text.
        source: The converted file: its tensors are those that get a matrix.
        target: What is written.
        stop: Its `check` leaves when that is asked for.

    Raises:
        LoraTuiError: the rows cannot be read, or there are none.
    """
    rows = list(_rows(preset, template))
    if not rows:
        raise LoraTuiError("There are no training rows to compute it from.")
    head = gguf_files.read_head(source)
    names = _names(model, head)
    sums: dict[str, torch.Tensor] = {}
    with ExitStack() as hooks, torch.inference_mode(), Exact():
        for layer, name in names:
            hooks.callback(layer.register_forward_pre_hook(_adding(sums, name)).remove)
        for ids in rows:
            stop.check()
            given = torch.tensor([ids], device=model.device)
            model(input_ids=given, use_cache=False, logits_to_keep=1)  # which nobody looks at
    tokens = sum(map(len, rows))
    _write(target, sums, tokens, str(preset.data.source))
    wanted = (one for one in head.tensors if one.name.startswith("blk.") and one.type != "f32")
    return Matrix(target, tokens, tuple(one.name for one in wanted if one.name not in sums))


def _rows(preset: Preset, template: ChatTemplate) -> Iterator[Sequence[int]]:
    """The token ids of the first training rows."""
    source = open_source(preset.data)
    reader = Reader(preset, Shapes(source.columns, preset.data), template)
    train, _ = data.split(source, preset)
    tokens = 0
    made = (one for one in reader.read(enumerate(train)) if isinstance(one, Made))
    for one in islice(made, _MOST_ROWS):
        if tokens >= _MOST_TOKENS:
            return
        tokens += len(one.example.input_ids)
        yield one.example.input_ids


def _names(model: Any, head: gguf_files.Head) -> list[tuple[nn.Module, str]]:
    """The linear layers of the blocks, each with the tensor that the converter made of it.

    The output layer has none, as llama-imatrix leaves it out unless it is asked for.
    """
    import gguf  # the converter's own: whoever calls has its folder first

    architecture = head.settings["general.architecture"]
    kind = next(one for one, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    table = gguf.get_tensor_name_map(kind, head.settings[f"{architecture}.block_count"])
    present = {entry.name for entry in head.tensors}
    found = []
    for name, layer in model.named_modules():
        if ".lora_" in name or type(layer).__name__ not in {"Linear", "Conv1D"}:
            continue
        plain = name.removeprefix("base_model.model.").removesuffix(".base_layer")
        tensor = table.get_name(f"{plain}.weight", try_suffixes=(".weight",))
        if tensor in present and tensor.startswith("blk."):
            found.append((layer, tensor))
    return found


def _adding(sums: dict[str, torch.Tensor], name: str) -> Any:
    def add(_layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        squares = inputs[0].detach().float().square().flatten(0, -2).sum(0)
        sums[name] = sums[name].add_(squares) if name in sums else squares

    return add


def _write(target: Path, sums: dict[str, torch.Tensor], tokens: int, source: str) -> None:
    """As llama-imatrix writes it (llama.cpp, tools/imatrix/imatrix.cpp)."""
    import gguf
    import numpy as np

    writer = gguf.GGUFWriter(target, arch="")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", [source])
    writer.add_uint32("imatrix.chunk_count", 1)
    writer.add_uint32("imatrix.chunk_size", tokens)
    for name, values in sums.items():
        writer.add_tensor(f"{name}.in_sum2", values.cpu().numpy()[None])
        writer.add_tensor(f"{name}.counts", np.array([[tokens]], np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
