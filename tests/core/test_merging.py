"""A merge's plan and its events."""

from dataclasses import asdict
from typing import Any

import pytest

from lora_tui.core import events, merging, runs
from lora_tui.core.members import Member
from lora_tui.core.merging import Folding, MergePlan
from lora_tui.core.presets import Preset
from lora_tui.core.proofs import FAIL, PASS, UNKNOWN, Proof

ONE = Member("one", "one", "lora", "/1", "demo", run="/r/1")
TWO = Member("two", "two", "lora", "/2", "demo")
PROOF = Proof(PASS, {"max_logit_difference": 0.1, "positions": 7}, {"kl": 0.01})
EVENTS: list[dict[str, Any]] = [
    {
        "kind": "merging",
        "members": [ONE.document(), TWO.document()],
        "weights": [0.7, 0.3],
        "method": "ties",
        "path": "/out",
    },
    {"kind": "started", "device": "cpu"},
    {"kind": "doing", "what": "writing"},
    {"kind": "held_out", "source": "rows", "rows": 9, "tokens": 90},
    {"kind": "scored", "id": "one", "held_out_loss": 0.5},
    {"kind": "scored", "id": "merged", "held_out_loss": "nan"},
    {"kind": "written", "bytes": 100, "dtype": "bfloat16"},
    {"kind": "warning", "text": "careful"},
    {"kind": "proof", **PROOF.document()},
]


def test_a_plan_is_told_to_an_engine_and_read_back():
    plan = MergePlan(members=(ONE, TWO), weights=(0.7, 0.3), method="svd", rank=4, dtype="float32")
    assert MergePlan.from_document(plan.document()) == plan


def test_events_add_up_to_what_is_shown():
    folding = Folding()
    now = folding.fold(EVENTS)
    assert (now.doing, now.ended, now.path, now.method) == ("writing", "", "/out", "ties")
    assert now.members == (ONE, TWO) and now.weights == (0.7, 0.3)
    assert now.proof == PROOF and now.scores["one"] == 0.5
    now = folding.fold([{"kind": "finished"}])
    assert (now.doing, now.ended) == ("", "finished")
    document = now.document()
    assert "not what ties kept of each adapter" in document["proof_of"]
    assert document["proof"]["passed"] is True and document["proof"]["limit"] == {"kl": 0.01}
    assert document["proof"]["max_logit_difference"] == 0.1
    assert document["held_out"] == {"source": "rows", "rows": 9, "tokens": 90}
    assert (document["bytes"], document["dtype"], document["warnings"]) == (
        100,
        "bfloat16",
        ["careful"],
    )


@pytest.mark.parametrize("at", range(len(EVENTS)))
def test_a_damaged_event_changes_nothing(at):
    kind = EVENTS[at]["kind"]
    before = Folding()
    before.fold(EVENTS[:at])
    was = asdict(before.now)
    for broken in ({"kind": kind, "members": 3, "verdict": "perhaps"}, {"kind": "unheard of"}):
        if kind not in {"started", "held_out", "written"}:  # which are kept as they are
            assert asdict(before.fold([broken])) == was


def test_a_merge_is_read_from_its_folder():
    run = runs.create(Preset(), name="x", kind="merge")
    for event in EVENTS:
        events.append(run.events, event["kind"], **{k: v for k, v in event.items() if k != "kind"})
    now = merging.read(run)
    assert now.proof == PROOF and now.weights == (0.7, 0.3)
    assert run.merged.parent == run.path and run.path.parent.name == "merges"


@pytest.mark.parametrize(("verdict", "passed"), [(PASS, True), (FAIL, False), (UNKNOWN, None)])
def test_a_verdict_is_yes_no_or_neither(verdict, passed):
    proof = Proof(verdict, {"kl": 1.0}, {"kl": 0.5}, ("It is not.",))
    assert proof.passed is passed
    assert Proof.from_document(proof.document()) == proof


def test_what_is_no_proof_is_refused():
    with pytest.raises(ValueError, match="no proof"):
        Proof.from_document({"verdict": "perhaps"})
