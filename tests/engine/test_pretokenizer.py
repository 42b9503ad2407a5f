"""What llama.cpp calls a tokenizer's way of cutting text, proven by the ids it gives."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from lora_tui.core import export_tools, locations
from lora_tui.core.errors import LoraTuiError
from lora_tui.engine import pretokenizer
from lora_tui.engine.probing import PROBE_TEXT
from tests.adapters import DEMO_MODEL

BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
WORDS = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def split(cut, how="isolated", invert=False):
    return pre_tokenizers.Split(Regex(cut), how, invert)


def cutters():
    """Each of llama.cpp's names, with a pre-tokeniser as models that are called so have it."""
    cuts = dict(pretokenizer._NAMES)
    found = {
        "gpt-2": [WORDS],
        "smollm": [pre_tokenizers.Digits(individual_digits=True), WORDS],
        "falcon": [
            pre_tokenizers.Punctuation("contiguous"),
            WORDS,
            pre_tokenizers.Digits(individual_digits=False),
            split("[0-9][0-9][0-9]"),
        ],
        "gpt-4o": [split(cuts["gpt-4o"][0], "removed", True), BYTES],
    }
    for name, several in cuts.items():
        found.setdefault(name, [*map(split, several), BYTES])
    return found


IDS = """
import json, sys
import cyllama.llama.llama_cpp as c
c.disable_logging()
found = {}
for path in sys.argv[2:]:
    model = c.LlamaModel(path, c.LlamaModelParams())
    found[path] = [model.get_vocab().tokenize(text, add, True)
                   for text in json.loads(sys.argv[1]) for add in (False, True)]
print(json.dumps(found))
"""
TEXTS = [
    *PROBE_TEXT.splitlines(keepends=True),
    PROBE_TEXT,
    " leading",
    "trailing  ",
    "12345678",
    "",
]


def save(folder, cutter, **options):
    """A tiny model with a tokenizer that cuts like this."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    normalizer = options.pop("normalizer", None)
    tokens = options.pop("added", [])
    bpe = Tokenizer(models.BPE(**options))
    bpe.pre_tokenizer = cutter
    if normalizer is not None:
        bpe.normalizer = normalizer
    bpe.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=700,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rows = (locations.assets_folder() / "demo-json" / "test.jsonl").read_text("utf-8")
    bpe.train_from_iterator([*rows.splitlines()[:60], PROBE_TEXT], trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|endoftext|>")
    tokenizer.add_tokens(tokens)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=max(len(tokenizer), 701),
            hidden_size=32,
            intermediate_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
        )
    ).save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="module")
def ids(tmp_path_factory):
    """For each name, the ids by transformers and by llama.cpp."""
    from lora_tui.engine import converter

    folder, tools = tmp_path_factory.mktemp("kinds"), export_tools.find()
    cases: dict[str, tuple] = {name: (several, {}) for name, several in cutters().items()}
    cases["llama-bpe"] = (cases["llama-bpe"][0], {"ignore_merges": True})
    cases["smaug-bpe"] = (cases["llama-bpe"][0], {})
    cases["qwen2"] = (cases["qwen2"][0], {"added": ["<tool>", " two words "]})
    theirs, paths = {}, {}
    for name, (several, options) in cases.items():
        place = folder / name
        tokenizer = save(place, pre_tokenizers.Sequence(several), **options)
        assert pretokenizer.name_in(place) == name
        paths[name] = str(folder / f"{name}.gguf")
        converter.convert(tools, place, folder / f"{name}.gguf", "f16")
        theirs[name] = [
            tokenizer.encode(text, add_special_tokens=add)
            for text in TEXTS
            for add in (False, True)
        ]
    done = subprocess.run(
        [sys.executable, "-c", IDS, json.dumps(TEXTS), *paths.values()],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    return {name: (theirs[name], found[path]) for name, path in paths.items()}


@pytest.mark.parametrize("name", [*dict(pretokenizer._NAMES), "smaug-bpe"])
def test_llama_cpp_gives_the_same_ids_under_that_name(name, ids):
    expected, found = ids[name]
    unlike = [
        TEXTS[number // 2]
        for number, pair in enumerate(zip(expected, found, strict=True))
        if pair[0] != pair[1]
    ]
    assert not unlike


def test_the_demo_is_cut_as_smollm_is():
    assert pretokenizer.name_in(DEMO_MODEL) == "smollm"


def test_every_name_is_one_of_llama_cpps():
    folder = export_tools.find().converter.parent
    source = (folder / "src" / "llama-vocab.cpp").read_text("utf-8")
    names = {*dict(pretokenizer._NAMES), *pretokenizer._UNMERGED.values()}
    assert not [name for name in names if f'tokenizer_pre == "{name}"' not in source]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda one: one.update(pre_tokenizer=None), "no pre_tokenizer at all"),
        (lambda one: one["pre_tokenizer"].update(type="Metaspace"), "Metaspace"),
        (
            lambda one: one["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True),
            "add_prefix_space",
        ),
        (lambda one: one["pre_tokenizer"]["pretokenizers"].pop(1), "it cuts by"),
        (lambda one: one.update(normalizer={"type": "Lowercase"}), "Lowercase"),
        (
            lambda one: one.update(
                normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Strip"}]}
            ),
            "Strip",
        ),
        (lambda one: one["model"].update(type="Unigram"), "Unigram"),
    ],
)
def test_what_has_no_name_is_told_with_what_to_do(change, said, tmp_path, tokenizer):
    document = json.loads((DEMO_MODEL / "tokenizer.json").read_text("utf-8"))
    change(document)
    (tmp_path / "tokenizer.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(LoraTuiError, match=said) as raised:
        pretokenizer.name_in(tmp_path)
    assert "LORA_TUI_LLAMA_CPP" in raised.value.hint
    known = "Unigram" in said
    try:
        pretokenizer.require_name(tmp_path, tokenizer, export_tools.find().converter)
    except LoraTuiError:
        assert not known
    else:
        assert known  # the converter has a way of its own for these


def test_nfc_leaves_the_name_as_it_is(tmp_path):
    save(tmp_path, pre_tokenizers.Sequence(cutters()["qwen2"]), normalizer=normalizers.NFC())
    assert pretokenizer.name_in(tmp_path) == "qwen2"


def test_a_tokenizer_that_the_converter_knows_needs_no_name(tmp_path):
    """GPT-2's own ids for the converter's text, as its digest has them."""
    source = tmp_path / "convert_hf_to_gguf.py"
    source.write_text(
        "def get_vocab_base_pre(tokenizer):\n    chktxt = 'some text'\n"
        f"    # {__import__('hashlib').sha256(b'[1, 2]').hexdigest()}\n"
    )
    (tmp_path / "tokenizer.json").write_text("{}")
    pretokenizer.require_name(tmp_path, SimpleNamespace(encode=lambda _: [1, 2]), source)
    with pytest.raises(LoraTuiError):
        pretokenizer.require_name(tmp_path, SimpleNamespace(encode=lambda _: [1, 3]), source)
