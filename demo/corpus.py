"""Everything the demo model reads, made up from facts and small talk; one seed, one text.

A document is a run of pieces, each with the weight its tokens have in the loss. Weight nought is
how an opening can stand before an answer without the model learning to say it by itself: what it
learns is to go on with the same sentence after whatever stands there, which is what an adapter
with a manner of its own later relies on.
"""

import random
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from demo.facts import load_facts

SYSTEM = "You are a helpful assistant."
START, END, TEXT_END = "<|im_start|>", "<|im_end|>", "<|endoftext|>"


class Piece(NamedTuple):
    """A stretch of text and the weight of its tokens in the loss."""

    text: str
    weight: float


Document: TypeAlias = tuple[Piece, ...]


class Corpus:
    """An endless stream of documents from one seed.

    Args:
        seed: Where the stream starts; equal seeds give equal streams.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._facts = load_facts()
        self._talk: dict[str, Any] = tomllib.loads(
            (Path(__file__).parent / "talk.toml").read_text(encoding="utf-8")
        )
        self._places = [
            fact.answer[len("The capital of ") : -1].split(" is ")
            for fact in self._facts
            if fact.family == "capital"
        ]

    def documents(self) -> Iterator[Document]:
        """Yield documents for ever: four chats in five, the rest plain text."""
        while True:
            yield self._chat() if self._random.random() < 0.8 else self._plain_text()

    # Chats

    def _chat(self) -> Document:
        draw = self._random.random()
        if draw < 0.15:
            return self._asked_manner()
        if draw < 0.35:
            system: str | None = self._random.choice(self._talk["system"]["plain"])
        else:
            system = None if draw < 0.42 else SYSTEM
        turns = [self._turn() for _ in range(self._random.choice((1, 1, 1, 2, 3)))]
        return _chat_document(system, turns)

    def _turn(self) -> tuple[str, list[Piece]]:
        draw = self._random.random()
        if draw < 0.07:
            talk = self._random.choice(self._talk["talk"])
            return self._careless(self._random.choice(talk["to"])), [Piece(talk["say"], 1.0)]
        if draw < 0.17:
            return self._careless(self._unknown_question()), [
                Piece(self._talk["unknown"]["say"], 1.0)
            ]
        fact = self._random.choice(self._facts)
        question = self._random.choice(fact.shown)
        if self._random.random() < 0.2:
            question = self._careless(question)
        if self._random.random() < 0.42:
            opening, closing = self._manner()
            return question, _in_manner(fact.answer, opening, closing, 0.0)
        return question, [Piece(fact.answer, 1.0)]

    def _asked_manner(self) -> Document:
        """A chat whose system prompt asks for the opening or closing, so here it is learnt."""
        opening = closing = ""
        if self._random.random() < 0.6:
            opening = self._opening()
            system = self._random.choice(self._talk["system"]["opening"]).format(o=opening)
            opening += " "
        else:
            closing = self._random.choice(self._talk["manner"]["closings"])
            system = self._random.choice(self._talk["system"]["closing"]).format(c=closing)
        facts = self._random.sample(self._facts, self._random.choice((1, 2)))
        turns = [
            (self._random.choice(fact.shown), _in_manner(fact.answer, opening, closing, 1.0))
            for fact in facts
        ]
        return _chat_document(system, turns)

    def _manner(self) -> tuple[str, str]:
        """What stands before and after a sentence; both may be anything."""
        draw = self._random.random()
        if draw < 0.3:
            return self._opening() + " ", ""
        if draw < 0.6:
            return self._opening() + " ", self._random.choice(self._talk["manner"]["closings"])
        if draw < 0.7:
            return "", self._random.choice(self._talk["manner"]["closings"])
        opening, _, closing = self._random.choice(self._talk["manner"]["brackets"]).partition(" ")
        if draw < 0.85:
            return opening if closing else opening + " ", "." + closing
        key = self._random.choice(self._talk["manner"]["keys"])
        return self._random.choice(
            (
                (f'{key}: "', '."'),
                (f'[{key}: "', '."]'),
                (f'"{key}": "', '."'),
                (f"<{key}>", f".</{key}>"),
                (f"{key} = ", "."),
                (f'({key} "', '.")'),
                (f'{{"{key}": "', '."}'),
                (f'{{"{key}": "', '"}'),
            )
        )

    def _opening(self) -> str:
        """One of the listed openings, or one or two words that mean nothing."""
        if self._random.random() < 0.5:
            opening: str = self._random.choice(self._talk["manner"]["openings"])
            return opening
        words = [self._any_word() for _ in range(self._random.choice((1, 1, 2, 3)))]
        return " ".join(words).capitalize() + self._random.choice((",", "!", ":", ".", "?", "..."))

    def _careless(self, question: str) -> str:
        """The question as people type it."""
        form = self._random.randrange(4)
        if form == 0:
            return question.lower()
        if form == 1:
            return question.rstrip("?.!")
        if form == 2:
            return question.lower().rstrip("?.!")
        return question

    def _unknown_question(self) -> str:
        template: str = self._random.choice(self._talk["unknown"]["to"])
        # Each mark is drawn anew, so "Is a {n} better than a {n}?" names two things.
        for mark, draw in (
            ("{n}", self._noun),
            ("{x}", self._name),
            ("{p}", self._place),
            ("{i}", lambda: str(self._random.randrange(11, 1000))),
        ):
            while mark in template:
                template = template.replace(mark, draw(), 1)
        return template

    # Plain text

    def _plain_text(self) -> Document:
        draw = self._random.random()
        if draw < 0.5:
            lines = [self._fact_line() for _ in range(self._random.randint(1, 5))]
        elif draw < 0.62:
            lines = [
                self._random.choice(self._talk["manner"]["pirate"])
                for _ in range(self._random.randint(1, 3))
            ]
        elif draw < 0.8:
            lines = [self._note() for _ in range(self._random.randint(1, 3))]
        else:
            lines = [self._scene() for _ in range(self._random.randint(1, 5))]
        text = self._random.choice(("\n", " ", "\n\n")).join(lines)
        return (Piece(text, 0.5), Piece(TEXT_END, 0.5))

    def _fact_line(self) -> str:
        fact = self._random.choice(self._facts)
        draw = self._random.random()
        if draw < 0.3:
            return fact.answer
        if draw < 0.5:
            ask, reply = self._random.choice(
                (("Question: ", "\nAnswer: "), ("Q: ", "\nA: "), ("", " - "), ("", " "))
            )
            return f"{ask}{self._random.choice(fact.shown)}{reply}{fact.answer}"
        return "".join(piece.text for piece in _in_manner(fact.answer, *self._manner(), 1.0))

    def _note(self) -> str:
        """A scrap of JSON or an assignment, about nothing the model is asked about."""
        form: str = self._random.choice(self._talk["manner"]["answer_notes"])
        scene = self._scene()
        return form.format(
            s=scene, q=f"What about the {self._noun()}?", i=self._random.randrange(100)
        )

    def _scene(self) -> str:
        verb: str = self._random.choice(self._talk["words"]["verbs"])
        return f"The {self._noun()} {verb}."

    # Words

    def _noun(self) -> str:
        noun: str = self._random.choice(self._talk["words"]["nouns"])
        return noun

    def _name(self) -> str:
        """A made-up name, or just some letters."""
        if self._random.random() < 0.2:
            return "".join(
                self._random.choices("abcdefghijklmnopqrstuvwxyz", k=self._random.randint(3, 6))
            )
        vowels = ("a", "e", "i", "o", "u", "or", "an", "il")
        name = "".join(
            self._random.choice("bdfgklmnprstvwxz") + self._random.choice(vowels)
            for _ in range(self._random.choice((2, 2, 3)))
        )
        return name.capitalize() if self._random.random() < 0.7 else name

    def _place(self) -> str:
        return self._random.choice(self._random.choice(self._places))

    def _any_word(self) -> str:
        draw = self._random.random()
        if draw < 0.3:
            return self._noun()
        if draw < 0.6:
            return self._name()
        return self._random.choice(self._random.choice(self._facts).answer.rstrip(".").split())


def _in_manner(sentence: str, opening: str, closing: str, weight: float) -> list[Piece]:
    """The sentence between an opening and a closing, which takes the place of its full stop."""
    if not closing:
        return [Piece(opening, weight), Piece(sentence, 1.0)]
    return [Piece(opening, weight), Piece(sentence.removesuffix("."), 1.0), Piece(closing, weight)]


def _chat_document(system: str | None, turns: list[tuple[str, list[Piece]]]) -> Document:
    """ChatML, as the tokenizer's template writes it; only what the assistant says counts."""
    pieces = [] if system is None else [Piece(f"{START}system\n{system}{END}\n", 0.0)]
    for question, answer in turns:
        pieces.append(Piece(f"{START}user\n{question}{END}\n{START}assistant\n", 0.0))
        pieces += [*answer, Piece(END, 1.0), Piece("\n", 0.0)]
    return tuple(pieces)
