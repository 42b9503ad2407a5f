"""What the quantising child asks of its system."""

import ctypes
import sys

from lora_tui.engine import quantise


def test_a_system_without_prctl_quantises_all_the_same(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())  # a C library without it
    quantise._die_with_parent()
