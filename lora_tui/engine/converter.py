"""llama.cpp's own converter, run in this process: what it imports is loaded here already.

It is a script: it is called by its `main`, writes into the log, and leaves by SystemExit.
"""

import contextlib
import functools
import json
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from transformers import AutoConfig, AutoTokenizer, dynamic_module_utils

from lora_tui.core.errors import LoraTuiError
from lora_tui.core.export_tools import Tools
from lora_tui.core.parameters import read_config
from lora_tui.engine import failures, pretokenizer

_OURS = ("gguf", "conversion", "convert_hf_to_gguf")
_REMEDY = (
    "engine.log in the export's folder has what the converter said. A newer llama.cpp may know the "
    "model: set LORA_TUI_LLAMA_CPP to its folder."
)

_CODE = "trust_remote_code=True"  # in what transformers says of code that it does not run


class TooLarge(LoraTuiError):
    """A weight lies beyond what float16 holds."""


def convert(tools: Tools, source: Path, target: Path, kind: str, *, trust: bool = False) -> None:
    """Write the model in `source` as a GGUF file of one of the types f32, f16 and bf16.

    Args:
        tools: Whose script does it.
        source: The folder of the model.
        target: The file.
        kind: One of the types.
        trust: Whether Python code that comes with the model may run.

    Raises:
        TooLarge: f16 does not hold its weights.
        LoraTuiError: the converter does not take the model.
    """
    arguments = [str(source), "--outfile", str(target), "--outtype", kind]
    with (
        _named(source),
        imported(tools.converter) as module,
        _told_pretokenizer(module),
        _foreign_code(trust=trust),
    ):
        _call(tools.converter, arguments, module.main)


def convert_adapter(
    tools: Tools, adapter: Path, base: Path, target: Path, *, trust: bool = False
) -> None:
    """Write an adapter alone as a GGUF file, in float32.

    Args:
        tools: Whose script does it.
        adapter: PEFT's folder.
        base: The folder of its base, of which the configuration is read.
        target: The file.
        trust: Whether Python code that comes with the base may run.

    Raises:
        LoraTuiError: the converter does not take the adapter.
    """
    script = tools.lora_converter
    if not script.is_file():
        raise LoraTuiError(f"{script} is missing.", "Merge the adapter and export the result.")
    arguments = [str(adapter), "--base", str(base), "--outfile", str(target), "--outtype", "f32"]
    with _named(adapter), imported(tools.converter), _foreign_code(trust=trust):
        _call(script, arguments, functools.partial(runpy.run_path, str(script), None, "__main__"))


def _call(script: Path, arguments: Sequence[str], main: Callable[[], object]) -> None:
    before, sys.argv = sys.argv, [str(script), *arguments]
    try:
        with np.errstate(over="raise"):  # numpy only warns when a weight becomes infinite
            main()
    finally:
        sys.argv = before


@contextlib.contextmanager
def imported(converter: Path) -> Iterator[ModuleType]:
    """The converter as a module, with the libraries that lie beside it and no others."""
    folder = converter.parent
    before = list(sys.path)
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        if folder not in Path(getattr(sys.modules[name], "__file__", None) or "/").parents:
            del sys.modules[name]
    sys.path[:0] = [str(folder), str(folder / "gguf-py")]
    try:
        import convert_hf_to_gguf

        yield convert_hf_to_gguf
    finally:
        sys.path[:] = before


@contextlib.contextmanager
def _foreign_code(*, trust: bool) -> Iterator[None]:
    """Keep a model's own Python code from running, whatever the script asks for.

    llama.cpp's classes ask for trust, and a model's config.json chooses the class. What comes with
    transformers is taken in place of such code; the last door is shut for whoever else loads it.
    """
    if trust:
        yield
        return
    with contextlib.ExitStack() as undo:

        def put(owner: Any, name: str, value: Any) -> None:
            undo.callback(setattr, owner, name, vars(owner)[name])
            setattr(owner, name, value)

        for owner in (AutoTokenizer, AutoConfig):
            put(owner, "from_pretrained", _untrusting(owner.from_pretrained))
        put(dynamic_module_utils, "get_class_in_module", _shut)
        yield


def _untrusting(load: Callable[..., Any]) -> Callable[..., Any]:
    def loaded(*arguments: Any, **options: Any) -> Any:
        return load(*arguments, **{**options, "trust_remote_code": False})

    return loaded


def _shut(*_arguments: Any, **_options: Any) -> None:
    raise ValueError(_CODE)


@contextlib.contextmanager
def _told_pretokenizer(module: ModuleType) -> Iterator[None]:
    """Let the converter ask us where it does not know how a tokenizer cuts text.

    What llama.cpp would assume of the first token is written down as well: its names stand for
    more than cuts.
    """
    base = sys.modules.get("conversion.base", module)
    owner: Any
    (owner,) = {
        one
        for one in vars(base).values()
        if isinstance(one, type) and "get_vocab_base_pre" in vars(one)
    }
    known = owner.get_vocab_base_pre

    def named(self: Any, tokenizer: Any) -> str:
        try:
            name = str(known(self, tokenizer))
        except NotImplementedError:  # a pre-tokeniser that the converter has no name for
            name = pretokenizer.name_in(Path(self.dir_model))
        ids = tokenizer("a")["input_ids"]
        begins = bool(ids) and tokenizer.bos_token_id is not None
        self.gguf_writer.add_add_bos_token(begins and ids[0] == tokenizer.bos_token_id)
        return name

    owner.get_vocab_base_pre = named
    try:
        yield
    finally:
        owner.get_vocab_base_pre = known


@contextlib.contextmanager
def _named(source: Path) -> Iterator[None]:
    """The converter's failures in the user's words.

    Raises:
        LoraTuiError: in place of what it raised.
    """
    try:
        yield
    except (LoraTuiError, MemoryError):
        raise
    except FloatingPointError as error:
        raise TooLarge(
            "A weight is larger than 65,504, the most that f16 holds.", "Export bf16 or f32."
        ) from error
    except SystemExit as error:  # it printed why
        if error.code:
            raise _refused(source, "it is of a kind that it does not know") from error
    except OSError:
        raise
    except Exception as error:  # scripts raise anything
        print(failures.without_tokens(traceback.format_exc()), file=sys.stderr, flush=True)
        raise _explained(source, error) from error


def _explained(source: Path, error: Exception) -> LoraTuiError:
    if failures.is_out_of_memory(error):
        summary, hint = failures.explain(error, is_training=False)
        return LoraTuiError(summary, hint)
    if _CODE in str(error):
        return LoraTuiError(
            f"{source.name} comes with Python code of its own, which is not run unasked.",
            "If you trust its author, export a run whose preset says so: "
            "model.trust_remote_code = true.",
        )
    where = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, AssertionError) and "vocab_size" in (where.line or ""):
        return _too_many_tokens(source)
    return _refused(source, f"{type(error).__name__}: {str(error) or where.line}")


def _too_many_tokens(source: Path) -> LoraTuiError:
    size = read_config(source).get("vocab_size")
    try:
        tokens = json.loads((source / "tokenizer.json").read_text("utf-8"))["added_tokens"]
        last = max(int(token["id"]) for token in tokens)
    except (OSError, ValueError, LookupError, TypeError):
        last = None
    number = f"token {last:,}" if last is not None else "more tokens"
    return LoraTuiError(
        f"The tokenizer has {number}, and the model embeds {size} only.",
        "Tokens were added without resize_token_embeddings: take the tokenizer that the model was "
        "trained with.",
    )


def _refused(source: Path, why: str) -> LoraTuiError:
    return LoraTuiError(f"llama.cpp's converter does not take {source.name}: {why}.", _REMEDY)
