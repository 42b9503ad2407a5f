"""How an engine's process ends."""

import subprocess
import sys


def test_it_leaves_with_its_code_its_words_and_what_was_to_be_done_at_the_end():
    code = (
        "import atexit; from lora_tui.engine.__main__ import leave\n"
        "atexit.register(print, 'tidied'); print('said', end=' '); leave(3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "said tidied\n")


def test_an_unknown_verb_is_said():
    done = subprocess.run(
        [sys.executable, "-m", "lora_tui.engine", "fly", "/nowhere"], capture_output=True, text=True
    )
    assert done.returncode == 2 and "usage:" in done.stderr
