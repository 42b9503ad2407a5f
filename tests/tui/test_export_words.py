"""The export's words: a line for each type, what is wrong, how it stands, and more about one."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from lora_tui.core.exporting import ExportFile, Exporting
from lora_tui.core.members import Member
from lora_tui.core.proofs import FAIL, PASS, UNKNOWN
from lora_tui.tui import export_detail, export_offer, export_words
from lora_tui.tui.export_offer import Choice, Kind, Made, Offer
from lora_tui.tui.job_watching import Frame
from lora_tui.tui.widgets.painting import Row
from lora_tui.tui.widgets.type_list import Columns, TypeRow

from .conftest import NOON
from .exports import SIZES, TYPES, proof

FOLDER = "/runs/one/exports"
CHOICE = Choice(folder=FOLDER)
WHO = Member("one", "one", "lora", "/1", "demo", run="/runs/one")
SENTENCE = "most of q4_k_m becomes q5_0 here: 576 columns are not divisible by 256"
KINDS = (
    Kind("f16", "16 bits", 7_400_000, {"f16": 29, "f32": 9}),
    Kind("q8_0", "8 bits", 3_900_000, {"q8_0": 29, "f32": 9}),
    Kind("q4_k_m", "4 bits", 2_400_000, {"q5_0": 168, "q8_0": 42}, SENTENCE),
    Kind("iq1_s", "under 2 bits", 990_000, {"iq1_s": 200}, matrix="needed"),
    Kind("lora", "the adapter alone", refused="It is rsLoRA. Merge it first."),
)
OFFER = Offer(CHOICE, "LoRA of rank 4 on demo", KINDS, free=9_000_000_000)


def file(quant: str, state: str = "waiting", **more: object) -> ExportFile:
    return replace(ExportFile(quant, f"{FOLDER}/one-{quant.upper()}.gguf", state), **more)  # type: ignore[arg-type]


def done(quant: str, verdict: str = PASS, *reasons: str, state: str = "done") -> ExportFile:
    facts = {"bytes": SIZES[quant], "types": TYPES[quant], "seconds": 12.0}
    return file(quant, state, proof=proof(quant, verdict, *reasons), **facts)


def frame(*files: ExportFile, state: str = "running", **now: object) -> Frame[Exporting]:
    return Frame(replace(Exporting(files=files), **now), state, seconds=12)  # type: ignore[arg-type]


def text(rows: Sequence[Row]) -> str:
    return "\n".join("".join(words for words, _ in row) for row in rows)


def line(quant: str, offer: Offer = OFFER, now: export_words.Now = None) -> export_words.Line:
    return next(one for one in export_words.lines(offer, CHOICE, now) if one.quant == quant)


# --- lines -------------------------------------------------------------------------------------


def test_before_an_export_each_type_says_its_size_and_what_is_made_of_the_shapes() -> None:
    found = export_words.lines(OFFER, CHOICE, None)
    assert [one.quant for one in found] == ["f16", "q8_0", "q4_k_m", "iq1_s", "lora"]
    assert [one.is_ticked for one in found] == [True, True, True, False, False]
    assert (found[2].size, found[2].said) == ("~2.4 MB", "q5_0 168, q8_0 42")
    assert found[4].said == "It is rsLoRA. Merge it first." and not found[4].is_offered


def test_files_at_work_say_their_state_and_stand_on_top() -> None:
    now = frame(done("q4_k_m"), file("q8_0", "writing"), file("iq1_s"), share=0.425)
    offer = replace(OFFER, made={"f16": Made(done("f16"), NOON)})
    found = export_words.lines(offer, CHOICE, now)
    assert [one.quant for one in found] == ["q8_0", "q4_k_m", "iq1_s", "f16", "lora"]
    assert [one.state[0] for one in found[:3]] == ["● writing 42%", "✓ PASS", "◌ waiting"]
    assert found[1].size == "2.4 MB" and found[1].said == "KL 0.00310, top-1 99.7 %"


@pytest.mark.parametrize(
    ("verdict", "said"), [(PASS, "✓ PASS"), (FAIL, "✗ FAIL"), (UNKNOWN, "▲ cannot tell")]
)
def test_files_that_lie_there_are_shown_with_their_proof_and_date(verdict: str, said: str) -> None:
    made = Made(done("q8_0", verdict, state="kept"), NOON)
    found = line("q8_0", replace(OFFER, made={"q8_0": made}))
    assert found.state[0] == said and found.size == "3.98 MB"
    assert found.said.endswith(" · 23 Nov 12:12") and found.said.startswith("KL ")


def test_what_lies_in_another_folder_is_not_shown() -> None:
    made = {"q8_0": Made(done("q8_0"), NOON)}
    why = {"summary": "No.", "hint": ""}
    now = frame(done("f16"), file("iq1_s", "refused", refused=why), state="finished")
    elsewhere = Choice(folder="/elsewhere")
    found = export_words.lines(replace(OFFER, made=made), elsewhere, now)
    assert not any(one.state[0] for one in found)


def test_after_it_ended_early_what_is_not_whole_says_so() -> None:
    now = frame(done("f16"), file("q8_0", "proving"), file("q4_k_m"), state="stopped")
    offer = replace(OFFER, made={"f16": Made(done("f16"), NOON)})
    assert line("f16", offer, now).state[0] == "✓ PASS"
    assert line("q8_0", offer, now).state[0] == "■ not made"
    assert line("q4_k_m", offer, now).state[0] == ""
    gone = replace(OFFER, made={})  # removed by hand since
    assert line("f16", gone, frame(done("f16"), state="finished")).state[0] == ""


def test_verdicts_stay_between_the_end_and_the_next_look() -> None:
    now = frame(done("f16"), file("q8_0", "proving"), state="finished")
    behind = export_words.lines(OFFER, replace(CHOICE, looks=1), now)
    assert [(one.quant, one.state[0]) for one in behind[:2]] == [("f16", "✓ PASS"), ("q8_0", "")]
    assert behind[0].size == "7.42 MB"


def test_what_was_made_of_something_else_is_not_proven() -> None:
    made = Made(done("q8_0"), NOON, "adapter")
    offer = replace(OFFER, made={"q8_0": made})
    assert line("q8_0", offer).state == ("▲ of an earlier adapter", "warn")
    assert "▲ of an earlier adapter" in text(
        list(export_detail.short("q8_0", offer, CHOICE, None, 90))
    )
    page = text(export_detail.page("q8_0", offer, CHOICE, None, 90))
    assert "x makes it anew" in " ".join(page.split()) and "✓ PASS" in page
    now = frame(done("f16"), done("q8_0"), state="finished")
    foot = text([export_words.foot(offer, CHOICE, now, 90)])
    assert foot.startswith("✓ finished · 1 PASS, 1 of an earlier adapter")
    row = TypeRow(line("q8_0", offer), Columns.of([line("q8_0", offer)])).content(38)
    assert "▲ of an earlier adap…" in row.plain and row.cell_length == 38


def test_a_refused_file_says_why() -> None:
    why = {"summary": "It is \x1b[31mtoo small.", "hint": "Take q2_k."}
    for state in ("running", "finished"):
        now = frame(file("iq1_s", "refused", refused=why), state=state)
        found = line("iq1_s", now=now)
        assert found.state == ("✗ refused", "bad") and found.said == why["summary"]
        row = TypeRow(found, Columns.of([found])).content(70)
        assert "\x1b" not in row.plain
        assert "Take q2_k." in text(list(export_detail.short("iq1_s", OFFER, CHOICE, now, 70)))


@pytest.mark.parametrize("width", [10, 30, 74, 118, 200])
def test_a_line_takes_its_width_whatever_stands_in_it(width: int) -> None:
    long = replace(KINDS[2], types={"q5_0" * 30: 10**9}, about="语" * 100)
    now = frame(file("q8_0", "writing"), file("f16", "refused", refused={"summary": "x" * 500}))
    lines = export_words.lines(replace(OFFER, kinds=(*KINDS[:2], long)), CHOICE, now)
    columns = Columns.of(lines)
    for one in lines:
        assert TypeRow(one, columns).content(width).truncate(width).cell_length <= width


def test_for_whom_a_type_is_stands_there_where_there_is_room() -> None:
    lines = export_words.lines(OFFER, CHOICE, None)
    row = TypeRow(lines[2], Columns.of(lines))
    assert row.content(110).plain.rstrip().endswith("4 bits")
    assert "4 bits" not in row.content(60).plain


# --- around the list ---------------------------------------------------------------------------


def test_problems_come_first_then_the_failure_and_nothing_while_it_is_at_work() -> None:
    broken = replace(OFFER, problems=tuple(f"Problem {at}." for at in range(6)))
    failed = replace(frame(state="failed"), failure=("It failed.", "Do this."))
    assert export_words.notice(broken, failed, 4) == (
        "This cannot be exported like that.",
        "Problem 0.\nProblem 1.\nProblem 2.\nProblem 3.\nand 2 more",
    )
    assert export_words.notice(OFFER, failed, 4) == ("It failed.", "Do this.")
    assert (
        export_words.notice(broken, frame(), 4) == export_words.notice(OFFER, None, 4) == ("", "")
    )


def test_the_foot_says_what_would_be_written_and_whether_it_fits() -> None:
    ((said, role),) = export_words.foot(OFFER, CHOICE, None, 78)
    assert (said, role) == ("3 ticked, ~13.7 MB; 9 GB free", "muted")
    assert export_words.foot(replace(OFFER, free=1_000), CHOICE, None, 78)[0][1] == "bad"
    nothing = replace(CHOICE, quants=frozenset())
    assert "space ticks" in export_words.foot(OFFER, nothing, None, 78)[0][0]


def test_the_foot_says_what_is_done_and_for_how_long() -> None:
    said = text([export_words.foot(OFFER, CHOICE, frame(doing="quantising q8_0"), 78)])
    assert said.startswith("● quantising q8_0… 12 s") and said.endswith("leaving lets it go on")
    assert len(said) == 78
    assert text([export_words.foot(OFFER, CHOICE, frame(state="stopping"), 78)]).endswith(
        "it stops"
    )


def test_the_foot_counts_what_it_came_to_each_in_its_colour() -> None:
    files = (done("f16"), done("q8_0"), done("q4_k_m", FAIL), file("iq1_s", "refused"))
    files = (*files[:3], replace(files[3], refused={"summary": "No.", "hint": ""}))
    row = export_words.foot(OFFER, CHOICE, frame(*files, state="finished"), 78)
    assert text([row]) == "✓ finished · 2 PASS, 1 FAIL, 1 refused  3 ticked, ~13.7 MB; 9 GB free"
    assert [role for _, role in row][:4] == ["good", "good", "bad", "bad"]
    short = text([export_words.foot(OFFER, CHOICE, frame(*files, state="finished"), 50)])
    assert short == "✓ finished · 2 PASS, 1 FAIL, 1 refused  "


# --- about one type ----------------------------------------------------------------------------


def test_a_type_in_short_says_what_its_shapes_become_and_why() -> None:
    said = text(list(export_detail.short("q4_k_m", OFFER, CHOICE, None, 78)))
    assert said.splitlines()[0].split() == ["q4_k_m", "4", "bits"]
    assert SENTENCE in " ".join(said.split()) and "q5_0 168, q8_0 42" in said
    matrix = text(list(export_detail.short("iq1_s", OFFER, CHOICE, None, 78)))
    assert "matrix    needed; it is computed from the training data" in matrix
    assert "rsLoRA" in text(list(export_detail.short("lora", OFFER, CHOICE, None, 78)))
    assert list(export_detail.short("", Offer(CHOICE), CHOICE, None, 78)) == []


def test_a_proof_in_short_says_its_first_reason() -> None:
    made = {"q8_0": Made(done("q8_0", FAIL, "Token ids differ."), NOON)}
    rows = list(export_detail.short("q8_0", replace(OFFER, made=made), CHOICE, None, 78))
    assert (rows[1][1]) == ("✗ FAIL – Token ids differ.", "bad")
    assert text(rows).splitlines()[-1] == f"file      {FOLDER}/one-Q8_0.gguf"


def test_the_page_of_a_file_holds_all_of_its_proof() -> None:
    made = {"q8_0": Made(done("q8_0", FAIL, "Token ids differ.", "So do logits."), NOON)}
    said = text(export_detail.page("q8_0", replace(OFFER, made=made), CHOICE, None, 100))
    assert "3.98 MB (~3.9 MB expected), written in 12 s, made 23 Nov 12:12" in said
    for part in ("Token ids differ.", "So do logits.", "KL from torch", "at most 0.00100"):
        assert part in said
    assert "about 2.4 MB" in text(export_detail.page("q4_k_m", OFFER, CHOICE, None, 100))


def test_what_to_type_is_told_for_each_program_and_quoted() -> None:
    now = frame(modelfile="/my files/Modelfile", command="llama-cli -m x")
    who = replace(WHO, name="My; Name")
    assert export_detail.uses(now, who) == [
        ("Ollama", "ollama create my-name -f '/my files/Modelfile'"),
        ("llama.cpp", "llama-cli -m x"),
    ]
    made = Made(done("q8_0"), NOON)
    assert export_detail.copyable(made, None, who) == [("q8_0", f"{FOLDER}/one-Q8_0.gguf")]


@pytest.mark.parametrize(
    ("method", "run", "words"),
    [
        ("full", "/runs/one", "all weights, trained from demo"),
        ("base", "/merges/both", "all of /there"),  # its merge made it, nobody trained it
        ("base", "", "all of /there"),
    ],
)
def test_what_is_exported_is_said_by_what_it_is(method: str, run: str, words: str) -> None:
    member = Member("one", "one", method, "/there", "demo", run=run)
    assert export_offer.described(member) == words
