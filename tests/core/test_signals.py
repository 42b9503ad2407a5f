"""What a terminal is sent: nothing that comes from elsewhere can end a sequence or begin one."""

import pytest

from lora_tui.core.config import Notify
from lora_tui.core.signals import signals

XTERM = {"TERM": "xterm-256color"}


def test_bell_and_both_notifications_reach_a_terminal_that_may_know_either() -> None:
    told = signals("lora-tui", "r16 finished", Notify(), XTERM)
    assert told == ("\a\x1b]9;lora-tui: r16 finished\a\x1b]777;notify;lora-tui;r16 finished\a")


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (Notify(bell=False, desktop=False), ""),
        (Notify(desktop=False), "\a"),
    ],
)
def test_what_is_switched_off_is_not_sent(how: Notify, told: str) -> None:
    assert signals("a", "b", how, XTERM) == told


@pytest.mark.parametrize("term", ["foot", "xterm-kitty", "rxvt-unicode-256color"])
def test_a_terminal_that_knows_both_is_told_once(term: str) -> None:
    assert signals("a", "b", Notify(bell=False), {"TERM": term}) == "\x1b]777;notify;a;b\a"


@pytest.mark.parametrize("term", ["", "dumb", "linux", "vt220"])
def test_a_terminal_that_might_print_it_gets_the_bell_alone(term: str) -> None:
    assert signals("a", "b", Notify(), {"TERM": term}) == "\a"


def test_tmux_is_asked_to_pass_it_on() -> None:
    told = signals("a", "b", Notify(), {"TERM": "tmux-256color", "TMUX": "/tmp/tmux,1,0"})
    assert told.startswith("\a\x1bPtmux;\x1b\x1b]9;a: b\a\x1b\\\x1bPtmux;\x1b\x1b]777;notify;")


def test_a_name_can_neither_end_a_sequence_nor_make_a_field() -> None:
    odd = "4;99\x1b\\\a\x9c\n;rm"
    told = signals(odd, odd, Notify(bell=False), XTERM)
    assert told.count("\x1b") == 2 and told.count("\a") == 2
    assert told.count(";") == 1 + 3 and "\n" not in told and "\x9c" not in told


def test_a_long_text_is_cut() -> None:
    assert len(signals("a", "x" * 10_000, Notify(), XTERM)) < 1000
