"""What an export leaves in its folder."""

import json
import os
from contextlib import suppress

import pytest

from lora_tui.core import export_files, locks
from lora_tui.core.export_files import fingerprint, finish, is_ours, made, part_of, proof_of
from lora_tui.core.exporting import ExportFile
from lora_tui.core.proofs import PASS, Proof

FROM = {"model": "abc"}


def finished(folder, content=b"weights", by="job", made_from=FROM):
    path = folder / "a-Q8_0.gguf"
    part = part_of(path, by)
    part.write_bytes(content)
    proof = Proof(PASS, {"kl": 1e-4}, {"kl": 1e-3})
    file = ExportFile(
        "q8_0", str(path), "done", None, len(content), {"q8_0": 3, "f32": 2}, 1.5, proof
    )
    finish(part, path, file, made_from)
    return path, file


def test_a_file_gets_its_name_with_its_proof_beside_it(tmp_path):
    path, file = finished(tmp_path)
    assert {one.name for one in tmp_path.iterdir()} == {path.name, proof_of(path).name}
    kept = made(path, FROM)
    assert kept is not None and kept.state == "kept"
    assert (kept.proof, kept.bytes, kept.types, kept.seconds) == (
        file.proof,
        file.bytes,
        file.types,
        1.5,
    )
    assert made(path) == kept


def spoil_proof(path):
    proof_of(path).write_text("{", "utf-8")


def change_size(path):
    path.write_bytes(b"other weights")


def change_content(path):
    path.write_bytes(b"WEIGHTS")


def lose_verdict(path):
    document = json.loads(proof_of(path).read_text("utf-8"))
    document["proof"]["verdict"] = "fine"
    proof_of(path).write_text(json.dumps(document), "utf-8")


@pytest.mark.parametrize(
    "damage",
    [
        spoil_proof,
        change_size,
        change_content,
        lose_verdict,
        os.remove,
        lambda path: proof_of(path).unlink(),
    ],
)
def test_what_is_not_as_it_was_left_is_not_kept(damage, tmp_path):
    path, _ = finished(tmp_path)
    damage(path)
    assert made(path, FROM) is None


def test_what_was_made_from_something_else_is_not_kept(tmp_path):
    path, _ = finished(tmp_path)
    assert made(path, {"model": "abd"}) is None


def test_a_crash_at_any_step_never_leaves_a_file_beside_another_ones_proof(tmp_path, monkeypatch):
    """Of the same size and name: only the order of the steps tells them apart."""
    for steps in range(1, 8):
        folder = tmp_path / str(steps)
        folder.mkdir()
        path, _ = finished(folder, b"weights", made_from={"model": "old"})
        with monkeypatch.context() as patch:
            _crash_after(steps, patch)
            with suppress(KeyboardInterrupt):
                finished(folder, b"WEIGHTS", made_from={"model": "new"})
        kept = made(path, {"model": "new"})
        assert kept is None or path.read_bytes() == b"WEIGHTS"
        kept = made(path, {"model": "old"})
        assert kept is None or path.read_bytes() == b"weights"


def _crash_after(steps, patch):
    left = [steps]
    path_class = type(proof_of.__globals__["Path"]())

    def counted(name):
        real = getattr(path_class, name)

        def step(*arguments, **options):
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return real(*arguments, **options)

        patch.setattr(path_class, name, step)

    for name in ("open", "unlink", "replace"):
        counted(name)


def test_what_cannot_get_its_name_leaves_what_stood_there(tmp_path):
    (tmp_path / "a-Q8_0.gguf").mkdir()
    with pytest.raises(OSError):
        finished(tmp_path)
    assert not proof_of(tmp_path / "a-Q8_0.gguf").exists()
    proof_of(tmp_path / "a-Q8_0.gguf").write_text("before")
    with pytest.raises(OSError):
        finished(tmp_path)
    assert proof_of(tmp_path / "a-Q8_0.gguf").read_text() == "before"


def test_a_crash_between_the_renames_leaves_nothing_that_the_next_export_may_not_replace(
    tmp_path, monkeypatch
):
    for steps in range(8):
        folder = tmp_path / str(steps)
        folder.mkdir()
        with monkeypatch.context() as patch:
            _crash_after(steps, patch)
            with suppress(KeyboardInterrupt):
                finished(folder)
        assert is_ours(folder / "a-Q8_0.gguf")


def test_a_job_clears_up_after_itself_and_not_after_one_whose_name_begins_as_its_own(tmp_path):
    path = tmp_path / "a-Q8_0.gguf"
    for job in ("job", "job-2"):
        part_of(path, job).write_bytes(b"half")
        (tmp_path / f".a-LORA.gguf.{job}.base.part").write_bytes(b"half")
    export_files.clear(tmp_path, "job")
    left = {one.name for one in tmp_path.iterdir()}
    assert left == {part_of(path, "job-2").name, ".a-LORA.gguf.job-2.base.part"}


def test_only_what_an_export_made_may_be_replaced(tmp_path):
    path, _ = finished(tmp_path)
    assert is_ours(path) and is_ours(tmp_path / "free.gguf")
    proof_of(path).unlink()
    assert not is_ours(path)
    folder = tmp_path / "folder.gguf"
    folder.mkdir()
    assert not is_ours(folder)


def test_what_dead_jobs_left_is_removed_and_what_others_write_stays(tmp_path):
    folder, jobs = tmp_path / "to", tmp_path / "jobs"
    folder.mkdir()
    (jobs / "dead").mkdir(parents=True)
    (jobs / "alive").mkdir()
    path = folder / "a-Q8_0.gguf"
    names = ("dead", "alive", "elsewhere", "long-ago")
    parts = {job: part_of(path, job) for job in names}
    for part in parts.values():
        part.write_bytes(b"half")
    (folder / ".a-Q8_0.gguf.dead.proof.part").write_text("{")
    (folder / ".a-LORA.gguf.dead.base.part").write_text("{")
    (folder / ".mine.part").write_text("kept")
    os.utime(parts["long-ago"], (0, 0))
    with (jobs / "alive" / "run.lock").open("w") as lock:
        locks.take(lock.fileno())
        export_files.clear_dead(folder, jobs)
    left = {one.name for one in folder.iterdir()}
    assert left == {parts["alive"].name, parts["elsewhere"].name, ".mine.part"}


def test_a_fingerprint_changes_with_what_the_file_is_made_from(tmp_path):
    model, adapter = tmp_path / "model", tmp_path / "adapter"
    for folder, weights in ((model, "model"), (adapter, "adapter_model")):
        folder.mkdir()
        (folder / f"{weights}.safetensors").write_bytes(b"1234")
        (folder / "config.json").write_text("{}")
    tools = {"converter": "1"}
    first = fingerprint(adapter, model, tools)
    assert fingerprint(adapter, model, tools) == first
    (adapter / "README.md").write_text("says nothing")
    assert fingerprint(adapter, model, tools) == first
    assert fingerprint(None, model, tools) != first != fingerprint(adapter, model, {})
    (adapter / "adapter_model.safetensors").write_bytes(b"1235")
    second = fingerprint(adapter, model, tools)
    assert second != first
    (model / "config.json").write_text("{ }")
    third = fingerprint(adapter, model, tools)
    assert third != second
    os.utime(model / "model.safetensors", ns=(1, 1))
    assert fingerprint(adapter, model, tools) != third
