"""What a chat engine is told, and how token ids become text: no engine is needed."""

import fcntl
import os
import queue
import signal
import termios
from array import array
from types import SimpleNamespace

import pytest

from lora_tui.engine.chat_requests import Ask, Requests, Use
from lora_tui.engine.chat_stream import Words
from tools.terminal import wait_until


@pytest.fixture
def listened():
    """A pipe that is read as an engine reads its standard input."""
    stops: queue.SimpleQueue[None] = queue.SimpleQueue()
    before = signal.signal(signal.SIGTERM, lambda *_: stops.put(None))
    read, write = os.pipe()
    refused: list[str] = []

    def is_empty():
        left = array("i", [0])
        fcntl.ioctl(read, termios.FIONREAD, left)
        return left[0] == 0

    yield SimpleNamespace(
        requests=Requests(read, refused.append), write=write, refused=refused, is_empty=is_empty
    )
    os.close(write)
    stops.get(timeout=180)
    signal.signal(signal.SIGTERM, before)
    os.close(read)


ASK = b'{"do":"ask","number":1,"to":["a","a","b"],"messages":[{"role":"user","content":"?"}]'


def test_requests_come_in_order_however_they_were_cut(listened):
    line = ASK + b',"settings":{"seed":3}}\n{"do":"use","id":"b"}\n'
    for at in range(0, len(line), 50):
        os.write(listened.write, line[at : at + 50])
        wait_until(listened.is_empty, 180, "nobody reads")
    ask, use = listened.requests.next(), listened.requests.next()
    assert isinstance(ask, Ask)
    assert (ask.number, ask.to, ask.prompt) == (1, ("a", "b"), "?")
    assert ask.settings == {"max_new_tokens": 256, "temperature": 0.0, "top_p": 1.0, "seed": 3}
    assert use == Use("b")
    os.write(listened.write, b'{"do":"cancel"}\n' + ASK + b"}\n")
    later = listened.requests.next()
    assert (ask.requested, later.requested) == (True, False)
    assert not listened.requests.ended


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"garbage", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[1]", "no JSON object"),
        (b"{}", "asks for None"),
        (b'{"do":"use"}', "`id`"),
        (ASK.replace(b"1,", b'"1",') + b"}", "`number`"),
        (ASK.replace(b'["a","a","b"]', b"[]") + b"}", "`to`"),
        (ASK.replace(b'{"role":"user","content":"?"}', b"") + b"}", "`messages`"),
        (ASK.replace(b'"user"', b"7") + b"}", "`messages`"),
        (ASK.replace(b'[{"role"', b'{"a":[{"role"') + b"}}", "`messages`"),
        (ASK + b',"settings":{"temperature":-1}}', "settings.temperature"),
        (ASK + b',"settings":{"temperature":NaN}}', "settings.temperature"),
        (ASK + b',"settings":{"max_new_tokens":0}}', "settings.max_new_tokens"),
        (ASK + b',"settings":{"top_p":0}}', "settings.top_p"),
        (ASK + b',"settings":{"seed":1.5}}', "settings.seed"),
        (ASK + b',"settings":{"seed":true}}', "settings.seed"),
        (ASK + b',"settings":{"top_k":1}}', "settings.top_k: unknown"),
        (ASK + b',"settings":[]}', "`settings` is no object"),
    ],
)
def test_a_line_that_is_no_request_is_said_to_be_none(listened, line, why):
    os.write(listened.write, b"\n" + line + b'\n{"do":"use","id":"a"}\n')
    assert listened.requests.next() == Use("a")
    assert len(listened.refused) == 1
    assert why in listened.refused[0]


@pytest.mark.parametrize(
    "text", ["naïve \N{LLAMA}\N{LLAMA} 日本語, café", " two  spaces\n\n- a\n", ""]
)
def test_text_out_of_tokens_is_never_a_broken_character(tokenizer, text):
    words = Words(tokenizer)
    pieces = [words.add(token) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    assert "".join(pieces) == words.text == text
    assert all("\N{REPLACEMENT CHARACTER}" not in piece for piece in pieces)
    assert len(pieces) > len([piece for piece in pieces if piece]) or text.isascii()


def test_special_tokens_are_not_shown(tokenizer):
    words = Words(tokenizer)
    ids = tokenizer("yes", add_special_tokens=False)["input_ids"]
    assert [words.add(tokenizer.eos_token_id), *map(words.add, ids)] == [
        "",
        *words_of(tokenizer, ids),
    ]
    assert words.text == "yes"


def words_of(tokenizer, ids):
    return [tokenizer.decode([token]) for token in ids]
