"""Answers of a model to many prompts at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import StoppingCriteria, set_seed
from transformers.generation.streamers import BaseStreamer

from lora_tui.engine.collate import pad_id

OnTokens = Callable[[list[int | None]], None]


@dataclass(frozen=True, slots=True)
class Settings:
    """How tokens are chosen; temperature 0 takes the likeliest, and needs no seed."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0


@torch.no_grad()
def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    settings: Settings,
    *,
    stop: Any,
    on_tokens: OnTokens | None = None,
    **options: Any,
) -> list[list[int]]:
    """The new token ids of each prompt, up to the token that ends an answer and without it.

    The prompts are one batch; padding is on the left, where it is masked.

    Args:
        model: In evaluation mode.
        tokenizer: Whose end-of-text token ends an answer too.
        prompts: Token ids, each ending where an answer begins.
        settings: How tokens are chosen.
        stop: Its `requested` ends the answers after the present token.
        on_tokens: Told each step's new tokens, one a prompt, None for those that have ended.
        options: More for the model's own `generate`, such as PEFT's `adapter_names`.
    """
    ids, mask = _padded(prompts, pad_id(tokenizer))
    ends = end_ids(model, tokenizer)
    chosen: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None}
    if settings.temperature > 0:
        set_seed(settings.seed)
        chosen = {
            "do_sample": True,
            "temperature": settings.temperature,
            "top_p": settings.top_p,
        }
    made = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=settings.max_new_tokens,
        **chosen,
        top_k=None,
        use_cache=True,
        eos_token_id=ends,
        pad_token_id=pad_id(tokenizer),
        stopping_criteria=[_Stop(stop)],
        streamer=_Steps(on_tokens, frozenset(ends)) if on_tokens else None,
        **options,
    )
    return [_until(row, ends) for row in made[:, ids.shape[1] :].tolist()]


class _Stop(StoppingCriteria):
    """Ends every answer when that is asked for."""

    def __init__(self, stop: Any) -> None:
        self._stop = stop

    def __call__(self, input_ids: torch.Tensor, _scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((len(input_ids),), bool(self._stop.requested), device=input_ids.device)


class _Steps(BaseStreamer):
    """Hands on each step's tokens; the first call holds the prompts."""

    def __init__(self, on_tokens: OnTokens, ends: frozenset[int]) -> None:
        self._on_tokens, self._ends = on_tokens, ends
        self._ended: list[bool] | None = None

    def put(self, value: torch.Tensor) -> None:
        if self._ended is None:
            self._ended = [False] * len(value)
            return
        tokens = value.tolist()
        self._ended = [
            ended or token in self._ends for ended, token in zip(self._ended, tokens, strict=True)
        ]
        self._on_tokens(
            [None if ended else token for ended, token in zip(self._ended, tokens, strict=True)]
        )

    def end(self) -> None:
        """Nothing: `generate` returns then."""


def _until(ids: list[int], ends: Sequence[int]) -> list[int]:
    return ids[: next((at for at, token in enumerate(ids) if token in ends), len(ids))]


def answer(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    *,
    most_new: int,
    batch: int,
    stop: Any,
) -> list[str]:
    """What the model says to each prompt, likeliest token by token.

    Prompts of like length share a batch.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    texts = [""] * len(prompts)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        asked = [prompts[index] for index in chosen]
        made = generate(model, tokenizer, asked, Settings(most_new), stop=stop)
        stop.check()  # else an answer that was cut short would count
        for index, text in zip(
            chosen, tokenizer.batch_decode(made, skip_special_tokens=True), strict=True
        ):
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
