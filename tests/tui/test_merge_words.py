"""What the merge screen says in words, and how it is laid out; no app is needed."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import proofs
from lora_tui.core.members import Member
from lora_tui.core.merging import Folding, Merging
from lora_tui.core.proofs import Proof
from lora_tui.core.runs import Run
from lora_tui.tui import merge_page, merge_words
from lora_tui.tui.columns import width_of
from lora_tui.tui.job_watching import Frame
from lora_tui.tui.merge_draft import Draft
from lora_tui.tui.merge_outlook import Facts, Outlook
from lora_tui.tui.merge_page import Left
from lora_tui.tui.widgets.painting import Rows

NASTY = "[red]x[/] \x1b[31m \u202e " + "w" * 300


def who(*names: str) -> list[Member]:
    return [
        Member(name, name, "lora", f"/at/{name}", "demo", run=f"/runs/{name}") for name in names
    ]


def text(rows: Rows) -> list[str]:
    return ["".join(said for said, _ in row) for row in rows]


def form(draft: Draft, outlook: Outlook | None = None, width: int = 76) -> list[str]:
    lines = merge_words.lines(draft, outlook)
    return [text((merge_words.head(draft, width),))[0]] + [
        f" {line.content(width).plain}" for line in lines
    ]


def page(now: Merging, width: int = 76, found: Left | None = None) -> str:
    return "\n".join(text(merge_page.rows(now, found or Left(), width)))


# --- the form ---------------------------------------------------------------------------------


def test_columns_stand_below_their_heads_at_every_width() -> None:
    draft = Draft.of(who("r4", "a name that has hardly any room"))
    known = Outlook(draft, {"r4": Facts(4, 8.0, "rsDoRA")})
    for width in (76, 60, 40, 30):
        head, first, second = form(draft, known, width)[:3]
        assert len({width_of(line) for line in (head, first, second)}) == 1
        assert width_of(head) <= width + 1
        assert head.index("weight") + len("weight") == first.index("0.500") + len("0.500")
        if "rank" in head:
            assert first[head.index("rank") + len("rank") - 1] == "4"
    assert "rsDoRA" in form(draft, known, 76)[1] and "rsDoRA" not in form(draft, known, 30)[1]


def test_a_single_adapter_has_neither_weight_nor_method() -> None:
    said = "\n".join(form(Draft.of(who("r4"))))
    assert "weight" not in said and "method" not in said and "number format" in said


def test_settings_say_what_they_mean_and_where_the_result_goes() -> None:
    draft = Draft.of(who("r4")).with_value("dtype", "float16")
    said = "\n".join(form(draft))
    assert "16 bits, up to 65,504" in said and "in its run" in said and "/runs/r4/merged" in said
    several = Draft.of(who("r4", "r8")).with_value("method", "dare_ties")
    said = "\n".join(form(several, Outlook(several, own="bfloat16")))
    assert "the base's own: bfloat16" in said and "a new folder" in said
    assert "density" in said and "seed" in said and "signs voted on" in said
    elsewhere = several.with_value("out", "/" + "deep/" * 40 + "end")
    assert form(elsewhere)[-1].endswith("deep/end") and width_of(form(elsewhere)[-1]) <= 77


def test_what_is_wrong_is_said_all_at_once_and_wrapped() -> None:
    draft = Draft.of(who("r4", "r8"))
    problems = ("linear needs equal ranks: " + "why " * 30, "The base is gone.", NASTY)
    known = Outlook(draft, bytes=7_340_000, free=10**9, earlier="23 Nov 12:14", problems=problems)
    rows = merge_words.follows(known, 60)
    said = "\n".join(text(rows))
    assert "7.34 MB, of 1 GB free there" in said and "The merge of 23 Nov 12:14" in said
    assert said.count("✗") == 3 and "[red]x[/]" in said
    assert "\x1b" not in said and "\u202e" not in said
    assert max(map(width_of, text(rows))) <= 60
    assert "add up to" not in said
    heavy = Outlook(draft.with_value("member r4", 0.8))
    assert "weights       add up to 1.300" in text(merge_words.follows(heavy, 60))[0]
    foot = text((merge_words.foot(known),))[0]
    assert "3 things are in the way" in foot
    assert "t merges them" in text((merge_words.foot(Outlook(draft)),))[0]
    assert "looking at the adapters" in text((merge_words.foot(None),))[0]


# --- the page ---------------------------------------------------------------------------------


def now(*names: str, **more: Any) -> Merging:
    members = tuple(who(*names))
    return Merging(members, (1 / len(members),) * len(members), "linear", "/there", **more)


def test_losses_come_one_by_one_and_the_best_is_marked_at_the_end() -> None:
    scores = {"base": 2.9, "r4": 1.5, "r8": 1.25}
    said = page(now("r4", "r8", scores=scores))
    assert "1.250" in said and "★" not in said and "-1.650" in said
    lines = page(now("r4", "r8", scores={**scores, "merged": 1.3})).splitlines()
    assert ["★" in line for line in lines if "1." in line] == [False, True, False]
    alone = page(now("r4", scores={"base": 2.9, "r4": 1.5, "merged": 1.5}))
    assert "★" not in alone and "weight" not in alone
    assert "NaN" in page(now("r4", scores={"base": 2.9, "merged": float("nan")}))


def test_a_proof_stands_with_its_limits_and_its_reasons() -> None:
    figures = {"max_logit_difference": 0.5, "greedy_equal_share": 0.4}
    limit = {"max_logit_difference": 0.001, "greedy_equal_share": 0.999}
    proof = Proof(proofs.FAIL, figures, limit, ("Logits differ: merge in float32.",))
    written = {"bytes": 7_340_000, "dtype": "bfloat16"}
    said = page(now("r4", proof=proof, written=written, ended="finished"))
    assert "✗ FAIL" in said and "at most 0.00100" in said and "merge in float32." in said
    assert "7.34 MB of bfloat16" in said and "/there" in said
    assert "It is not there any more" in said
    stopped = page(now("r4", written=written, ended="stopped"))
    assert "/there" not in stopped and "written" not in stopped
    bad = {"tensors_compared": 38, "tensors_off": 2, "tensors_with_nan": 1, "reloads": False}
    said = page(now("r4", proof=Proof(proofs.FAIL, bad)))
    assert "2 of 38 tensors are not what the files make of them, 1 has NaN." in said
    assert "It does not load again." in " ".join(said.split())
    some = Proof(proofs.PASS, {"tensors": 40, "tensors_compared": 38, "reloads": True})
    said = " ".join(page(now("r4", proof=some)).split())
    assert "All 38 tensors compared, of 40, are what the files make of them" in said
    there = Left("/there", "/there/adapter")
    said = page(now("r4", "r8", written=written, ended="finished"), found=there)
    assert "adapter/ is the combined adapter alone" in said and "not there any more" not in said


@pytest.mark.parametrize("width", [8, 20, 40, 76, 200])
def test_any_names_at_any_width_are_one_line_each_and_safe(width: int) -> None:
    told = now(NASTY, "宽" * 90, warnings=(NASTY,), scores={"base": 2.9, NASTY: 1.0, "merged": 9e9})
    lines = text(merge_page.rows(told, Left(), width))
    assert not any("\x1b" in line or "\u202e" in line or "\n" in line for line in lines)
    if width >= 40:
        assert max(map(width_of, lines)) <= width


def test_damaged_events_change_nothing() -> None:
    events: Sequence[dict[str, Any]] = [
        {"kind": "merging", "members": [{}], "weights": [], "method": "", "path": ""},
        {"kind": "held_out", "rows": "many", "source": 3},
        {"kind": "scored", "id": "base", "held_out_loss": "?"},
        {"kind": "written", "bytes": "nan", "dtype": ["?"]},
        {"kind": "proof", "verdict": "maybe"},
        {"kind": "started", "device": NASTY},
    ]
    folded = Folding().fold(events)
    assert "\x1b" not in page(folded)


def test_the_foot_says_what_is_done_and_how_it_ended() -> None:
    def foot(state: str, seconds: int = 0, **more: Any) -> str:
        frame = Frame(now("r4", **more), state, Run(Path("/x")), seconds)
        return text((merge_page.foot(frame, Left(), 78),))[0]

    working = foot("running", 12, doing="held-out loss of " + NASTY)
    assert working.startswith("● held-out loss of") and working.endswith("leaving lets it go on")
    assert width_of(working) == 78
    assert foot("running", 130, doing="merging").startswith("● merging… 02:10")
    assert "loading its libraries" in foot("running", started={"device": "cpu"})
    assert "starting the engine" in foot("starting") and "stopping" in foot("stopping")
    passed = foot("finished", 9, proof=Proof(proofs.PASS))
    assert passed == "✓ finished in 9 s   proof ✓ PASS"
    assert foot("crashed", 9) == "✗ crashed after 9 s" and foot("failed") == "✗ failed"
