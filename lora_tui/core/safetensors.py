"""The header of a safetensors file: names, shapes and sizes of every tensor, without reading one.

Format: eight bytes with the header's length, little-endian, then that many bytes of JSON
(https://github.com/huggingface/safetensors#format).
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lora_tui.core.errors import LoraTuiError

_LONGEST_HEADER = 100_000_000
_DEEP = (RecursionError, OverflowError)  # what json and int raise for hostile numbers and nesting


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor as the header declares it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


def read_header(path: Path) -> list[Tensor]:
    """The tensors of one file.

    Raises:
        LoraTuiError: it is no safetensors file, or cut off.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= min(_LONGEST_HEADER, path.stat().st_size):
                raise ValueError("the header's length is impossible")
            header = json.loads(file.read(length))
        tensors = [_tensor(name, entry) for name, entry in header.items() if name != "__metadata__"]
        if 8 + length + sum(tensor.bytes for tensor in tensors) > path.stat().st_size:
            raise ValueError("it is cut off")
        return tensors
    except (OSError, ValueError, LookupError, TypeError, AttributeError, *_DEEP) as error:
        raise LoraTuiError(
            f"{path} is not a readable safetensors file: {error}.",
            "It may be half downloaded: fetch the model again.",
        ) from error


def _tensor(name: str, entry: dict[str, Any]) -> Tensor:
    start, end = entry["data_offsets"]
    return Tensor(
        name, str(entry["dtype"]), tuple(int(size) for size in entry["shape"]), end - start
    )


def read_model(folder: Path) -> list[Tensor]:
    """The tensors of a model folder, over all its shards.

    Raises:
        LoraTuiError: there is no safetensors file, or one of them cannot be read.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            names = sorted(set(json.loads(index.read_text("utf-8"))["weight_map"].values()))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, *_DEEP) as error:
            raise LoraTuiError(
                f"{index} cannot be read: {error}.", "Fetch the model again."
            ) from error
        shards = [folder / Path(name).name for name in names]
    else:
        whole = folder / "model.safetensors"
        shards = [whole] if whole.is_file() else sorted(folder.glob("*.safetensors"))
    tensors = [tensor for shard in shards for tensor in read_header(shard)]
    if not sum(tensor.elements for tensor in tensors):
        raise LoraTuiError(f"{folder} holds no safetensors model.", "Choose one in that format.")
    return tensors
