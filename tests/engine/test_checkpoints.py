"""Checkpoints take their place whole, leave it whole, and stay as they are in between."""

import os
import shutil
import threading

import pytest

from lora_tui.core import runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.engine import checkpoints
from tools.terminal import wait_until


@pytest.fixture
def run():
    """A run without checkpoints."""
    found = runs.create(Preset(), name="saved")
    found.checkpoints.mkdir()
    return found


def make(run, *steps):
    """What counts as checkpoints where only their names matter."""
    for step in steps:
        folder = run.checkpoints / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "trainer_state.json").write_text("{}")


def names(run):
    return sorted(path.name for path in run.checkpoints.iterdir())


@pytest.mark.parametrize(
    ("steps", "saved", "best", "left"),
    [
        ([4], 4, 0, [4]),
        ([4, 8, 12], 12, 0, [8, 12]),
        ([4, 8, 12], 12, 4, [4, 12]),
        ([4, 8, 12], 12, 8, [8, 12]),
        ([4, 8, 12], 12, 12, [8, 12]),
        ([4, 8, 100], 8, 4, [4, 8]),  # gone back to 4, and saved since
        ([4, 8, 100], 8, 0, [8, 100]),
    ],
)
def test_neither_the_last_nor_the_best_is_cleared_away(run, steps, saved, best, left):
    make(run, *steps)
    checkpoints.prune(run, saved, best)
    assert runs.checkpoint_steps(run) == left
    assert len(names(run)) == len(left)


def test_what_a_crash_left_is_cleared_away_and_what_it_renamed_is_put_back(short_run, run):
    shutil.copytree(short_run.run.checkpoints, run.checkpoints, dirs_exist_ok=True)
    whole = names(run)
    shutil.copytree(run.checkpoints / "checkpoint-11", run.checkpoints / ".checkpoint-12.new")
    shutil.copytree(run.checkpoints / "checkpoint-8", run.checkpoints / ".checkpoint-4.gone")
    (run.checkpoints / "checkpoint-8").rename(run.checkpoints / ".checkpoint-8.old")
    make(run, 16)
    checkpoints.discard_broken(run)
    assert names(run) == whole
    found = checkpoints.last_complete(run)
    assert found is not None and found[0] == 11


def test_a_checkpoint_that_another_run_shares_is_not_touched_with_it(short_run, run):
    """A branch links the files of the checkpoint it begins with."""
    ours = run.checkpoints / "checkpoint-11"
    shutil.copytree(short_run.run.checkpoints / "checkpoint-11", ours, copy_function=os.link)
    make(run, 14, 15)
    before = {path.name: path.read_bytes() for path in ours.iterdir()}
    checkpoints.prune(run, 15, 14)
    assert runs.checkpoint_steps(run) == [14, 15]
    theirs = short_run.run.checkpoints / "checkpoint-11"
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == before


def test_a_damaged_random_state_or_setting_is_no_checkpoint(short_run, run):
    ours = run.checkpoints / "checkpoint-11"
    shutil.copytree(short_run.run.checkpoints / "checkpoint-11", ours)
    assert checkpoints.is_whole(ours, 11)
    for name in ("rng_state.pth", "adapter_config.json", "scheduler.pt"):
        file = ours / name
        data = file.read_bytes()
        file.write_bytes(bytes(len(data)))
        assert not checkpoints.is_whole(ours, 11), name
        file.unlink()
        assert not checkpoints.is_whole(ours, 11) or name == "adapter_config.json"
        file.write_bytes(data)
    (ours / "rng_state.pth").rename(ours / "rng_state_0.pth")  # as several processes write it
    assert checkpoints.is_whole(ours, 11)


def test_a_run_removed_at_work_ends_and_does_not_come_back(engines, few_rows, tmp_path):
    """In the middle of a step or of a checkpoint: libraries make the folders they write into."""
    settings = ("max_steps=4000", "save_steps=1", "eval_steps=0")
    chosen = [f"training.{one}" for one in settings]
    run = engines.create("demo", *chosen, f"data.source={few_rows}", "engine.backend=transformers")

    def remove():
        wait_until(lambda: any(run.checkpoints.glob(".*.new")), 120, "none is being written")
        run.path.rename(tmp_path / "removed")

    remover = threading.Thread(target=remove)
    remover.start()
    ended = engines.warm(run, "train", "transformers")
    remover.join()
    assert ended.code == 1
    assert not run.path.exists()
    said = (tmp_path / "removed" / "events.jsonl").read_text()
    assert '"kind":"finished"' not in said and '"step":4000' not in said


def test_nothing_is_saved_in_a_removed_run(run):
    checkpoints.refuse_removed(run)
    shutil.rmtree(run.path)
    with pytest.raises(LoraTuiError, match="was removed while its engine was at work"):
        checkpoints.refuse_removed(run)
