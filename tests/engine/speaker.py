"""A chat engine that is asked and waited for."""

import shutil
import threading

from lora_tui.jobs.follow import follow
from lora_tui.jobs.talk import Talk
from tests.adapters import DEMO_MODEL, write_adapter

GREEDY = {"max_new_tokens": 32, "temperature": 0.0, "top_p": 1.0, "seed": 0}
CROWD = tuple(f"one-of-many-{number}" for number in range(9))


def write_home(folder):
    """Adapters, one of them broken and one that no batch can hold, and a whole model."""
    for rank, name in enumerate(("one", "two", "three"), 2):
        write_adapter(folder / name, r=rank, size=0.8)
    write_adapter(folder / "dora", r=4, use_dora=True)
    write_adapter(folder / "broken", r=4)
    (folder / "broken" / "adapter_model.safetensors").write_bytes(b"nothing")
    shutil.copytree(DEMO_MODEL, folder / "whole")
    for name in CROWD:
        shutil.copytree(folder / "one", folder / name)
    return folder


def user(text):
    return [{"role": "user", "content": text}]


def texts(answers):
    return [(answer.text, answer.tokens, answer.ended) for answer in answers]


class Speaker:
    """One engine, asked and waited for."""

    def __init__(self, members):
        self.talk = Talk(members)
        self.told = []
        self._fold = self.talk.folding()
        self._follow = follow(self.talk.run, threading.Event(), every=0.02)
        self._number = 0
        self._due = 1

    @property
    def chat(self):
        return self._fold.now

    @property
    def ids(self):
        return [member.id for member in self.talk.members]

    def until(self, condition):
        """Take events in until that holds; an engine that is gone is an error."""
        while not condition():
            batch = next(self._follow)
            self.told += batch
            self._fold.fold(batch)

    def settle(self):
        """Until all that was asked is done."""
        self.until(lambda: len(self.of("ready")) == self._due)

    def of(self, kind, number=None):
        return [
            event
            for event in self.told
            if event["kind"] == kind and number in {None, event.get("number")}
        ]

    def ask(self, to, messages, **settings):
        """Ask without waiting; the number of the turn."""
        self._number += 1
        self._due += 1
        self.talk.ask(self._number, to, messages, {**GREEDY, **settings})
        return self._number

    def answers(self, to, messages, **settings):
        """Each one's answer, once all are there."""
        number = self.ask(to, messages, **settings)
        self.settle()
        turn = self.chat.turn(number)
        return [turn.answer(id_) for id_ in to]

    def use(self, id_):
        self._due += 1
        self.talk.use(id_)
        self.settle()
