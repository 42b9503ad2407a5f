"""What a data report says, counted anew with transformers alone, and rows in every shape."""

import math
import random
from typing import Any


def talks(count: int) -> list[tuple[str, str]]:
    """Questions and answers of many lengths."""
    draw = random.Random(7)
    words = [
        "the",
        "cat",
        "sat",
        "on",
        "a",
        "mat",
        "and",
        "what",
        "12",
        "+",
        "7",
        "=",
        "19",
        "is,",
        "über",
        "alles",
        "🙂",
        "\n",
    ]

    def text(most: int) -> str:
        return " ".join(draw.choice(words) for _ in range(draw.randint(1, most))) + "!"

    return [(text(60), text(90)) for _ in range(count)]


def by_transformers(tokenizer: Any, pairs: list[tuple[str, str]], longest: int) -> dict[str, Any]:
    """What the report must say, from token ids of whole texts alone."""
    lengths, trained, lost, kept, cut = [], 0, 0, 0, 0
    total = 0
    for question, answer in pairs:
        asked = [{"role": "user", "content": question}]
        whole = [*asked, {"role": "assistant", "content": answer}]
        ids = tokenizer.apply_chat_template(whole, tokenize=True)["input_ids"]
        prompt = tokenizer.apply_chat_template(asked, tokenize=True, add_generation_prompt=True)
        lengths.append(len(ids))
        end = len(ids) - 1 - ids[::-1].index(tokenizer.eos_token_id)
        answers = range(len(prompt["input_ids"]), end + 1)
        count = sum(at < longest for at in answers)
        if count:
            kept, trained, lost = kept + 1, trained + count, lost + len(answers) - count
            cut += len(ids) > longest
            total += min(len(ids), longest)
    lengths.sort()

    def at(percent: int) -> int:
        return lengths[math.ceil(percent / 100 * len(lengths)) - 1]

    return {
        "kept": kept,
        "tokens": {"p50": at(50), "p90": at(90), "p99": at(99), "max": at(100), "total": total},
        "truncated": cut,
        "trained_tokens": trained,
        "lost_tokens": lost,
        "trained_share": trained / total,
    }


def as_messages(question: str, answer: str) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def as_sharegpt(question: str, answer: str) -> dict[str, Any]:
    return {
        "conversations": [
            {"from": "human", "value": question},
            {"from": "gpt", "value": answer},
        ]
    }


SHAPES = {
    "messages": (as_messages, "messages"),
    "sharegpt": (as_sharegpt, "messages"),
    "prompt-completion": (lambda q, a: {"prompt": q, "completion": a}, "prompt_completion"),
    "alpaca": (lambda q, a: {"instruction": q, "input": "", "output": a}, "instruction"),
    "dolly": (lambda q, a: {"instruction": q, "context": "", "response": a}, "instruction"),
    "qa": (lambda q, a: {"question": q, "answer": a}, "question_answer"),
    "context-qa": (lambda q, a: {"context": "", "question": q, "answer": a}, "question_answer"),
}
