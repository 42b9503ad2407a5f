"""One GGUF file's own token ids and logits, by llama.cpp: no torch is loaded.

Requests: `open` (most tokens of a row), `texts` (each a text and whether what the tokeniser puts
round it counts), `ids` (a row, whose logits follow as float32, place by place).
"""

import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cyllama.llama import llama_cpp

from lora_tui.engine import llama

_MOST_LOGITS = 1 << 24  # computed at once: 64 MB
_F32, _OFF = 0, 0  # ggml's type, and llama.cpp's switch
_ERROR = 4


def main(file: Path) -> NoReturn:
    """Answer requests about `file`."""
    llama.serve(_Model(file).answer)


class _Weights(llama_cpp.LlamaModel):
    """With what the library's own `get_logits_ith` asks of it, and it lacks."""

    @property
    def n_vocab(self) -> int:
        return int(self.get_vocab().n_vocab)


class _Model:
    """The file, opened when that is asked for."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._said: list[str] = []
        llama_cpp.set_log_callback(self._hear)

    def _hear(self, level: int, text: str) -> None:
        if level == _ERROR:
            self._said.append(text.strip())
            print(text, end="", file=sys.stderr, flush=True)

    def answer(self, request: dict[str, Any]) -> llama.Reply:
        """Do what is asked.

        Raises:
            RuntimeError: llama.cpp cannot; its own words.
        """
        if "open" in request:
            return self._open(request["open"]), ()
        if "texts" in request:
            tokenise = self._vocabulary.tokenize
            return {"ids": [tokenise(text, added, True) for text, added in request["texts"]]}, ()
        return {}, self._logits(request["ids"])

    def _open(self, longest: int) -> dict[str, Any]:
        settings = llama_cpp.LlamaModelParams()
        settings.n_gpu_layers = 0
        try:
            self._weights = _Weights(str(self._file), settings)
            self._vocabulary = self._weights.get_vocab()
            self._context = llama_cpp.LlamaContext(self._weights, _exact(longest))
        except (ValueError, RuntimeError, MemoryError) as error:
            raise RuntimeError(self._said[0] if self._said else str(error)) from error
        vocabulary, size = self._vocabulary, self._weights.n_vocab
        return {
            "vocabulary": size,
            "eos": vocabulary.token_eos(),
            "ends": [token for token in range(size) if vocabulary.is_eog(token)],
            "bos": vocabulary.token_bos() if vocabulary.get_add_bos() else None,
            "has_template": "tokenizer.chat_template" in self._weights.metadata(),
        }

    def _logits(self, ids: Sequence[int]) -> Iterator[bytes]:
        """The logits behind each token but the last, a part of the row at a time."""
        step = max(1, _MOST_LOGITS // self._weights.n_vocab)
        packed = struct.Struct(f"{self._weights.n_vocab}f").pack
        self._context.kv_cache_clear()
        for start in range(0, len(ids) - 1, step):
            part = ids[start : min(start + step, len(ids) - 1)]
            batch = llama_cpp.LlamaBatch(n_tokens=len(part), embd=0, n_seq_max=1)
            for place, token in enumerate(part, start):
                batch.add(token, place, [0], True)
            if self._context.decode(batch):
                raise RuntimeError("llama.cpp cannot compute the row")
            for at in range(len(part)):
                yield packed(*self._context.get_logits_ith(at))


def _exact(longest: int) -> Any:
    """A context without what llama.cpp rounds for speed.

    By default it keeps keys and values in 16 bits: of an f32 file that alone is a KL of 1e-7 to
    1e-6, against 1e-12 so.
    """
    settings = llama_cpp.LlamaContextParams()
    settings.n_ctx = settings.n_batch = longest
    settings.n_ubatch = min(longest, 512)
    settings.n_threads = settings.n_threads_batch = llama.threads()
    settings.type_k = settings.type_v = _F32
    settings.flash_attn_type = _OFF
    return settings
