"""What an engine's events add up to, what each member is asked, and the words about rivals."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_tui.core import chat_settings
from lora_tui.core.chat import (
    ATTACHED,
    CANCELLED,
    END_OF_TURN,
    GONE,
    REFUSED,
    UNANSWERED,
    WAITING,
    Answer,
    Chat,
    Turn,
    conversation,
    rivalry,
    thread_share,
)
from lora_tui.core.chat_folding import Folding
from lora_tui.core.chat_settings import ChatSettings
from lora_tui.core.events import Event
from lora_tui.core.members import BASE, Member, of_base
from lora_tui.core.runs import Run
from lora_tui.core.settings import SettingsError
from lora_tui.core.summary import Headline

ADAPTERS = [Member(id_, id_, "lora", f"/{id_}", "demo") for id_ in ("one", "two")]
MEMBERS = [of_base(ADAPTERS[0]), *ADAPTERS]


def event(kind: str, **fields: Any) -> Event:
    return {"t": 1.0, "kind": kind, **fields}


LOADED = [
    event("launched", pid=1),
    event("started", device="cpu"),
    event("loaded", id=BASE, seconds=0.5, dtype="float32", memory_bytes=1000),
    event("attached", id="one", milliseconds=20.0, warnings=["odd"]),
    event("refused", id="two", summary="Broken.", hint="Copy it."),
    event("ready"),
]


def asked(number: int, *to: str, prompt: str = "Who?") -> Event:
    return event("asked", number=number, to=list(to), prompt=prompt)


def answered(number: int, id_: str, text: str, **more: Any) -> Event:
    fields = {"tokens": 4, "seconds": 2.0, "ended": END_OF_TURN, "mixed": False}
    return event("answered", number=number, id=id_, text=text, **{**fields, **more})


def folded(*more: Event) -> Chat:
    return Folding(MEMBERS).fold([*LOADED, *more])


def test_the_seats_say_who_can_answer_and_how_long_it_took() -> None:
    chat = folded()
    base, one, two = chat.seats
    assert (base.state, base.attach_milliseconds, base.is_base) == (ATTACHED, 500.0, True)
    assert (one.state, one.attach_milliseconds, one.warnings) == (ATTACHED, 20.0, ("odd",))
    assert (two.state, dict(two.refused)) == (
        REFUSED,
        {"summary": "Broken.", "hint": "Copy it."},
    )
    assert chat.usable == (BASE, "one")
    assert chat.is_exact
    assert chat.current == BASE
    assert Folding(MEMBERS).now.seats[2].state == WAITING
    mended = folded(event("attached", id="two", milliseconds=1.0, warnings=[])).seats[2]
    assert (mended.state, mended.refused) == (ATTACHED, {})


def test_a_swap_is_remembered_with_its_time() -> None:
    chat = folded(event("used", id="one", milliseconds=2.5))
    assert chat.current == "one"
    assert [seat.swap_milliseconds for seat in chat.seats] == [None, 2.5, None]


def test_an_answer_grows_piece_by_piece_until_it_is_whole() -> None:
    pieces = [event("piece", number=1, id=BASE, text=text) for text in ("I ", "am")]
    chat = folded(asked(1, BASE, "one"), *pieces)
    turn = chat.turns[0]
    assert (turn.answer(BASE).text, turn.answer(BASE).ended) == ("I am", "")
    assert (turn.answer("one"), turn.is_over, chat.state) == (Answer(), False, "answering")
    chat = folded(
        asked(1, BASE, "one"),
        *pieces,
        answered(1, BASE, "I am one.", mixed=True),
        answered(1, "one", "I", ended=CANCELLED),
    )
    turn = chat.turns[0]
    assert turn.is_over
    assert turn.answer(BASE) == Answer("I am one.", END_OF_TURN, 4, 2.0, mixed=True)
    assert turn.answer(BASE).tokens_per_second == 2.0
    assert turn.answer("one").ended == CANCELLED


def test_an_answer_goes_to_the_turn_it_belongs_to() -> None:
    chat = folded(asked(1, BASE), asked(2, BASE), answered(1, BASE, "first"))
    assert [turn.answer(BASE).text for turn in chat.turns] == ["first", ""]
    assert chat.turn(2) is chat.turns[1]
    assert chat.turn(3) is None


def test_what_stays_unanswered_keeps_what_was_written_and_why() -> None:
    why = {"summary": "No memory.", "hint": "Ask less."}
    chat = folded(
        asked(1, BASE),
        event("piece", number=1, id=BASE, text="I a"),
        event("unanswered", number=1, id=BASE, **why),
        event("ready"),
    )
    answer = chat.turns[0].answer(BASE)
    assert (answer.text, answer.ended, dict(answer.failure)) == ("I a", UNANSWERED, why)
    assert (chat.state, chat.failure) == ("ready", {})


def test_each_state_has_its_word() -> None:
    fold = Folding(MEMBERS)
    events = [*LOADED, asked(1, BASE), answered(1, BASE, "x"), event("ready"), event("finished")]
    states = [fold.fold([one]).state for one in events]
    assert states == [
        *("starting", "loading", "loading", "loading", "loading", "ready"),
        *("answering", "loading", "ready", "ended"),
    ]


@pytest.mark.parametrize("how", ["gone", "failed", "finished"])
def test_when_the_engine_ends_nothing_waits_for_it(how: str) -> None:
    fold = Folding(MEMBERS)
    fold.fold([*LOADED, asked(1, BASE, "one"), answered(1, "one", "done")])
    if how == "gone":
        chat = fold.gone()
    else:
        chat = fold.fold([event(how, summary="The disk is full.", hint="Free some.")])
    turn = chat.turns[0]
    assert turn.is_over
    assert turn.answer("one").text == "done"
    assert turn.answer(BASE).ended == UNANSWERED
    expected = {"gone": GONE["summary"], "failed": "The disk is full.", "finished": ""}[how]
    assert chat.failure.get("summary", "") == expected
    assert turn.answer(BASE).failure["summary"] == (expected or "The chat was closed.")
    assert chat.state == ("ended" if how == "finished" else "failed")
    assert not chat.is_ready
    assert fold.gone() == chat  # its lock is free now, which adds nothing


@given(st.lists(st.sampled_from([*LOADED, asked(1, BASE), answered(1, BASE, "x")]), max_size=12))
def test_events_may_be_cut_anywhere(events: list[Event]) -> None:
    whole, parts = Folding(MEMBERS), Folding(MEMBERS)
    whole.fold([*events, event("news"), answered(9, BASE, "x"), event("refused", id="nobody")])
    for one in events:
        parts.fold([one])
    assert whole.now == parts.now


# --- conversations -----------------------------------------------------------------------------


def said(number: int, **answers: str) -> Turn:
    return Turn(
        number,
        f"question {number}",
        tuple(answers),
        {id_: Answer(text, END_OF_TURN) for id_, text in answers.items()},
    )


def pairs(messages: list[dict[str, str]]) -> list[str]:
    return [f"{one['role'][0]}: {one['content']}" for one in messages]


def test_damaged_events_are_passed_over() -> None:
    folding = Folding([])
    before = folding.now
    damaged: list[Event] = [
        {"t": 1.0, "kind": "asked"},
        {"t": 1.0, "kind": "piece", "number": "x"},
        {"t": 1.0, "kind": "attached", "warnings": 3},
        {"t": 1.0, "kind": "answered", "number": None},
    ]
    assert folding.fold(damaged) == before


def test_each_member_goes_on_from_what_it_said_or_else_from_what_is_shown() -> None:
    chat = Chat(turns=(said(1, one="a", two="b"), said(2, two="c")))
    tail = ["u: question 2", "a: c", "u: new"]
    assert pairs(conversation(chat, "one", "new")) == ["u: question 1", "a: a", *tail]
    assert pairs(conversation(chat, "two", "new")) == ["u: question 1", "a: b", *tail]
    assert pairs(conversation(chat, BASE, "new")) == ["u: question 1", "a: a", *tail]
    assert pairs(conversation(chat, "one", "new", since=2)) == tail
    assert pairs(conversation(chat, "one", "new", since=3)) == ["u: new"]


@pytest.mark.parametrize(
    "answer", [Answer("half", UNANSWERED), Answer("still writing"), Answer("", CANCELLED)]
)
def test_what_was_not_answered_is_not_said_again(answer: Answer) -> None:
    chat = Chat(turns=(Turn(1, "question 1", ("one",), {"one": answer}),))
    assert pairs(conversation(chat, "one", "new")) == ["u: new"]
    assert pairs(conversation(chat, "two", "new")) == ["u: new"]


def test_a_system_prompt_stands_first_and_an_empty_one_nowhere() -> None:
    chat = Chat(turns=(said(1, one="a"),))
    first, *rest = conversation(chat, "one", "new", system="Be brief.", since=9)
    assert first == {"role": "system", "content": "Be brief."}
    assert rest == conversation(chat, "one", "new", system=" \n", since=9)


# --- rivals ------------------------------------------------------------------------------------


def running(name: str) -> Headline:
    return Headline(Run(Path(f"/{name}")), name, "running", 1, 9, 1.0, (), 1.0, 1.0, None)


def test_rivals_are_named_with_what_they_lose() -> None:
    assert rivalry([], on_gpu=True) == rivalry([], on_gpu=False) == ""
    assert "tuning is running" in rivalry([running("tuning")], on_gpu=True)
    assert "memory of the GPU" in rivalry([running("tuning")], on_gpu=True)
    several = rivalry([running("tuning"), running("a"), running("b")], on_gpu=False)
    assert "tuning and 2 more are running" in several
    assert "half of the CPU's threads" in several


def test_a_chat_beside_a_run_leaves_it_half_of_the_cores() -> None:
    assert [thread_share(cores, 0) for cores in (1, 8)] == [1, 8]
    assert [thread_share(cores, 2) for cores in (1, 2, 8, 9)] == [1, 1, 4, 4]


# --- settings ----------------------------------------------------------------------------------

TYPED = {
    "temperature": "0.7",
    "top_p": "0.9",
    "seed": "5",
    "max_new_tokens": "64",
    "system": " 3 ",
}


def test_typed_settings_become_what_an_engine_is_told() -> None:
    settings = chat_settings.read(TYPED)
    assert settings.request() == {
        "temperature": 0.7,
        "top_p": 0.9,
        "seed": 5,
        "max_new_tokens": 64,
    }
    assert settings.system == " 3 "  # text, as it was typed
    assert type(chat_settings.read({**TYPED, "temperature": "1"}).temperature) is float


def test_everything_wrong_is_named_at_once() -> None:
    wrong = {**TYPED, "temperature": "nan", "top_p": "0", "seed": "-1", "max_new_tokens": "1.5"}
    assert [problem.key for problem in chat_settings.problems(wrong)] == [
        *("temperature", "top_p", "seed", "max_new_tokens")
    ]
    with pytest.raises(SettingsError) as raised:
        chat_settings.read(wrong)
    assert len(raised.value.problems) == 4
    assert chat_settings.problems(TYPED) == []


def test_settings_in_words() -> None:
    assert ChatSettings().words() == "greedy, at most 256 tokens"
    assert chat_settings.read(TYPED).words() == (
        "temperature 0.700, top-p 0.900, seed 5, at most 64 tokens"
    )
