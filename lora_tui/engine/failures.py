"""Exceptions of a dozen libraries in the user's words: what happened, why, and what to do."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from lora_tui.core.errors import LoraTuiError

Explanation = tuple[str, str]


def explain(error: BaseException, *, is_training: bool = True) -> Explanation:
    """The summary and the hint for an exception, judged by it and by what it came from.

    `is_training` is whether settings of a preset, or a checkpoint, could help.
    """
    chain = list(_chain(error))
    for link in chain:
        if isinstance(link, LoraTuiError):
            return link.summary, link.hint
    for rule in _RULES:
        for link in chain:
            if found := rule(link):
                return found if is_training else (found[0], _ELSEWHERE.get(rule, found[1]))
    return (
        f"{type(error).__name__}: {_first_line(error)}",
        "This is not a failure lora-tui knows. engine.log in the run's folder has the whole trace.",
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory, the GPU's or the machine's, did not suffice."""
    return any(_out_of_memory(link) is not None for link in _chain(error))


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Say which model or data set a library's failure is about: most do not."""
    try:
        yield
    except LoraTuiError:
        raise
    except Exception as error:  # each library has its own; `explain` tells them apart
        summary, hint = explain(error)
        raise LoraTuiError(f"{what}: {summary}", hint) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, then what it was raised from."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0][:300]


def _kinds(error: BaseException) -> set[str]:
    """Names of the exception's class and of those above it: no library is imported to ask."""
    return {kind.__name__ for kind in type(error).__mro__}


def _says(error: BaseException, *words: str) -> bool:
    return any(word in str(error).lower() for word in words)


def _out_of_memory(error: BaseException) -> Explanation | None:
    on_gpu = "OutOfMemoryError" in _kinds(error) or _says(
        error, "cuda out of memory", "cuda error: out of memory", "cublas_status_alloc_failed"
    )
    on_host = isinstance(error, MemoryError) or _says(
        error, "can't allocate memory", "defaultcpuallocator"
    )
    if not on_gpu and not on_host:
        return None
    place = "The GPU's memory" if on_gpu else "The machine's memory"
    return (
        f"{place} is not enough for this run.",
        "Halve training.per_device_train_batch_size and double "
        "training.gradient_accumulation_steps (the result stays the same), lower "
        "model.max_seq_length, or set training.gradient_checkpointing = true"
        + (" or model.load_in_4bit = true." if on_gpu else "."),
    )


def _disk_full(error: BaseException) -> Explanation | None:
    full = isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}
    words = ("no space left on device", "os error 28", "disk quota exceeded")
    cut_off = ("inline_container.cc", "pytorchstreamwriter failed", "iostream error")  # torch.save
    if not full and not _says(error, *words, *cut_off):
        return None
    return (
        "The disk is full.",
        "Free some room (old runs: `lora-tui runs`, `lora-tui delete`), or set LORA_TUI_HOME to a "
        "larger disk; then resume the run from its last checkpoint.",
    )


def _disk_fails(error: BaseException) -> Explanation | None:
    said = re.search(r"\(os error (\d+)\)", str(error))  # of a library in Rust
    number = error.errno if isinstance(error, OSError) else int(said[1]) if said else None
    if number not in _OF_FILES:
        return None
    name = getattr(error, "filename", None)
    return (
        f"A file cannot be read or written: {f'{name}: ' if name else ''}{os.strerror(number)}.",
        "Look at the disk (`df`, `mount`, `dmesg`) and at who owns the file; then resume the run "
        "from its last checkpoint.",
    )


_OF_FILES = {errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM, errno.ESTALE, errno.EMFILE}
_OF_FILES |= {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENFILE}


def _gated(error: BaseException) -> Explanation | None:
    # Not "gated repo" alone: the Hub's answer for a repository that does not exist says it too.
    words = ("you are trying to access a gated repo", "is a gated dataset")
    if "GatedRepoError" not in _kinds(error) and not _says(error, *words):
        return None
    return (
        "The model or data set is gated: its owner has to let you in first.",
        "Ask for access on its Hub page, then log in on this machine with `hf auth login` "
        "(or set HF_TOKEN).",
    )


def _no_network(error: BaseException) -> Explanation | None:
    kinds = _kinds(error)
    offline = kinds & {
        "OfflineModeIsEnabled",
        "LocalEntryNotFoundError",
        "ConnectError",
        "ConnectionError",
    }
    words = (
        "couldn't connect to",
        "offline mode is enabled",
        "name resolution",
        "couldn't reach",
        "network is unreachable",
    )
    if not offline and not _says(error, *words):
        return None
    return (
        "The Hub cannot be reached, and what the run needs is not on this machine.",
        "Connect this machine, or copy the model and the data here and name their folders in "
        "model.name_or_path and data.source. The demo preset needs no network.",
    )


def _not_found(error: BaseException) -> Explanation | None:
    kinds = _kinds(error)
    if "RevisionNotFoundError" in kinds or _says(error, "is not a valid git identifier"):
        return "The model has no such revision.", "Correct model.revision, or leave it empty."
    if "DatasetNotFoundError" in kinds:
        return (
            f"The data set was not found: {_first_line(error)}",
            "Correct data.source; private sets need `hf auth login` on this machine.",
        )
    unknown = kinds & {"RepositoryNotFoundError", "HFValidationError"}
    if not unknown and not _says(
        error, "is not a local folder and is not a valid model identifier"
    ):
        return None
    return (
        "The model was not found, neither as a folder here nor on the Hub.",
        "Correct model.name_or_path: owner/name, or a folder. Private models need `hf auth login`.",
    )


def _bad_split_or_config(error: BaseException) -> Explanation | None:
    if _says(error, "unknown split", "config name is missing", "bad split"):
        return (
            f"The data set has no such part: {_first_line(error)}",
            "Correct data.split; save a set of several configurations as JSON Lines first.",
        )
    if _kinds(error) & {"DataFilesNotFoundError", "DatasetGenerationError", "EmptyDatasetError"}:
        return (
            f"The data set cannot be read: {_first_line(error)}",
            "Correct data.source, or name a JSON Lines file.",
        )
    return None


def _broken_model(error: BaseException) -> Explanation | None:
    if "SafetensorError" in _kinds(error) or _says(error, "error while deserializing header"):
        return (
            "A weight file of the model is damaged or half downloaded.",
            "Fetch the model again: delete its folder in the Hub's cache, or copy it anew.",
        )
    if _says(
        error, "unrecognized model in", "does not recognize this architecture", "no file named"
    ):
        return (
            f"This is no model that transformers can load: {_first_line(error)}",
            "Name a causal language model with config.json and safetensors files "
            "in model.name_or_path.",
        )
    if _says(error, "trust_remote_code=true", "requires you to execute"):
        return (
            "The model comes with Python code of its own, which is not run unasked.",
            "If you trust its author, set model.trust_remote_code = true.",
        )
    return None


def _unknown_targets(error: BaseException) -> Explanation | None:
    if not _says(error, "target modules", "target_modules", "no modules were targeted"):
        return None
    names = re.search(r"Target modules (.+?) not found in the base model", str(error))
    return (
        f"No layer of the model is called {names[1] if names else 'as lora.target_modules says'}.",
        'Correct lora.target_modules, or set it to "all-linear", which fits every model.',
    )


def _missing_library(error: BaseException) -> Explanation | None:
    if _says(error, "bitsandbytes"):
        return (
            "4-bit loading and 8-bit optimisers need bitsandbytes, which does not work here.",
            "Install it (`pip install bitsandbytes`), or set model.load_in_4bit = false and "
            'training.optim = "adamw_torch_fused".',
        )
    if isinstance(error, ImportError):
        name = error.name or _first_line(error)
        return (
            f"A Python library is missing or broken: {name}.",
            "Run `make setup` again; `lora-tui doctor` shows what is installed.",
        )
    return None


def _chat_template(error: BaseException) -> Explanation | None:
    if not _kinds(error) & {"TemplateError", "TemplateSyntaxError", "UndefinedError"}:
        return None
    return (
        f"The model's chat template fails: {_first_line(error)}",
        "Choose the instruct version of the model, or data with a text column "
        '(data.format = "text").',
    )


def _gpu_trouble(error: BaseException) -> Explanation | None:
    if _says(
        error,
        "found no nvidia driver",
        "no cuda gpus are available",
        "torch not compiled with cuda enabled",
    ):
        return "torch sees no GPU here.", 'Check `nvidia-smi`, or set engine.device = "cpu".'
    if _kinds(error) & {"AcceleratorError"} or _says(error, "cuda error", "cublas_status"):
        return (
            f"The GPU failed: {_first_line(error)}",
            "Look at `nvidia-smi` and the system log; then resume from the last checkpoint.",
        )
    return None


_RULES = (
    _disk_full,
    _out_of_memory,
    _gated,
    _not_found,
    _no_network,
    _bad_split_or_config,
    _broken_model,
    _unknown_targets,
    _missing_library,
    _chat_template,
    _gpu_trouble,
    _disk_fails,
)


_ELSEWHERE = {
    _out_of_memory: "End what else runs (`lora-tui runs`), or use a machine with more memory.",
    _disk_full: "Free some room (`lora-tui runs`, `lora-tui delete`), then start it again.",
    _disk_fails: "Look at the disk (`df`, `mount`, `dmesg`) and at who owns the file.",
    _gpu_trouble: "Look at `nvidia-smi` and the system log, then start it again.",
}
"""What helps where nothing is trained."""


def without_tokens(text: str) -> str:
    """`text` with anything that looks like a Hub token taken out."""
    return re.sub(r"\b(hf|api_org)_[A-Za-z0-9]{16,}", r"\1_...", text)
