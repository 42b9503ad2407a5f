"""Which devices a run may take, and that nobody else takes them meanwhile."""

import errno
import fcntl
import os
import subprocess
import sys

import pytest

from lora_tui.core import devices, runs
from lora_tui.core.devices import Wanted
from lora_tui.core.presets import Preset


@pytest.mark.parametrize(
    ("device", "processes", "visible", "count", "names"),
    [
        ("auto", 1, None, 0, Wanted(("cpu",))),
        ("cpu", 2, None, 0, Wanted(("cpu",))),
        ("auto", 1, None, 2, Wanted(("0", "1"))),
        ("cuda", 2, None, 4, Wanted(("0", "1", "2", "3"), 2)),
        ("cuda:1", 1, None, 2, Wanted(("1",), is_named=True)),
        ("auto", 1, "2,GPU-abc", 4, Wanted(("2", "GPU-abc"))),
        ("cuda:1", 1, "2, GPU-abc", 4, Wanted(("GPU-abc",), is_named=True)),
    ],
)
def test_a_preset_names_the_devices_it_may_take(
    device: str, processes: int, visible: str | None, count: int, names: Wanted
) -> None:
    gpus = devices.gpu_names(visible, count) if count else ()
    assert devices.wanted(device, processes, gpus) == names


def test_a_taken_device_is_nobody_elses_until_its_engine_ends() -> None:
    one, two = (runs.create(Preset(name="p"), name=name) for name in "ab")
    both = Wanted(("0", "1"))
    first = devices.take(both, (), one)
    second = devices.take(both, (), two)
    assert first and second and first.names == ("0",) and second.names == ("1",)
    assert devices.take(both, (), two) is None
    engine = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=first.handles
    )
    first.close()
    assert devices.take(both, (), two) is None  # its engine holds it
    engine.communicate(b"\n")
    again = devices.take(both, (), two)
    assert again and again.names == ("0",)
    again.close()
    second.close()


def test_too_few_devices_are_none_and_reserved_ones_are_left() -> None:
    run = runs.create(Preset(name="p"))
    held = devices.take(Wanted(("1",)), (), run)
    assert held
    assert devices.take(Wanted(("0", "1"), 2), (), run) is None
    assert devices.take(Wanted(("0", "1")), {"0"}, run) is None
    free = devices.take(Wanted(("0", "1")), (), run)  # the attempt for two holds nothing
    assert free and free.names == ("0",)
    free.close()
    held.close()


def test_a_device_that_was_not_taken_is_not_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk: whose attempt failed would else keep everybody off it."""
    run = runs.create(Preset(name="p"))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            devices.take(Wanted(("0", "1"), 2), (), run)
    taken = devices.take(Wanted(("0", "1"), 2), (), run)
    assert taken
    taken.close()


def test_a_run_is_named_on_its_latest_device_only() -> None:
    run = runs.create(Preset(name="p"))
    for name in "01":
        taken = devices.take(Wanted((name,)), (), run)
        assert taken
        taken.close()
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert devices.holders() == {"1": run}


def test_who_holds_a_device_is_told_while_it_lives() -> None:
    run = runs.create(Preset(name="p"))
    taken = devices.take(Wanted(("cpu",)), (), run)
    assert taken and devices.holders() == {}
    with run.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert devices.holders() == {"cpu": run}
    taken.close()
    for handle in taken.handles:
        with pytest.raises(OSError):
            os.fstat(handle)
