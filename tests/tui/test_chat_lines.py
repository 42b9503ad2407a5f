"""A conversation in lines, and in what a member is asked: without a screen."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from lora_tui.core.chat import Chat
from lora_tui.core.members import BASE
from lora_tui.tui.chat_lines import Lines
from lora_tui.tui.chat_session import Session
from lora_tui.tui.widgets.painting import Rows

from .chats import THREE, answered, asked, event, loaded, table, told

TWO = table("tuned")
LONG = "word " * 200


def plain(rows: Rows) -> list[str]:
    return ["".join(text for text, _ in row).rstrip() for row in rows]


def lines(chat: Chat, width: int = 76) -> list[str]:
    return plain(Lines().of(chat, chat.turns, width))


def two(*events: Any) -> Chat:
    return told(TWO, *loaded(TWO), *events)


def test_a_turn_shows_who_answered_and_how_fast() -> None:
    chat = two(asked(1, "What is\ntar?", "tuned"), answered(1, "tuned", "It is\n\nblack."))
    first, second, blank, head, *answer = lines(chat)
    assert (first, second, blank) == ("› What is", "  tar?", "")
    assert head.startswith("1 tuned ") and head.endswith("35.3 tokens/s · 12 tokens")
    assert answer == ["  It is", "", "  black."]


def test_all_at_once_stand_side_by_side_only_where_each_has_room() -> None:
    said = [answered(1, id_, f"{id_} says {LONG}", mixed=True) for id_ in (BASE, "tuned")]
    chat = two(asked(1, "Who?", BASE, "tuned"), *said)
    below, beside = lines(chat, 74), lines(chat, 75)
    assert below[1] == beside[1] == "  asked 2 at once · one mixed batch, exact · 70.6 tokens/s"
    assert [line for line in below if line.startswith("1 tuned")]
    assert beside[3].startswith("0 base ") and " 1 tuned " in beside[3]
    assert beside[4].startswith("  base says") and "  tuned says" in beside[4]
    assert all(cell_len(line) <= 75 for line in beside)


def test_one_batch_says_whether_it_is_exact() -> None:
    said = [answered(1, id_, "x", mixed=True) for id_ in (BASE, "tuned")]
    half = event("loaded", id=BASE, seconds=1.0, dtype="bfloat16", memory_bytes=1)
    chat = two(half, asked(1, "Who?", BASE, "tuned"), *said)
    assert "not exact in bfloat16" in lines(chat)[1]
    apart = [answered(1, id_, "x", seconds=1.0) for id_ in (BASE, "tuned")]
    chat = two(asked(1, "Who?", BASE, "tuned"), *apart)
    assert lines(chat)[1] == "  asked 2 at once · one after the other · 12.0 tokens/s"


def test_an_adapter_that_says_what_the_base_says_is_called_so() -> None:
    both = asked(1, "Who?", BASE, "tuned")
    same = two(both, answered(1, BASE, "I."), answered(1, "tuned", "I."))
    other = two(both, answered(1, BASE, "I."), answered(1, "tuned", "You."))
    assert sum("as the base" in line for line in lines(same, 60)) == 1
    assert not any("as the base" in line for line in lines(other, 60))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("cancelled", "▲ ended by you"),
        ("max_new_tokens", "▲ cut at max new tokens"),
        ("model's limit", "▲ cut at the model's limit"),
    ],
)
def test_an_answer_that_did_not_end_by_itself_says_so(how: str, says: str) -> None:
    chat = two(asked(1, "Who?", "tuned"), answered(1, "tuned", "I am", ended=how))
    assert says in lines(chat)[2]
    assert says in lines(chat, 36)[2]  # the rest gives way first


def test_what_was_not_answered_says_why_below_what_was_written() -> None:
    chat = two(
        asked(1, "Who?", "tuned"),
        event("piece", number=1, id="tuned", text="I a"),
        event("unanswered", number=1, id="tuned", summary="No memory.", hint="Ask\nless."),
    )
    head, *rest = lines(chat)[2:]
    assert head.endswith("✗ not answered")
    assert rest == ["  I a", "  No memory.", "  Ask", "  less."]


def test_a_very_long_prompt_is_folded_and_an_answer_is_not() -> None:
    prompt = "\n".join(f"line {at}" for at in range(5000))
    chat = two(asked(1, prompt, "tuned"), answered(1, "tuned", prompt))
    shown = lines(chat)
    assert "  (4,984 lines more; all of it was asked)" in shown
    assert shown[-1] == "  line 4999"


@given(
    st.text(max_size=300),
    st.text(max_size=600),
    st.integers(4, 130),
    st.sampled_from(["end of turn", "cancelled", ""]),
)
def test_any_text_fits_and_commands_nothing(prompt: str, text: str, width: int, ended: str) -> None:
    chat = two(
        asked(1, prompt, BASE, "tuned"),
        event("piece", number=1, id=BASE, text=text),
        answered(1, "tuned", text, ended=ended),
    )
    for line in lines(chat, width):
        assert cell_len(line) <= max(width, 12)
        assert line.isprintable()
    everything = "".join(lines(two(asked(1, "[bold]x[/]", "tuned"))))
    assert "[bold]x[/]" in everything


def test_only_the_turn_that_changed_is_laid_out_again() -> None:
    keeper = Lines()
    first = [asked(1, "One?", "tuned"), answered(1, "tuned", LONG), asked(2, "Two?", "tuned")]
    before = two(*first)
    after = two(*first, event("piece", number=2, id="tuned", text="And"))
    old, new = keeper.of(before, before.turns, 60), keeper.of(after, after.turns, 60)
    assert all(one is other for one, other in zip(old[:15], new[:15], strict=True))
    assert plain(new)[-1] == "  And"
    assert plain(keeper.of(after, after.turns, 40)) == lines(after, 40)


# --- what is asked, of whom --------------------------------------------------------------------


class Heard:
    """In place of a Talk: what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def use(self, id_: str) -> None:
        self.said.append(("use", id_))

    def ask(self, *what: Any) -> None:
        self.said.append(("ask", *what))


def heard(request: Any) -> tuple[Any, ...]:
    talk = Heard()
    request(talk)
    return talk.said[0]


def session(*events: Any) -> Session:
    found = Session(THREE)
    found.take(told(THREE, *loaded(THREE), *events))
    return found


def test_the_first_adapter_answers_first() -> None:
    assert heard(Session(THREE).first()) == ("use", "r16-alpaca")
    assert heard(Session(THREE[:1]).first()) == ("use", BASE)


def test_what_is_asked_is_shown_at_once_and_taken_over_from_the_engine() -> None:
    now = session()
    _, number, to, messages, settings = heard(now.ask("Who?", ["r8-pirate"]))
    assert (number, to) == (1, ["r8-pirate"])
    assert messages == [{"role": "user", "content": "Who?"}]
    assert settings == {"temperature": 0.0, "top_p": 1.0, "seed": 0, "max_new_tokens": 256}
    assert [turn.prompt for turn in now.turns] == ["Who?"] and now.is_answering
    assert "still answering" in now.why_not([BASE])
    now.take(told(THREE, *loaded(THREE), asked(1, "Who?", "r8-pirate")))
    assert [turn.prompt for turn in now.turns] == ["Who?"]


def test_each_is_given_its_own_answer_where_it_gave_one() -> None:
    now = session(
        asked(1, "One?", BASE, "r16-alpaca"),
        answered(1, BASE, "base one"),
        answered(1, "r16-alpaca", "tuned one"),
        asked(2, "Two?", "r16-alpaca"),
        answered(2, "r16-alpaca", "tuned two"),
    )
    now.settings = replace(now.settings, system="Be short.")
    everyone = now.chat.usable
    _, number, to, messages, _ = heard(now.ask("Three?", everyone))
    assert number == 3 and tuple(to) == everyone == tuple(messages)
    said = {id_: [one["content"] for one in messages[id_]] for id_ in everyone}
    tail = ["Two?", "tuned two", "Three?"]
    assert said[BASE] == ["Be short.", "One?", "base one", *tail]
    assert said["r16-alpaca"] == ["Be short.", "One?", "tuned one", *tail]
    assert said["r8-pirate"] == ["Be short.", "One?", "base one", *tail]


def test_a_new_conversation_forgets_and_comes_back_until_something_is_asked() -> None:
    now = session(asked(1, "One?", BASE), answered(1, BASE, "I."))
    now.begin_anew()
    assert not now.turns and now.can_undo
    now.undo()
    assert [turn.number for turn in now.turns] == [1] and not now.can_undo
    now.begin_anew()
    _, number, _, messages, _ = heard(now.ask("Two?", [BASE]))
    assert (number, [one["content"] for one in messages]) == (2, ["Two?"])
    assert not now.can_undo


def test_an_engine_that_died_before_it_took_up_a_question_leaves_it_unanswered() -> None:
    now = session()
    now.ask("Who?", [BASE])
    died = event("failed", summary="No memory.", hint="")
    now.take(told(THREE, *loaded(THREE), died))
    assert len(now.turns) == 1
    turn = now.turns[0]
    assert turn.is_over and turn.answer(BASE).failure["summary"] == "No memory."
    assert "starts it anew" in now.why_not([BASE])
    now.swap("r8-pirate")
    assert now.revive() == (turn,)
    assert not now.why_not([BASE]) and now.current == "r8-pirate"
    _, number, _, messages, _ = heard(now.ask("Again?", [BASE]))
    assert number == 2 and len(messages) == 1


def test_whoever_is_refused_does_not_answer() -> None:
    now = Session(THREE)
    now.swap("r32-other")
    refused = now.take(told(THREE, *loaded(THREE, ["r32-other"])))
    assert refused is not None and "r32-other: It was made for another base" in refused.summary
    assert now.current == "r16-alpaca"
    assert "another base" in now.why_not(["r32-other"]) and not now.why_not([BASE])
    now.swap(now.next_id(1))
    assert now.current == "r8-pirate"
    now.swap(now.next_id(1))
    assert now.current == BASE
    assert now.next_id(-1) == "r8-pirate"
