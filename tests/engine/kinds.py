"""Small random models of three kinds, each with a tokenizer of its own kind trained on the spot."""

from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from lora_tui.core import locations
from lora_tui.engine.probing import PROBE_TEXT

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast


KINDS = ("smollm2", "qwen2", "llama3")
VOCABULARY = 768

_CHATML = (
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.first %}{% set content = bos_token + content %}{% endif %}{{ content }}"
    "{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,%d}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_CHATML_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_LLAMA3_SPECIAL = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|eot_id|>",
)
_SHAPE = {
    "vocab_size": VOCABULARY,
    "num_hidden_layers": 2,
    "max_position_embeddings": 512,
    "initializer_range": 0.06,  # 1 over the root of the columns: noise does not grow on its way
    "rms_norm_eps": 1e-5,
}


def build(kind: str, folder: Path) -> Path:
    """A model of one of `KINDS` in `folder`, with its tokenizer, chat template and ends."""
    import torch

    tokenizer = _tokenizer(kind)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    model = _model(kind, tokenizer)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    if kind == "llama3":  # as the real one: the end of the text is no end of a turn
        ends = ["<|end_of_text|>", "<|eot_id|>"]
        model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(ends)
    model.to(torch.bfloat16).save_pretrained(folder)
    return folder


def _model(kind: str, tokenizer: "PreTrainedTokenizerFast") -> "torch.nn.Module":
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    if kind == "smollm2":  # 288 columns: no multiple of 256, nor are SmolLM2-135M's 576
        shape = {"hidden_size": 288, "intermediate_size": 384}
        heads = {"num_attention_heads": 9, "num_key_value_heads": 3}
        return LlamaForCausalLM(
            LlamaConfig(
                **_SHAPE, **shape, **heads, **ends, rope_theta=1e5, tie_word_embeddings=True
            )
        )
    shape = {"hidden_size": 256, "intermediate_size": 512}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2}
    if kind == "qwen2":
        model = Qwen2ForCausalLM(
            Qwen2Config(
                **_SHAPE, **shape, **heads, **ends, rope_theta=1e6, tie_word_embeddings=True
            )
        )
        for name, weight in model.named_parameters():
            if name.endswith(".bias"):
                torch.nn.init.normal_(weight, std=0.5)
        return model
    scaling = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 128,
    }
    return LlamaForCausalLM(
        LlamaConfig(
            **_SHAPE, **shape, **heads, **ends, rope_parameters=scaling, tie_word_embeddings=False
        )
    )


def _tokenizer(kind: str) -> "PreTrainedTokenizerFast":
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(ignore_merges=kind == "llama3"))
    is_smollm = kind == "smollm2"
    words = pre_tokenizers.Split(Regex(_WORDS % (3 if kind == "llama3" else 1)), "isolated")
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True) if is_smollm else words,
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=is_smollm),
        ]
    )
    if kind == "qwen2":
        bpe.normalizer = normalizers.NFC()
    bpe.decoder = decoders.ByteLevel()
    special: tuple[str, ...] = _LLAMA3_SPECIAL if kind == "llama3" else _CHATML_SPECIAL
    trainer = BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[*special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rows = (locations.assets_folder() / "demo-json" / "test.jsonl").read_text("utf-8")
    bpe.train_from_iterator([*rows.splitlines(), *[PROBE_TEXT] * 20], trainer)
    if kind == "llama3":
        bpe.post_processor = processors.TemplateProcessing(
            single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
        )
        names = {"bos_token": special[0], "eos_token": special[4]}
    elif kind == "qwen2":
        names = {"eos_token": special[2], "pad_token": special[0]}
    else:
        names = {"bos_token": special[1], "eos_token": special[2], "unk_token": special[0]}
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        chat_template=_LLAMA3 if kind == "llama3" else _CHATML,
        extra_special_tokens=[one for one in special if one not in names.values()],
        **names,
    )


def write_adapter(base: Path, folder: Path, *, size: float = 0.1) -> Path:
    """A random adapter of `base` on the seven projections, of visible size."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=targets)
    wrapped = get_peft_model(model, config)
    for name, weight in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=size)
    wrapped.peft_config["default"].base_model_name_or_path = str(base)
    wrapped.save_pretrained(folder)
    return folder
