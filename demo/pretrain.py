"""Train the demo model from nothing: ``python -m demo.pretrain --out DIR``.

A bare loop, since speed on two cores is all that matters here: rows of about one length, no mask,
logits only where a token counts.
"""

import argparse
import random
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch.nn import functional
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from demo.corpus import Corpus, Document
from demo.manners import write_data_sets
from demo.tokenizer import CONTEXT, VOCABULARY, save_tokenizer, train_tokenizer

TOKENS_A_BATCH = 4096
DOCUMENTS_A_POOL = 1024


class Batch(NamedTuple):
    """Token ids and the weight of each in the loss, both rows by length."""

    ids: torch.Tensor
    weights: torch.Tensor


def encode(tokenizer: Tokenizer, document: Document) -> tuple[list[int], list[float]]:
    """Token ids of the whole text; each token weighs what the character it starts at weighs."""
    text = "".join(piece.text for piece in document)
    weights = [piece.weight for piece in document for _ in piece.text]
    encoding = tokenizer.encode(text)
    return encoding.ids, [weights[start] for start, _ in encoding.offsets]


def batches(corpus: Corpus, tokenizer: Tokenizer, seed: int) -> Iterator[Batch]:
    """Cut pools of documents, sorted by length, into batches of about equal token count."""
    shuffler = random.Random(seed)
    documents = corpus.documents()
    while True:
        pool = [encode(tokenizer, document) for document in islice(documents, DOCUMENTS_A_POOL)]
        pool.sort(key=lambda row: len(row[0]))
        made: list[Batch] = []
        rows: list[tuple[list[int], list[float]]] = []
        for row in pool:
            if rows and (len(rows) + 1) * len(row[0]) > TOKENS_A_BATCH:
                made.append(_padded(rows))
                rows = []
            rows.append(row)
        # What is left over is a smaller batch of the longest documents: as good as any.
        made.append(_padded(rows))
        shuffler.shuffle(made)
        yield from made


def _padded(rows: list[tuple[list[int], list[float]]]) -> Batch:
    width = max(len(ids) for ids, _ in rows)
    return Batch(
        torch.tensor([ids + [0] * (width - len(ids)) for ids, _ in rows]),
        torch.tensor([weights + [0.0] * (width - len(weights)) for _, weights in rows]),
    )


def new_model() -> LlamaForCausalLM:
    """SmolLM2's architecture, small; sizes divide by 256, so that every GGUF type fits."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    return LlamaForCausalLM(config)


def loss_of(model: LlamaForCausalLM, batch: Batch) -> torch.Tensor:
    """Weighted mean loss, with logits only for the tokens that have a weight."""
    hidden = model.model(input_ids=batch.ids[:, :-1], use_cache=False).last_hidden_state
    weights = batch.weights[:, 1:]
    counted = weights > 0
    losses = functional.cross_entropy(
        model.lm_head(hidden[counted]).float(), batch.ids[:, 1:][counted], reduction="none"
    )
    return (losses * weights[counted]).sum() / weights.sum()


def train(model: LlamaForCausalLM, stream: Iterator[Batch], steps: int) -> None:
    """Fit the model; the learning rate rises over 50 steps, then falls to nought in a line."""
    matrices = [
        weight for name, weight in model.named_parameters() if "layers" in name and weight.ndim == 2
    ]
    others = [
        weight
        for name, weight in model.named_parameters()
        if "layers" not in name or weight.ndim != 2
    ]
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.Muon(matrices, lr=0.02, weight_decay=0.01, momentum=0.95),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: min((step + 1) / 50, 1 - step / steps)
        )
        for optimizer in optimizers
    ]
    model.train()
    began, seen = time.monotonic(), 0
    for step, batch in enumerate(islice(stream, steps), start=1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        seen += batch.ids.numel()
        if step % 50 == 0 or step == steps:
            seconds = time.monotonic() - began
            print(
                f"step {step}/{steps}  loss {loss.item():.3f}  {seconds:.0f} s"
                f"  {seen / seconds:,.0f} tokens/s",
                flush=True,
            )


def main() -> None:
    """Make the tokenizer, the model and the data sets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="folder that gets demo-model, demo-json, demo-pirate",
    )
    parser.add_argument("--steps", type=int, default=1600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)

    folder: Path = options.out / "demo-model"
    aside: Path = options.out / "demo-model.new"
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(islice(Corpus(options.seed).documents(), 40_000))
    save_tokenizer(tokenizer, aside)
    write_data_sets(options.out, options.seed)

    model = new_model()
    print(f"{model.num_parameters():,} parameters")
    train(model, batches(Corpus(options.seed), tokenizer, options.seed), options.steps)

    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=2)
    model.to(torch.bfloat16).save_pretrained(aside)
    for path in aside.iterdir():
        path.chmod(0o644)  # safetensors files come out private, and a wheel keeps that
        path.replace(folder / path.name)
    aside.rmdir()


if __name__ == "__main__":
    main()
