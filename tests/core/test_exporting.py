"""An export's plan and its events."""

import fcntl
from dataclasses import asdict
from typing import Any

import pytest

from lora_tui.core import events, exporting, makings, runs
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.exporting import ExportPlan, Folding
from lora_tui.core.members import Member
from lora_tui.core.presets import Preset
from lora_tui.core.proofs import FAIL, PASS, Proof

ONE = Member("one", "one", "lora", "/1", "demo", run="/r/1")
FAILED = Proof(FAIL, {"kl": 0.5}, {"kl": 0.001}, ("It says something else.",))
EVENTS: list[dict[str, Any]] = [
    {
        "kind": "exporting",
        "name": "one",
        "files": [
            {"quant": "f16", "path": "/o/one-F16.gguf", "estimate": 90},
            {"quant": "q8_0", "path": "/o/one-Q8_0.gguf"},
            {"quant": "iq1_s", "path": "/o/one-IQ1_S.gguf"},
        ],
    },
    {"kind": "started", "device": "cpu"},
    {"kind": "doing", "what": "converting", "quant": "f16", "state": "writing", "share": 0.5},
    {"kind": "file", "quant": "f16", "bytes": 100, "types": {"F16": 3}, "seconds": 1.5},
    {"kind": "proof", "quant": "f16", **Proof(PASS).document()},
    {"kind": "file", "quant": "q8_0", "bytes": 50, "kept": True},
    {"kind": "proof", "quant": "q8_0", **FAILED.document()},
    {"kind": "refused", "quant": "iq1_s", "summary": "No matrix.", "hint": "Name data."},
    {"kind": "use", "modelfile": "/o/Modelfile", "command": "llama-cli"},
    {"kind": "warning", "text": "careful"},
]


def test_a_plan_is_told_to_an_engine_and_read_back():
    plan = ExportPlan(member=ONE, quants=("f16", "q4_k_m"), folder="/o", rows=3, again=True)
    assert ExportPlan.from_document(plan.document()) == plan
    assert str(plan.path("q4_k_m")) == "/o/one-Q4_K_M.gguf"


def test_a_name_becomes_a_file_name_only_through_slug():
    odd = Member("x", "../Évil name\n", "lora", "/1", "demo")
    path = ExportPlan(member=odd, quants=("f16",), folder="/o").path("f16")
    assert path.parent.as_posix() == "/o" and path.name == "vil-name-F16.gguf"


def test_events_add_up_to_what_is_shown():
    folding = Folding()
    now = folding.fold(EVENTS[:3])
    assert (now.doing, now.share, now.files[0].state) == ("converting", 0.5, "writing")
    assert [one.state for one in now.files[1:]] == ["waiting", "waiting"]
    now = folding.fold(EVENTS[3:4])
    assert now.files[0].state == "proving" and now.files[0].types == {"F16": 3}
    now = folding.fold([*EVENTS[4:], {"kind": "finished"}])
    assert [one.state for one in now.files] == ["done", "kept", "refused"]
    assert now.verdicts == [PASS, FAIL] and now.ended == "finished" and now.share is None
    document = now.document()
    first, second, third = document["files"]
    assert (first["bytes"], first["proof"]["passed"], first["kept"]) == (100, True, False)
    assert second["proof"]["kl"] == 0.5 and second["proof"]["reasons"] and second["kept"]
    assert third["refused"] == {"summary": "No matrix.", "hint": "Name data."}
    assert (document["modelfile"], document["command"]) == ("/o/Modelfile", "llama-cli")


@pytest.mark.parametrize("at", range(len(EVENTS)))
def test_a_damaged_event_changes_nothing(at):
    kind = EVENTS[at]["kind"]
    folding = Folding()
    was = asdict(folding.fold(EVENTS[:at]))
    if kind != "started":  # which is kept as it is
        assert asdict(folding.fold([{"kind": kind, "files": 3, "quant": "f16"}])) == was


def test_an_export_is_read_from_its_folder_and_found_by_its_member():
    assert makings.latest("export", ["one"]) is None
    options = ExportPlan(member=ONE, quants=("f16",), folder="/o").document()
    run = runs.create(Preset(), name="x", kind="export", options=options)
    runs.create(Preset(), name="y", kind="check")
    for event in EVENTS:
        events.append(run.events, event["kind"], **{k: v for k, v in event.items() if k != "kind"})
    assert exporting.read(run).files[1].proof == FAILED
    assert makings.latest("export", ["one"]) == run
    events.append(run.events, "finished")
    later = runs.create(Preset(), name="z", kind="export", options=options)
    assert makings.latest("export", ["one"]) == run  # the later one came to nothing
    events.append(later.events, "finished")
    assert makings.latest("export", ["one"]) == later
    assert makings.latest("export", ["two"]) is makings.latest("merge", ["one"]) is None


def test_a_run_that_is_exported_now_is_not_deleted():
    options = ExportPlan(member=ONE, quants=("f16",), folder="/o").document()
    job = runs.create(Preset(), name="x", kind="export", options=options)
    run = runs.Run(job.path.parent / "one")
    makings.refuse_at_work(run)
    with job.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(LoraTuiError, match="one is being worked on: export"):
            makings.refuse_at_work(run)
    assert makings.made_of(run) == 0
    run.exports.mkdir(parents=True)
    (run.exports / "x.gguf").write_bytes(b"12345")
    assert makings.made_of(run) == 5
