"""The chat engine on the demo's base: what it answers, and what it survives.

One engine is shared by all tests but those that end theirs.
"""

import os
import resource
import signal
from pathlib import Path

import pytest

from lora_tui.core import events, runs
from lora_tui.core.chat import (
    ATTACHED,
    CANCELLED,
    END_OF_TURN,
    GONE,
    MAX_NEW_TOKENS,
    MODEL_LIMIT,
    REFUSED,
    UNANSWERED,
    conversation,
)
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.members import BASE, Member, of_reference
from tests.adapters import write_adapter
from tests.engine.speaker import CROWD, GREEDY, Speaker, texts, user, write_home
from tools.terminal import wait_until

ENDLESS = {**GREEDY, "max_new_tokens": 400, "temperature": 10.0}
"""Any token is about as likely as another, so an answer hardly ends by itself."""
QUESTIONS = ("What is the capital of France?", "Who are you?", "Is ice hot or cold, in a word?")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Adapters to talk to, and where engines live."""
    return write_home(tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="module")
def at_home(home):
    """Starts engines in one home, not in that of a single test."""

    def start(*names):
        members = [of_reference(str(home / name)) for name in names if name != "whole"]
        if "whole" in names:
            members.append(Member("whole", "whole", "full", str(home / "whole"), "demo"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LORA_TUI_HOME", str(home / "lora-tui"))
            return Speaker(members)

    return start


@pytest.fixture(scope="module")
def speaker(at_home):
    """The engine that is shared: the base and, in this order, all that the home has."""
    shared = at_home("one", "two", "three", "dora", "broken", *CROWD, "whole")
    with shared.talk:
        shared.settle()
        yield shared


@pytest.fixture
def plain(home, tokenizer):
    """What PEFT and transformers say without any of this."""
    from tests.engine.plain import encoded, greedy, load

    def say(name, text):
        model = load() if name == BASE else load(home / name, "lora")
        said = greedy(model, tokenizer, encoded(tokenizer, text), GREEDY["max_new_tokens"])
        return tokenizer.decode(said, skip_special_tokens=True)

    return say


# --- answers -----------------------------------------------------------------------------------


def test_everybody_answers_as_plain_peft_and_transformers_do(speaker, plain):
    said = []
    for name, id_ in zip((BASE, "one", "three"), [BASE, *speaker.ids[1:4:2]], strict=True):
        (answer,) = speaker.answers([id_], user(QUESTIONS[0]))
        assert answer.text == plain(name, QUESTIONS[0])
        said.append(answer.text)
    assert len(set(said)) == 3  # else nobody could tell whether an adapter was there


def test_an_answer_comes_in_pieces_that_are_its_beginning(speaker):
    (answer,) = speaker.answers([BASE], user("Hello"), **{**ENDLESS, "max_new_tokens": 90})
    pieces = [event["text"] for event in speaker.of("piece", speaker.chat.turns[-1].number)]
    assert len(pieces) > 1
    assert answer.text.startswith("".join(pieces))
    assert answer.ended == MAX_NEW_TOKENS
    assert answer.tokens == 90
    assert answer.prompt_tokens
    assert answer.tokens_per_second


def test_one_mixed_batch_says_what_one_after_another_say(speaker):
    four = speaker.ids[:4]
    assert speaker.chat.is_exact
    seen = set()
    for question in QUESTIONS:
        together = speaker.answers(four, user(question))
        alone = [speaker.answers([id_], user(question))[0] for id_ in four]
        assert texts(together) == texts(alone)
        assert [answer.mixed for answer in (*together, *alone)] == [True] * 4 + [False] * 4
        seen |= {answer.text for answer in together}
    assert len(seen) > 6


def test_conversations_may_differ_within_a_batch(speaker):
    one, two = speaker.ids[1:3]
    talks = {one: user(QUESTIONS[0]), two: [*user("Hi"), {"role": "assistant", "content": "Yes?"}]}
    talks[two] += user(QUESTIONS[1])
    together = speaker.answers([one, two], talks)
    assert all(answer.mixed for answer in together)
    assert texts(together) == texts(speaker.answers([id_], talks[id_])[0] for id_ in (one, two))


def test_what_no_batch_can_hold_answers_one_after_another(speaker):
    asked = [BASE, speaker.ids[1], speaker.ids[4]]
    speaker.use(speaker.ids[2])
    together = speaker.answers(asked, user(QUESTIONS[0]))
    assert not any(answer.mixed for answer in together)
    assert speaker.chat.current == speaker.ids[2]  # asking all is no swap
    assert texts(together) == texts(speaker.answers([id_], user(QUESTIONS[0]))[0] for id_ in asked)


def test_the_same_seed_draws_the_same_for_each_whoever_else_is_asked(speaker):
    one, two = speaker.ids[1:3]
    drawn = {"temperature": 2.0, "seed": 7}
    (alone,) = speaker.answers([two], user(QUESTIONS[1]), **drawn)
    _, beside = speaker.answers([one, two], user(QUESTIONS[1]), **drawn)
    (other,) = speaker.answers([two], user(QUESTIONS[1]), temperature=2.0, seed=8)
    assert (alone.text, beside.mixed) == (beside.text, False)
    assert other.text != alone.text


def test_a_system_prompt_is_given(speaker):
    messages = conversation(speaker.chat, BASE, "Hi", system="Be brief. " * 9, since=10**6)
    (with_system,), (without,) = (
        speaker.answers([BASE], said) for said in (messages, messages[1:])
    )
    assert with_system.prompt_tokens > without.prompt_tokens


# --- members -----------------------------------------------------------------------------------


def test_the_refused_one_is_named_and_the_others_attached(speaker):
    chat = speaker.chat
    assert [seat.state for seat in chat.seats[:5]] == [ATTACHED] * 5
    assert all(seat.attach_milliseconds > 0 for seat in chat.seats[:5])
    assert "12 of 36 tensors are missing" in chat.seats[4].warnings[0]
    broken = chat.seats[5]
    assert broken.state == REFUSED
    assert "cannot be read" in broken.refused["summary"]
    assert "Copy the adapter here again" in broken.refused["hint"]


def test_one_who_was_refused_is_tried_again_when_asked(speaker, home):
    id_ = speaker.ids[5]
    good, refused = speaker.answers([BASE, id_], user("Hi"))
    assert (good.ended, refused.ended) == (END_OF_TURN, UNANSWERED)
    assert "cannot be read" in refused.failure["summary"]
    path = home / "broken" / "adapter_model.safetensors"
    before = path.read_bytes()
    write_adapter(home / "broken", r=4)
    try:
        speaker.use(id_)
        seat = speaker.chat.seat(id_)
        assert (seat.state, speaker.chat.current) == (ATTACHED, id_)
        assert speaker.answers([id_], user("Hi"))[0].ended == END_OF_TURN
    finally:
        path.write_bytes(before)


def test_swapping_away_and_back_gives_the_first_answer_again(speaker):
    one = speaker.ids[1]
    said = []
    for id_ in (one, BASE, one, speaker.ids[4], BASE, one):
        speaker.use(id_)
        assert speaker.chat.current == id_
        assert speaker.chat.seat(id_).swap_milliseconds > 0
        said.append(speaker.answers([id_], user(QUESTIONS[0]))[0].text)
    assert said[0] == said[2] == said[5] != said[1] == said[4]


def test_a_whole_model_is_loaded_when_it_is_wanted(speaker):
    speaker.use("whole")
    assert speaker.chat.seat("whole").state == ATTACHED
    base, whole = speaker.answers([BASE, "whole"], user(QUESTIONS[0]))
    assert base.text == whole.text
    assert not whole.mixed


def test_nobody_by_that_name(speaker):
    (answer,) = speaker.answers(["stranger"], user("Hi"))
    assert answer.failure["summary"] == "Nobody here is called stranger."
    speaker.use("stranger")
    assert speaker.chat.warnings[-1] == "Nobody here is called stranger."
    assert speaker.chat.current != "stranger"


# --- limits ------------------------------------------------------------------------------------


def test_what_is_too_long_is_never_cut(speaker):
    one = speaker.ids[1]
    talks = {one: user("How are you? " * 200), BASE: user("Hi")}
    long, short = speaker.answers([one, BASE], talks)
    assert short.ended == END_OF_TURN
    assert long.ended == UNANSWERED
    assert "made for 512 with the answer" in long.failure["summary"]
    assert "new conversation" in long.failure["hint"]


def test_an_answer_ends_where_the_model_does(speaker):
    (answer,) = speaker.answers([BASE], user("How are you? " * 96), **ENDLESS)
    assert answer.ended == MODEL_LIMIT
    assert answer.tokens + answer.prompt_tokens == 512


def test_cancelling_ends_all_that_was_asked_and_keeps_what_was_written(speaker):
    written, waiting = (speaker.ask([BASE], user("Hi"), **ENDLESS) for _ in range(2))
    speaker.until(lambda: speaker.of("piece", written))
    speaker.talk.cancel()
    speaker.settle()
    cancelled = [speaker.chat.turn(number).answer(BASE) for number in (written, waiting)]
    assert [answer.ended for answer in cancelled] == [CANCELLED] * 2
    assert cancelled[0].text and 0 < cancelled[0].tokens < 400
    assert (cancelled[1].text, cancelled[1].tokens) == ("", 0)
    assert speaker.answers([BASE], user("Hi"))[0].ended == END_OF_TURN


def test_out_of_memory_costs_an_answer_and_not_the_chat(speaker):
    asked = [*speaker.ids[:4], *speaker.ids[6:-1]]  # so that no room once freed is enough
    pid = speaker.of("started")[0]["pid"]
    before = speaker.answers(asked, user(QUESTIONS[0]))
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    taken = pages * resource.getpagesize()
    # A little room, so that it is the answer's tensors which find none.
    limits = resource.prlimit(pid, resource.RLIMIT_AS)
    resource.prlimit(pid, resource.RLIMIT_AS, (taken + (8 << 20), limits[1]))
    try:
        lost = speaker.answers(asked, user("How are you? " * 90))
    finally:
        resource.prlimit(pid, resource.RLIMIT_AS, limits)
    for answer in lost:
        assert answer.ended == UNANSWERED
        assert answer.failure["summary"] == "The memory was not enough for this."
        assert "The chat goes on" in answer.failure["hint"]
    assert texts(speaker.answers(asked, user(QUESTIONS[0]))) == texts(before)
    assert "allocate memory" in speaker.talk.run.log.read_text()
    assert speaker.of("started")[-1]["pid"] == pid


def test_nothing_was_printed_but_what_failed(speaker):
    """No chatter of the libraries: who looks into engine.log finds what went wrong."""
    speaker.answers([BASE], user("Hi"))
    assert "generation flags" not in speaker.talk.run.log.read_text()


# --- ends --------------------------------------------------------------------------------------


def test_an_engine_killed_in_mid_answer_is_called_gone(at_home):
    speaker = at_home("one")
    with speaker.talk:
        speaker.settle()
        number = speaker.ask([BASE], user("Hi"), **ENDLESS)
        speaker.until(lambda: speaker.of("piece", number))
        os.kill(speaker.of("started")[0]["pid"], signal.SIGKILL)
        for batch in speaker._follow:
            speaker._fold.fold(batch)
        chat = speaker._fold.gone()
        assert chat.state == "failed"
        assert "died without a word" in chat.failure["summary"]
        answer = chat.turn(number).answer(BASE)
        assert (answer.ended, dict(answer.failure)) == (UNANSWERED, GONE)
        assert answer.text  # what was written stays
        wait_until(lambda: speaker.talk._engine.poll() is not None, 180, "it did not die")
        with pytest.raises(LoraTuiError, match="died without a word"):
            speaker.talk.use(BASE)


def test_an_engine_that_is_left_while_it_loads_ends(at_home):
    speaker = at_home("one")
    speaker.until(lambda: speaker.of("started"))
    with speaker.talk:
        pass
    told = [event["kind"] for batch in events.batches(speaker.talk.run.events) for event in batch]
    assert told[-1] == "finished"
    assert "ready" not in told
    assert not runs.is_alive(speaker.talk.run)
    assert speaker.talk._engine.returncode == 0
