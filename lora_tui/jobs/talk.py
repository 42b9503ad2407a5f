"""Talking with a chat engine: requests through its standard input, answers in its events."""

import json
import os
import platform
import queue
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Self

from lora_tui.core import chat, hardware, locations, locks, members, runs, states
from lora_tui.core.chat_folding import Folding
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.members import BASE, Member
from lora_tui.core.presets import DataSettings, Preset
from lora_tui.core.runs import Run
from lora_tui.core.summary import Headline, headline
from lora_tui.jobs import compare, launch, machine

_GRACE = 10.0  # seconds that an engine has to end by itself

Messages = Sequence[Mapping[str, str]]


class Talk:
    """One chat engine, for one base and what was made from it; use it as a context manager.

    Follow `run` as any job's, and fold its events with `folding()`. The engine ends when this
    process does, whatever ends it. No method waits for the engine; beginning asks the machine for
    its GPU and its live runs, which can take a second.
    """

    def __init__(self, asked: Sequence[Member]) -> None:
        """Launch the engine; it begins to load at once.

        Raises:
            LoraTuiError: the members are of several bases, their preset cannot be read, or the
                engine cannot be started.
        """
        self.members = table_of(asked)
        preset = preset_of(self.members)
        self.run, self._engine = launch.converse(
            preset,
            name="chat",
            kind="chat",
            options={"members": [member.document() for member in self.members]},
            environment=_environment(preset),
        )
        self._requests: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        threading.Thread(target=self._write, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close, and wait until the engine has let go of its memory."""
        self.close()
        self._end()

    def folding(self) -> Folding:
        """What takes in the engine's events, from the beginning."""
        return Folding(self.members)

    def use(self, id_: str) -> None:
        """Let a member answer from here on.

        Raises:
            LoraTuiError: the engine is gone.
        """
        self._ask({"do": "use", "id": id_})

    def ask(
        self,
        number: int,
        to: Sequence[str],
        messages: Messages | Mapping[str, Messages],
        settings: Mapping[str, Any],
    ) -> None:
        """Let members answer: one conversation for all, or one by each id.

        Raises:
            LoraTuiError: the engine is gone.
        """
        request = {"number": number, "to": list(to), "settings": dict(settings)}
        self._ask({"do": "ask", **request, "messages": messages})

    def cancel(self) -> None:
        """End what was asked so far; what was written stays.

        Raises:
            LoraTuiError: the engine is gone.
        """
        self._ask({"do": "cancel"})

    def close(self) -> None:
        """End the engine; nothing is waited for. One that does not end by itself is killed."""
        self._requests.put(None)
        threading.Thread(target=self._end, daemon=True).start()

    def _ask(self, request: Mapping[str, Any]) -> None:
        if self._engine.poll() is not None:
            raise LoraTuiError(**chat.GONE)
        self._requests.put(json.dumps(request, ensure_ascii=True).encode() + b"\n")

    def _write(self) -> None:
        """Hand over the requests: in a thread, since an engine that hangs does not read."""
        pipe = self._engine.stdin
        assert pipe is not None
        with suppress(OSError):  # it is gone: who follows it sees that
            while (request := self._requests.get()) is not None:
                pipe.write(request)
                pipe.flush()
        with suppress(OSError):
            pipe.close()

    def _end(self) -> None:
        try:
            self._engine.wait(_GRACE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._engine.pid, signal.SIGKILL)
            self._engine.wait()


def table_of(asked: Sequence[Member]) -> list[Member]:
    """Those who can be talked to: the base first, then each member once.

    Raises:
        BadInput: there is none, or they are of several bases.
    """
    if not asked:
        raise BadInput("There is nobody to talk to.", "Name a run, or a folder with an adapter.")
    once = {member.id: member for member in asked if member.method != BASE}
    groups = members.grouped(members.told_apart(once.values())) or [[members.of_base(asked[0])]]
    if len(groups) > 1:
        bases = "\n".join(
            f"  {group[0].base}: {', '.join(member.name for member in group[1:])}"
            for group in groups
        )
        raise BadInput(
            f"These are of {len(groups)} bases, and a chat loads one:\n{bases}",
            "Name those of one base.",
        )
    return groups[0]


def preset_of(table: Sequence[Member]) -> Preset:
    """How the base is loaded: as the first run among the members loaded it.

    Raises:
        LoraTuiError: that run's preset cannot be read.
    """
    measuring, _ = compare.measuring_preset(table, None)
    return replace(measuring, name="chat", data=DataSettings())  # its data may be gone by now


_RIVALS = {
    "train": "{}",
    "compare": "the comparison of {}",
    "merge": "the merge of {}",
    "export": "the export of {}",
}
"""The kinds of jobs that compute for long, and what each is called by the name it has."""


def rivals() -> list[Headline]:
    """Live jobs that compute on this machine, with which another would compete.

    One that has told its end computes no more: its engine only leaves.
    """
    folders = dict.fromkeys(map(locations.jobs_folder, _RIVALS))
    live = [run for folder in folders for run in runs.list_runs(folder) if _is_here(run)]
    kinds = ((run, runs.read_info(run).get("kind", "train")) for run in live)
    lines = ((headline(run), _RIVALS[kind]) for run, kind in kinds if kind in _RIVALS)
    return [
        replace(line, name=called.format(line.name))
        for line, called in lines
        if line.state not in states.ENDED
    ]


def _is_here(run: Run) -> bool:
    return runs.is_alive(run) and locks.holder(run.lock)[0] in {None, platform.node()}


def rivalry(asked: Sequence[Member]) -> str:
    """What a chat with these would take from live runs, in words; empty where nothing.

    Raises:
        LoraTuiError: as `Talk`.
    """
    return chat.rivalry(rivals(), on_gpu=_on_gpu(preset_of(table_of(asked))))


def _on_gpu(preset: Preset) -> bool:
    return machine.place_of(preset).platform.on_gpu


def _environment(preset: Preset) -> dict[str, str]:
    """The engine's share of the cores, where it computes on them beside a live run."""
    competing = len(rivals())
    if not competing or _on_gpu(preset):
        return {}
    share = chat.thread_share(hardware.usable_cores(), competing)
    set_before = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if set_before.isdecimal() and int(set_before) > 0:
        share = min(share, int(set_before))
    return {"OMP_NUM_THREADS": str(share)}
