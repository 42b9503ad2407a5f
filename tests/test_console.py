"""What the command line tells whoever sits at its terminal."""

import subprocess
import sys

from lora_tui.core import config
from lora_tui.core.files import private_folder
from tools.terminal import Terminal

RING = [sys.executable, "-c", "from lora_tui.console import ring; ring('r16; \\x1b[2Jfinished')"]


def test_a_terminal_is_rung() -> None:
    with Terminal(RING, {"TMUX": ""}) as terminal:
        assert terminal.wait_for_end() == 0
    assert b"\a\x1b]9;lora-tui: r16, " in terminal.raw and b"\x1b[2J" not in terminal.raw


def test_a_file_is_not() -> None:
    done = subprocess.run(RING, capture_output=True, env={"TERM": "xterm"}, check=True)
    assert done.stdout == done.stderr == b""


def test_settings_that_are_wrong_are_said_and_fail_nothing() -> None:
    private_folder(config.path().parent)
    config.path().write_text("[notify]\nbel = true\n")
    with Terminal(RING) as terminal:
        assert terminal.wait_for_end() == 0
    assert "did you mean bell?" in terminal.text and b"\a" not in terminal.raw
