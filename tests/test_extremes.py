"""A home that cannot be written, a log that cannot, a run that is removed: each has its words."""

import fcntl
import shutil
import subprocess
import sys

import pytest

from lora_tui.core import events, locations, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.jobs import spawn

WRITERS = """
from lora_tui.core import preset_files, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.core.summary import headline
from lora_tui.jobs import control, launch
(run,) = runs.list_runs()
print(headline(run).state, headline(run).step)
for act in (
    lambda: launch.start(Preset()),
    lambda: launch.resume(run),
    lambda: runs.delete(run),
    lambda: preset_files.save(Preset(), "mine"),
):
    try:
        act()
    except LoraTuiError as error:
        print(error.summary)
"""


def test_in_a_read_only_home_everything_is_shown_and_nothing_begins() -> None:
    run = runs.create(Preset(), name="old")
    events.append(run.events, "launched", pid=1)
    events.append(run.events, "step", step=7, loss=1.0)
    home = locations.home()
    script = (
        f"mount --bind {home} {home} && mount -o remount,bind,ro {home} && "
        f'exec "{sys.executable}" -c "$0"'
    )
    command = ["unshare", "-rm", "sh", "-c", script, WRITERS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown, *refused = done.stdout.splitlines()
    assert shown == "crashed 7"
    assert len(refused) == 4 and all("Read-only file system" in one for one in refused), refused


def test_an_engine_without_a_log_is_not_started() -> None:
    run = runs.create(Preset(), name="no-log")
    run.log.mkdir()
    with pytest.raises(LoraTuiError, match=r"did not start: .*Is a directory.*engine\.log"):
        spawn.spawn(run, "train")
    assert not runs.is_alive(run) and not run.events.exists()


def test_who_watches_a_run_is_told_that_it_was_removed() -> None:
    run = runs.create(Preset(), name="removed")
    events.append(run.events, "launched", pid=1)
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        watching = subprocess.Popen(
            [sys.executable, "-m", "lora_tui", "watch", run.id],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert watching.stdout is not None and "launched" in watching.stdout.readline()
        shutil.rmtree(run.path)
    said, _ = watching.communicate()
    assert watching.returncode == 1 and said == f"{run.id} is gone: its folder was removed.\n"
