"""The process that goes on with the queue: it comes when needed and ends when nothing waits."""

import subprocess
import sys

from lora_tui.core import devices, locks, runs
from lora_tui.core import queue as tickets
from lora_tui.core.presets import Preset
from lora_tui.core.summary import headline
from lora_tui.jobs import keeping, launch
from tools.terminal import wait_until


def test_the_keeper_starts_what_waits_and_ends() -> None:
    """With the processor another run's, and nobody else to look."""
    busy = devices.take(devices.Wanted(("cpu",)), (), runs.create(Preset(), name="other"))
    broken = launch.start(Preset(name="p"), name="broken")
    broken.preset.write_text("not = a [preset")  # so that no engine has to load
    wait_until(
        lambda: locks.is_held(keeping.lock()) or tickets.read(broken) is None, 30, "no keeper came"
    )
    wait_until(lambda: headline(broken).state == "failed", 30, "it was not tried")
    wait_until(lambda: not locks.is_held(keeping.lock()), 30, "the keeper did not end")
    assert keeping.log().read_text() == "" and busy
    busy.close()


def test_a_second_keeper_ends_at_once() -> None:
    keeping.lock().parent.mkdir(parents=True)
    with keeping.lock().open("w") as lock:
        locks.take(lock.fileno())
        done = subprocess.run([sys.executable, "-m", "lora_tui.jobs.keeper"], timeout=30)
    assert done.returncode == 0
