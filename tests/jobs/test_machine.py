"""Where a run would compute, and what is refused before anything starts."""

import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from lora_tui.core import preset_files, runs
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.platforms import visible_gpus
from lora_tui.core.preset_files import changed, with_settings
from lora_tui.core.presets import Preset
from lora_tui.jobs import control, launch, machine


def test_a_preset_for_the_cpu_has_the_machines_memory() -> None:
    place = machine.place_of(with_settings(Preset(), ["engine.device=cpu"]))
    assert place.platform.device == "cpu"
    assert place.free is not None and place.free > 0


@pytest.mark.parametrize(
    ("answer", "free", "bfloat16"),
    [
        ("NVIDIA H100, 1000, 81000, 5, 9.0", 80_000 << 20, True),
        ("Tesla T4, 0, 15000, 0, 7.5", 15_000 << 20, False),
        ("NVIDIA A100 MIG, [N/A], [N/A], [N/A], 8.0", None, True),
    ],
)
def test_a_gpu_is_asked_through_nvidia_smi(
    answer: str,
    free: int | None,
    bfloat16: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(machine, "_may_have_gpu", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    machine._gpus_lately.cache_clear()
    place = machine.place_of(Preset())
    assert place.platform.on_gpu
    assert place.platform.bfloat16 is bfloat16
    assert place.free == free


def test_gpus_that_are_not_named_once_are_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """nvidia-smi may take longer than one waits for it; a run that waits must not fail by that."""
    program = tmp_path / "nvidia-smi"
    line = "H200, 0, 143771, 0, 9.0"
    program.write_text(f"#!/bin/sh\necho '{line}'\necho '{line}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(machine, "_may_have_gpu", lambda: True)
    monkeypatch.setattr(machine, "_latest", [])
    second = changed(Preset(), {"engine.device": "cuda:1"})
    several = changed(Preset(), {"engine.processes": 3, "engine.backend": "transformers"})
    machine._gpus_lately.cache_clear()
    assert machine.wanted_devices(second, None).names == ("1",)
    assert machine.wanted_devices(Preset(), None).names == ("0", "1")
    with pytest.raises(BadInput, match="3 need a GPU each, and 2 are here"):
        machine.wanted_devices(several, None)
    program.write_text("#!/bin/sh\nexit 1\n")
    machine._gpus_lately.cache_clear()
    assert machine.wanted_devices(second, None).names == ("1",)
    monkeypatch.setattr(machine, "_latest", [])
    machine._gpus_lately.cache_clear()
    with pytest.raises(LoraTuiError, match="does not say") as told:
        machine.wanted_devices(second, None)
    assert not isinstance(told.value, BadInput)  # it waits on
    machine._gpus_lately.cache_clear()


def test_what_cannot_run_here_leaves_no_run_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_may_have_gpu", lambda: False)
    preset = with_settings(preset_files.find("demo"), ["model.load_in_4bit=true"])
    with pytest.raises(BadInput, match=r"model\.load_in_4bit"):
        launch.start(preset)
    assert runs.list_runs() == []


def test_a_gpu_that_is_not_there_is_refused_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_may_have_gpu", lambda: False)
    with pytest.raises(BadInput, match="no such GPU"):
        launch.start(with_settings(preset_files.find("demo"), ["engine.device=cuda"]))
    assert runs.list_runs() == []


@pytest.mark.parametrize(
    ("device", "visible", "number", "expected"),
    [
        ("auto", None, 0, "0"),
        ("cuda:1", None, 0, "1"),
        ("cuda:1", "3,5", 0, "5"),
        ("auto", "GPU-abc", 0, "GPU-abc"),
        ("cuda:2", "3,5", 0, ""),
        ("auto", "", 0, ""),
        ("cpu", "3", 0, ""),
        ("auto", None, 1, "1"),
        ("cuda", "3,5", 1, "5"),
        ("auto", "3,5", 2, ""),
        ("cpu", "3,5", 1, ""),
    ],
)
def test_a_process_sees_one_gpu_or_none(
    device: str, visible: str | None, number: int, expected: str
) -> None:
    assert visible_gpus(device, visible, number) == expected


@pytest.mark.parametrize(
    ("processes", "visible", "is_refused"), [(2, "3,5", False), (3, "3,5", True)]
)
def test_processes_need_a_gpu_each(
    processes: int, visible: str, is_refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_may_have_gpu", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    preset = with_settings(preset_files.find("demo"), [f"engine.processes={processes}"])
    with pytest.raises(BadInput, match=r"engine\.processes") if is_refused else nullcontext():
        machine.refuse(preset)


def test_only_the_latest_reports_are_kept() -> None:
    for number in range(launch.KEPT_REPORTS + 3):
        runs.create(Preset(name=f"p{number}"), kind="data")
    new = launch.start(preset_files.find("demo"), kind="data")
    left = runs.list_runs(new.path.parent)
    control.kill(new)
    assert len(left) == launch.KEPT_REPORTS
    assert new in left
