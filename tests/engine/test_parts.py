"""The small parts: refusals, environment, lock, checkpoints, the fused head."""

import os
import subprocess
import sys
from typing import Any

import pytest

from lora_tui.core import preset_files, runs
from lora_tui.core.presets import Preset
from lora_tui.engine import checkpoints, environment, locking

# --- Environment -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("auto", None, "0"),
        ("cuda", None, "0"),
        ("cuda:3", None, "3"),
        ("cuda:1", "4,5", "5"),
        ("auto", "GPU-abc,GPU-def", "GPU-abc"),
        ("cuda:2", "4,5", ""),
        ("auto", "", ""),
        ("cpu", "4,5", ""),
    ],
)
def test_one_device_is_visible(monkeypatch, device, visible, expected):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("UNSLOTH_FORCE_CPU", "0")
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environment.choose_device(device)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == expected


def test_what_is_here_needs_no_hub(tmp_path):
    assert not environment.needs_hub(preset_files.find("demo"))
    assert environment.needs_hub(preset_files.find("smollm2-lora"))
    local = [f"model.name_or_path={tmp_path}", f"data.source={tmp_path}"]
    assert not environment.needs_hub(preset_files.with_settings(Preset(), local))


def test_memory_is_this_process_own():
    code = "import lora_tui.engine.machine as m; print(m.peak_memory(None, 'cpu'))"
    ballast = bytearray(400_000_000)
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert 5_000_000 < int(printed) < 100_000_000
    del ballast


# --- Lock and checkpoints ----------------------------------------------------------------------


def test_the_lock_is_taken_once(tmp_path):
    run = runs.Run(tmp_path)
    locking.hold(run)
    assert runs.is_alive(run)
    locking.hold(run)  # inherited or taken before: fine
    code = (
        "from pathlib import Path; from lora_tui.core.runs import Run;"
        f"from lora_tui.engine import locking; locking.hold(Run(Path({str(tmp_path)!r})))"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "is already running" in other.stderr
    engine = [sys.executable, "-m", "lora_tui.engine", "train", str(tmp_path)]
    second = subprocess.run(engine, capture_output=True, text=True)
    assert second.returncode == 1
    assert "is already running" in second.stderr
    assert not run.events.exists()  # they belong to the engine that holds the lock


def step_of(run):
    """The step a resume would begin at."""
    found = checkpoints.last_complete(run)
    return found and found[0]


def test_only_a_whole_checkpoint_counts(short_run, tmp_path):
    import shutil

    shutil.copytree(short_run.run.checkpoints, tmp_path / "checkpoints")
    run = runs.Run(tmp_path)
    newest = tmp_path / "checkpoints" / "checkpoint-11"
    assert step_of(run) == 11
    state = newest / "trainer_state.json"
    whole = state.read_text()
    state.write_text(whole[: len(whole) // 2])
    assert step_of(run) == 8
    state.write_text(whole)
    weights = newest / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    assert step_of(run) == 8
    (tmp_path / "checkpoints" / "checkpoint-8" / "trainer_state.json").unlink()
    assert step_of(run) is None


def test_old_checkpoints_are_cleared_and_state_does_not_grow(short_run):
    import json

    assert runs.checkpoint_steps(short_run.run) == [8, 11]
    names = {path.name for path in short_run.run.checkpoints.iterdir()}
    assert names == {"checkpoint-8", "checkpoint-11"}
    state = json.loads(
        (short_run.run.checkpoints / "checkpoint-11" / "trainer_state.json").read_text()
    )
    assert state["log_history"] == []
    assert state["stateful_callbacks"]["Report"]["attributes"]["tokens"] > 0


# --- The fused head ----------------------------------------------------------------------------


@pytest.mark.parametrize(("softcap", "has_bias"), [(None, False), (None, True), (5.0, True)])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize("trained", [(0,), (0, 1)])
def test_the_stand_in_for_trls_kernel_is_a_log_softmax(
    monkeypatch, softcap, has_bias, chunked, trained
):
    import torch

    from lora_tui.engine import fused_head

    if chunked:
        monkeypatch.setattr(fused_head, "_MOST_LOGITS", 200)
    torch.manual_seed(0)
    both = [torch.randn(17, 8), torch.randn(40, 8)]
    wanted = [both[at].requires_grad_() for at in trained]
    hidden, weight = both
    bias, targets = torch.randn(40) if has_bias else None, torch.randint(0, 40, (17,))
    result: Any = fused_head.LogProbs.apply(
        hidden, weight, bias, targets, 2.0, 8192, softcap, 0.5, ("log_probs", "entropy")
    )
    found, entropy, *others = result
    assert entropy.isnan().all()
    assert others == [None, None, None]
    logits = 0.5 * (hidden @ weight.T + (bias if has_bias else 0))
    logits = softcap * torch.tanh(logits / softcap) if softcap else logits
    expected = torch.log_softmax(logits / 2, -1)[torch.arange(17), targets]
    assert torch.allclose(found, expected, atol=1e-5)
    outer = torch.randn(17)
    ours = torch.autograd.grad(found, wanted, outer)
    theirs = torch.autograd.grad(expected, wanted, outer)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(ours, theirs, strict=True))
