"""A result takes its place whole, or not at all."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lora_tui.core import locks, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.engine import merge, placing

WRITING = """
import sys
from pathlib import Path
from lora_tui.engine import placing
with placing.aside(Path(sys.argv[1])) as new:
    (new / "half").write_text("half")
    print("writing", flush=True)
    sys.stdin.read()
"""


def names(folder):
    return sorted(path.name for path in folder.rglob("*"))


def test_the_new_one_stands_where_the_old_one_stood(tmp_path):
    place = tmp_path / "deep" / "merged"
    for text in ("old", "new"):
        with placing.aside(place) as new:
            (new / "inner").mkdir()
            (new / "inner" / text).write_text(text)
            assert not (place / "inner" / text).exists()
    assert names(tmp_path) == ["deep", "inner", "merged", "new"]


def test_a_failure_leaves_the_old_one(tmp_path):
    place = tmp_path / "merged"
    place.mkdir()
    (place / "old").touch()
    with pytest.raises(KeyError), placing.aside(place) as new:
        (new / "new").touch()
        raise KeyError
    assert names(tmp_path) == ["merged", "old"]


def test_who_writes_there_is_not_disturbed_and_who_was_killed_is_cleared_away(tmp_path):
    place = tmp_path / "merged"
    other = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(place)], stdin=-1, stdout=-1, text=True
    )
    assert other.stdout is not None and other.stdout.readline() == "writing\n"
    with pytest.raises(LoraTuiError, match="Another job is writing"), placing.aside(place):
        pass
    assert names(tmp_path) == [".merged.new", "half"]
    other.kill()
    other.communicate()
    placing.remove_stale(place)
    assert not names(tmp_path)


@pytest.mark.parametrize("place", ["/", "/proc"])
def test_where_a_disk_is_mounted_nothing_is_placed(place):
    with (
        pytest.raises(LoraTuiError, match="nothing can take its place"),
        placing.aside(Path(place)) as new,
    ):
        pytest.fail(f"{new} was made")


def test_what_killed_merges_left_goes_with_the_next_one(tmp_path):
    """In the merge's own folder, or where it was to go; not what a living one writes.

    And one that died between two renames gets back what stood there.
    """
    dead = [merge_into(""), merge_into(tmp_path / "far" / "merged")]
    left = [dead[0].path / ".merged.new", tmp_path / "far" / ".merged.new"]
    alive = merge_into("")
    (tmp_path / "far/.merged.old/old").mkdir(parents=True)
    for folder in (*left, alive.path / ".merged.new"):
        folder.mkdir(parents=True)
        (folder / "model.safetensors").touch()
    with alive.lock.open("w") as lock:
        locks.take(lock.fileno())
        merge.remove_leftovers()
    assert not any(folder.exists() for folder in left)
    assert names(tmp_path / "far") == ["merged", "old"]
    assert (alive.path / ".merged.new" / "model.safetensors").exists()


def merge_into(out):
    return runs.create(Preset(), name="merge", kind="merge", options={"out": str(out)})


def test_a_place_removed_meanwhile_is_not_made_again(tmp_path):
    """The library that writes makes its folder anew: nothing of that stays."""
    place = tmp_path / "run" / "merged"
    with pytest.raises(FileNotFoundError, match="removed meanwhile"), placing.aside(place) as new:
        shutil.rmtree(tmp_path / "run")
        new.mkdir(parents=True)
        (new / "model.safetensors").touch()
    assert not (tmp_path / "run").exists()


def test_a_crash_between_two_renames_is_mended(tmp_path):
    place = tmp_path / "merged"
    (tmp_path / ".merged.old").mkdir()
    (tmp_path / ".merged.old" / "old").touch()
    placing.recover(place)
    assert names(tmp_path) == ["merged", "old"]
    with placing.aside(place) as new:
        (new / "new").touch()
    assert names(tmp_path) == ["merged", "new"]


def test_of_a_link_what_it_points_to_is_mended(tmp_path):
    link, far = tmp_path / "merged", tmp_path / "far"
    link.symlink_to(far / "result")
    for folder in (".result.old/old", ".result.new"):
        (far / folder).mkdir(parents=True)
    placing.remove_stale(link)
    placing.recover(link)
    assert names(far) == ["old", "result"]
