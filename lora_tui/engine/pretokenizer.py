"""How a tokenizer cuts text before it merges, and what llama.cpp calls that.

llama.cpp's converter knows tokenizers by a digest of the ids they give. One with tokens added, or
trained anew, has other ids and cuts as before: its own `pre_tokenizer` names it then. Whether the
name is right is proven by comparing ids.
"""

import ast
import json
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from lora_tui.core.errors import LoraTuiError

_SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_SPACES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_WORD = r"[^\r\n\p{L}\p{N}]?"
_CJK = "[一-龥\u0800-一가-\ud7ff]+"

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_SHORT}|{_WORD}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{_SPACES}"
_QWEN2 = rf"{_SHORT}|{_WORD}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{_SPACES}"
_QWEN35 = (
    rf"{_SHORT}|{_WORD}[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*{_SPACES}"
)
_TEKKEN = (
    rf"{_WORD}{_UPPER}*{_LOWER}+|{_WORD}{_UPPER}+{_LOWER}*|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_SPACES}"
)
_GPT4O = (
    rf"{_WORD}{_UPPER}*{_LOWER}+{_SHORT}?|{_WORD}{_UPPER}+{_LOWER}*{_SHORT}?|\p{{N}}{{1,3}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*{_SPACES}"
)
_DEEPSEEK3 = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    rf"| ?[\p{{P}}\p{{S}}]+[\r\n]*{_SPACES}"
)
_SEED = rf"{_SHORT}|{_WORD}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+{_SPACES}"
_EXAONE = (
    rf"{_SHORT}|{_WORD}(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+"
)
_BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"
_PUNCTUATION = "punctuation"

_NAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("gpt-2", (_GPT2,)),
    ("smollm", (r"\p{N}", _GPT2)),
    ("llama-bpe", (_LLAMA3,)),
    ("qwen2", (_QWEN2,)),
    ("qwen35", (_QWEN35,)),
    ("gpt-4o", (_GPT4O,)),
    ("tekken", (_TEKKEN,)),
    ("deepseek-v3", (r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", _DEEPSEEK3)),
    ("deepseek-coder", (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _CJK, r"\p{N}")),
    ("falcon", (_PUNCTUATION, _GPT2, r"\p{N}+", "[0-9][0-9][0-9]")),
    ("seed-coder", (_SEED,)),
    ("exaone-moe", (_EXAONE,)),
    ("bloom", (_BLOOM,)),
    ("viking", (_BLOOM, r"\p{N}")),
)
"""llama.cpp's names (src/llama-vocab.cpp) and what each cuts by, one after another."""

_UNMERGED = {"llama-bpe": "smaug-bpe"}
"""The name of the same cuts where whole words are merged too (`ignore_merges` is off)."""

_REMEDY = (
    "If its base converts, its tokenizer can be taken: copy tokenizer.json from there. Else use "
    "the model with transformers, or set LORA_TUI_LLAMA_CPP to a newer llama.cpp."
)


def name_in(folder: Path) -> str:
    """What llama.cpp calls the pre-tokeniser of a model's tokenizer.json.

    Raises:
        LoraTuiError: it has no name for it, or there is none.
    """
    path = folder / "tokenizer.json"
    try:
        tokenizer = json.loads(path.read_text("utf-8"))
        model = tokenizer["model"]
        if model.get("type") != "BPE":
            raise _unknown(f"its model is of the kind {model.get('type')}, not BPE")
        _check_normalizer(tokenizer.get("normalizer"))
        cuts = tuple(map(_plain, _cuts(tokenizer.get("pre_tokenizer"))))
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise LoraTuiError(
            f"{path} cannot be read: {error}.", "Copy the model's tokenizer here again."
        ) from error
    for name, known in _NAMES:
        if cuts == tuple(map(_plain, known)):
            return name if model.get("ignore_merges") else _UNMERGED.get(name, name)
    raise _unknown(f"it cuts by {' then '.join(cuts) or 'nothing'}")


def _unknown(what: str) -> LoraTuiError:
    return LoraTuiError(f"llama.cpp has no pre-tokeniser like this model's: {what}.", _REMEDY)


def _check_normalizer(normalizer: Mapping[str, Any] | None) -> None:
    """llama.cpp changes no letter of a text before it cuts; NFC leaves nearly all of them."""
    several = (normalizer or {}).get("normalizers")
    for one in several if several is not None else [normalizer] if normalizer else []:
        if one.get("type") != "NFC":
            raise _unknown(f"its normalizer {one.get('type')} changes the text first")


def _cuts(cutter: Mapping[str, Any] | None) -> Iterator[str]:
    """What a text is cut by, one after another."""
    if cutter is None:
        raise _unknown("it has no pre_tokenizer at all")
    kind = cutter.get("type")
    if kind == "Sequence":
        for one in cutter["pretokenizers"]:
            yield from _cuts(one)
    elif kind == "ByteLevel" and not cutter.get("add_prefix_space"):
        if cutter.get("use_regex", True):
            yield _GPT2
    elif kind == "Digits":
        yield r"\p{N}" if cutter.get("individual_digits") else r"\p{N}+"
    elif kind == "Punctuation" and cutter.get("behavior") == "Contiguous":
        yield _PUNCTUATION
    elif kind == "Split" and _keeps_all(cutter):
        yield str(cutter["pattern"]["Regex"])
    else:
        raise _unknown(f"{json.dumps(cutter, ensure_ascii=False)[:200]} is not known")


def _keeps_all(split: Mapping[str, Any]) -> bool:
    """Whether what matches becomes a piece, and what lies between too."""
    how = (split.get("behavior"), bool(split.get("invert")))
    return "Regex" in split["pattern"] and how in {("Isolated", False), ("Removed", True)}


def _plain(cut: str) -> str:
    """One spelling of a regular expression that is written in several."""
    spelt = cut.replace("\r", r"\r").replace("\n", r"\n")
    spelt = spelt.replace(r"\p{N}{1,1}", r"\p{N}").replace(r"\p{N}{1}", r"\p{N}")
    spelt = spelt.replace("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", _SHORT)
    return spelt.replace(r"\"", '"').removesuffix(r"|\s+")


def require_name(folder: Path, tokenizer: Any, converter: Path) -> None:
    """Make sure, before anything is converted, that llama.cpp can cut as a tokenizer does.

    Raises:
        LoraTuiError: neither we nor the converter has a name for how it cuts.
    """
    if (folder / "tokenizer.model").is_file():  # SentencePiece: nothing is cut
        return
    try:
        name_in(folder)
    except LoraTuiError:
        if not _is_known(tokenizer, converter) and not _is_sentencepiece(folder):
            raise


def _is_sentencepiece(folder: Path) -> bool:
    """Whether a tokenizer.json is SentencePiece's in another form, which the converter knows."""
    try:
        model = json.loads((folder / "tokenizer.json").read_text("utf-8"))["model"]
        return model.get("type") != "BPE" or bool(model.get("byte_fallback"))
    except (OSError, ValueError, LookupError, AttributeError):
        return False


def _is_known(tokenizer: Any, converter: Path) -> bool:
    """Whether the converter knows the ids that a tokenizer gives.

    Read from its source: importing it takes seconds.
    """
    folder = converter.parent
    listed = folder / "conversion" / "base.py"
    source = (listed if listed.is_file() else converter).read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "chktxt":
            ids = tokenizer.encode(ast.literal_eval(node.value))
            return sha256(str(ids).encode()).hexdigest() in source
    return False
