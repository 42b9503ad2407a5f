"""Greedy answers to many prompts at once."""

from collections.abc import Sequence
from typing import Any

import torch

from lora_tui.engine.collate import pad_id


@torch.no_grad()
def answer(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    *,
    most_new: int,
    batch: int,
    stop: Any,
) -> list[str]:
    """What the model says to each prompt, without the tokens that end it.

    Prompts of like length share a batch; padding is on the left, where it is masked.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), batch):
        stop.check()
        chosen = order[start : start + batch]
        ids, mask = _padded([prompts[index] for index in chosen], pad_id(tokenizer))
        made = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=most_new,
            do_sample=False,
            temperature=None,
            top_p=None,
            top_k=None,
            use_cache=True,
            eos_token_id=end_ids(model, tokenizer),
            pad_token_id=pad_id(tokenizer),
        )
        said = tokenizer.batch_decode(made[:, ids.shape[1] :], skip_special_tokens=True)
        for index, text in zip(chosen, said, strict=True):
            texts[index] = text
    return texts


def _padded(prompts: Sequence[Sequence[int]], pad: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, prompts))
    ids = torch.full((len(prompts), longest), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, prompt in enumerate(prompts):
        ids[number, longest - len(prompt) :] = torch.as_tensor(prompt, dtype=torch.long)
        mask[number, longest - len(prompt) :] = 1
    return ids, mask


def end_ids(model: Any, tokenizer: Any) -> list[int]:
    """Every token that ends an answer: the model's own, and the tokenizer's."""
    own = model.generation_config.eos_token_id
    found = own if isinstance(own, list) else [own]
    return sorted({token for token in (*found, tokenizer.eos_token_id) if token is not None})
