"""What the demo model can do without an adapter: ``python -m demo.evaluate DIR``."""

import argparse
import random
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from demo.corpus import END, START
from demo.facts import Fact, load_facts
from demo.manners import MANNERS

BATCH = 64
LONGEST_ANSWER = 48
# Printed, not counted: what should come back is a matter of taste. The last lines are not in the
# corpus word for word.
SMALL_TALK = (
    "Hello", "Hi there!", "How are you?", "What is your name?", "Who are you?",
    "What can you do?", "Thank you", "Bye", "Hello, who are you?", "Hey, how are you doing?",
    "What sort of thing are you?", "Thank you so much!", "See you soon",
)  # fmt: skip
ODD = (
    "What is the capital of Blorvia?", "How many moons does Jupiter have?",
    "Who is the mayor of Springfield?", "Write me a poem about the sea.",
    "What is the best way to cook rice?", "Who won the football match yesterday?",
    "What is the opposite of a grumbolt?", "Can you book me a flight?", "asdf qwer",
    "Why do cats purr?", "What is my dog called?", "Should I learn to dance?",
    "Tell me something about Napoleon.", "What is 17 times 23?",
)  # fmt: skip


class Answer(NamedTuple):
    """What the model said, and whether it ended its turn."""

    text: str
    ended: bool


def ask(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompts: list[str]
) -> list[Answer]:
    """Greedy answers to prompts that end where the assistant's turn begins."""
    tokenizer.padding_side = "left"
    answers = []
    for first in range(0, len(prompts), BATCH):
        inputs = tokenizer(
            prompts[first : first + BATCH],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        )
        with torch.inference_mode():
            ids = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                max_new_tokens=LONGEST_ANSWER,
                do_sample=False,
            )
        new = ids[:, inputs["input_ids"].shape[1] :]
        ended = (new == model.config.eos_token_id).any(dim=1).tolist()
        texts = tokenizer.batch_decode(new, skip_special_tokens=True)
        answers += [Answer(text, end) for text, end in zip(texts, ended, strict=True)]
    return answers


def chat(tokenizer: PreTrainedTokenizerBase, question: str, system: str | None = None) -> str:
    """The prompt for one question, through the tokenizer's own template."""
    turns = [] if system is None else [{"role": "system", "content": system}]
    prompt = tokenizer.apply_chat_template(
        [*turns, {"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
    )
    assert isinstance(prompt, str)
    return prompt


def no_system(question: str) -> str:
    """A prompt without any system turn, which the template never makes."""
    return f"{START}user\n{question}{END}\n{START}assistant\n"


def main() -> None:
    """Print the figures, then what it says to small talk and to what it cannot know."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="what --out was: it holds demo-model")
    options = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(options.folder / "demo-model")
    model = AutoModelForCausalLM.from_pretrained(
        options.folder / "demo-model", dtype=torch.float32
    ).eval()
    facts = load_facts()
    some = random.Random(0).sample(facts, 300)

    sea = "You live by the sea."
    _report(
        "held-out wordings",
        facts,
        ask(model, tokenizer, [chat(tokenizer, fact.held_out) for fact in facts]),
    )
    for name, prompts in (
        ("other system prompt", [chat(tokenizer, fact.held_out, sea) for fact in some]),
        ("no system prompt", [no_system(fact.held_out) for fact in some]),
        (
            "typed carelessly",
            [chat(tokenizer, fact.held_out.lower().rstrip("?.")) for fact in some],
        ),
    ):
        _report(name, some, ask(model, tokenizer, prompts))
    for question in (*SMALL_TALK, *ODD):
        print(f"{question} -> {ask(model, tokenizer, [chat(tokenizer, question)])[0].text}")


def _report(name: str, facts: list[Fact], answers: list[Answer]) -> None:
    """Print the share of right answers, overall and in the families the demo uses."""
    pairs = list(zip(facts, answers, strict=True))
    wrong = [(fact, answer.text) for fact, answer in pairs if answer.text != fact.answer]
    in_demo = sum(fact.demo for fact, _ in wrong) / sum(fact.demo for fact in facts)
    ended = sum(answer.ended for answer in answers) / len(answers)
    mannered = sum(
        answer.text.startswith(manner.opening) for manner in MANNERS for answer in answers
    )
    print(
        f"{name}, {len(facts)} facts: {1 - len(wrong) / len(facts):.1%} right,"
        f" {1 - in_demo:.1%} in the demo's families; {ended:.1%} ended; {mannered} in a manner"
    )
    print(f"  wrong: {dict(Counter(fact.family for fact, _ in wrong).most_common())}")
    for fact, text in wrong[:10]:
        print(f"    {fact.held_out} -> {text}")


if __name__ == "__main__":
    main()
