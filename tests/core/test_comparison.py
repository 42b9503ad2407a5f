"""A comparison's events as columns, as a table, and as files."""

import json
from dataclasses import replace
from typing import Any

import pytest

from lora_tui.core import comparison_files, comparison_table
from lora_tui.core.comparison import Folding
from lora_tui.core.members import Member, grouped

NORMS = {"layers": [3.0, 4.0], "relative": [0.1, 0.2], "other": 0.0}


def preset(**lora):
    return {
        "lora": {"method": "lora", "target_modules": ["b", "a"], **lora},
        "data": {"source": "x"},
    }


MEMBERS = [
    Member("full", "whole", "full", "/f", "demo", run="/r/full"),
    Member("r4", "four", "lora", "/4", "demo", run="/r/4"),
    Member("r8", "eight", "lora", "/8", "demo", run="/r/8"),
    Member("other", "other", "lora", "/o", "elsewhere"),
]
KNOWN = {
    "full": (preset(method="full", r=8), {"trainable_parameters": 1000, "total_parameters": 1000}),
    "r4": (
        preset(r=4),
        {"trainable_parameters": 36, "total_parameters": 1000, "loss": {"last": 0.5}},
    ),
    "r8": (
        preset(r=8),
        {"trainable_parameters": 72, "total_parameters": 1000, "loss": {"last": 0.4}},
    ),
}
EVENTS: list[dict[str, Any]] = [
    {
        "kind": "members",
        "settings": {"number": 1},
        "members": [
            {
                "member": member.document(),
                "preset": KNOWN.get(member.id, ({}, {}))[0],
                "show": KNOWN.get(member.id, ({}, {}))[1],
            }
            for group in grouped(MEMBERS)
            for member in group
        ],
    },
    {"kind": "started", "device": "cpu"},
    {
        "kind": "held_out",
        "source": "rows",
        "rows": 9,
        "tokens": 90,
        "left_out": 1,
        "dtype": "float32",
    },
    {"kind": "prompts", "prompts": ["Who | are\n`you`?"]},
    {"kind": "doing", "id": "r4", "what": "answers"},
    {"kind": "measured", "id": "base", "held_out_loss": 2.0, "base_bytes": 2000},
    {"kind": "measured", "id": "full", "held_out_loss": 1.0, "update_norms": NORMS},
    {"kind": "measured", "id": "r4", "held_out_loss": 1.02},
    {"kind": "measured", "id": "r4", "kl_from_base": 0.3, "changed_share": 1.0},
    {
        "kind": "measured",
        "id": "r8",
        "held_out_loss": 2.5,
        "kl_from_base": 0.0,
        "changed_share": 0.0,
    },
    {"kind": "noted", "id": "r8", "text": "Odd."},
    {"kind": "output", "prompt": 0, "id": "base", "text": "I", "changed": False},
    {"kind": "output", "prompt": 0, "id": "r4", "text": "```\nYou", "changed": True},
    {"kind": "refused", "id": "other", "summary": "It is broken.", "hint": "Mend it."},
    {"kind": "warning", "text": "Two bases."},
    {"kind": "nobody knows this"},
]


@pytest.fixture
def found():
    return Folding().fold(EVENTS)


def column(found, id_):
    return next(one for one in found.columns if one.member.id == id_)


def line(found, name):
    return next(one for one in comparison_table.table(found) if one.name == name)


def test_events_are_folded_into_columns(found):
    assert [column.member.id for column in found.columns] == [
        *("base", "full", "r4", "r8", "base-2", "other")
    ]
    assert found.doing == ("r4", "answers")
    assert column(found, "r4").figures == {
        "held_out_loss": 1.02,
        "kl_from_base": 0.3,
        "changed_share": 1.0,
    }
    assert found.prompts[0].outputs == {"base": "I", "r4": "```\nYou"}
    assert found.prompts[0].changed == {"r4"}
    assert found.warnings == ("Two bases.",) and not found.ended
    assert Folding(found).fold([{"kind": "failed"}]).ended == "failed"


def test_only_settings_that_had_an_effect_are_compared(found):
    lines = {one.name: one.cells for one in comparison_table.differences(found)}
    assert lines == {
        "lora.method": ("-", "full", "lora", "lora", "-", "-"),
        "lora.r": ("-", "-", "4", "8", "-", "-"),
    }


def test_the_best_are_marked_in_each_bases_group(found):
    assert line(found, "held-out loss").best == {1}
    assert line(found, "trained parameters").best == {2}
    assert line(found, "train loss, last").best == frozenset()
    assert line(found, "share of all").cells[1:4] == ("100.0 %", "3.6 %", "7.2 %")
    assert line(found, "base").cells == ("demo",) * 4 + ("elsewhere",) * 2
    assert "tokens/s" not in {one.name for one in comparison_table.table(found)}


def test_nobody_is_best_where_all_are_the_same(found):
    same = Folding(found).fold(
        {"kind": "measured", "id": id_, "held_out_loss": 1.0}
        for id_ in ("base", "full", "r4", "r8")
    )
    assert line(same, "held-out loss").best == frozenset()


def test_the_gain_is_a_share_of_full_fine_tunings(found):
    assert comparison_table.gain(found, column(found, "r4")) == pytest.approx(0.98)
    assert comparison_table.gain(found, column(found, "other")) is None
    assert comparison_table.summary(found) == [
        "four: 98.0 % of full fine-tuning's gain at 3.6 % of the parameters.",
        "eight: no gain at 7.2 % of the parameters.",
    ]


def test_a_full_run_that_gained_nothing_is_no_measure(found):
    noise = Folding(found).fold([{"kind": "measured", "id": "full", "held_out_loss": 1.995}])
    assert comparison_table.gain(noise, column(noise, "r4")) is None


def test_notes_say_what_is_wrong_in_words(found):
    notes = [comparison_table.notes(found, column) for column in found.columns]
    assert notes[:3] == [[], [], []]
    assert notes[3] == [
        "It changes nothing: it answers exactly as the base does.",
        "Odd.",
        "It is worse than the base on the held-out rows: 2.500 against 2.000.",
    ]
    assert notes[5] == ["It is broken. Mend it."]
    assert comparison_table.update_norm(column(found, "full")) == pytest.approx(5.0)


def test_what_its_files_say_of_a_zero_update_is_not_said_twice(found):
    zero = {"kind": "noted", "id": "r8", "text": comparison_table.ZERO}
    one = Folding(found).fold([zero])
    notes = comparison_table.notes(one, column(one, "r8"))
    assert comparison_table.ZERO in notes and not any("changes nothing" in note for note in notes)


def test_one_that_answers_as_the_base_does_but_moved_is_called_so(found):
    unmoved = {"kind": "measured", "id": "r4", "changed_share": 0.0}
    one = Folding(found).fold([unmoved])
    (note,) = comparison_table.notes(one, column(one, "r4"))
    assert note == "It answers all 1 prompts as the base does: only probabilities moved."


def test_what_was_asked_counts_more_than_the_norm(found):
    """An adapter may train more than low-rank updates: a norm of zero alone says little."""
    norms = {"layers": [0.0], "relative": [0.0], "other": 0.0}
    moved = {"kind": "measured", "id": "r4", "update_norms": norms}
    one = Folding(found).fold([moved])
    assert not comparison_table.equals_base(column(one, "r4"))
    unasked = Folding(found).fold([{**moved, "id": "full"}])
    assert comparison_table.equals_base(column(unasked, "full"))


def test_damaged_events_are_passed_over(found):
    damaged: list[dict[str, Any]] = [
        {"kind": "output", "prompt": 9, "id": "r4", "text": "x"},
        {"kind": "members", "members": [{}]},
        {"kind": "measured"},
        {"kind": "noted", "id": "r4"},
        {"kind": "prompts", "prompts": 3},
    ]
    assert Folding(found).fold(damaged) == found


def test_nan_is_never_the_best(found):
    odd = Folding(found).fold([{"kind": "measured", "id": "r8", "held_out_loss": "nan"}])
    assert line(odd, "held-out loss").best == {1}
    assert line(odd, "held-out loss").cells[3] == "NaN"


def test_the_document_has_what_scripts_ask_for(found):
    document = comparison_files.document(found, "/there", with_base=False)
    assert (document["base"], document["path"]) == ("demo", "/there")
    assert document["held_out"] == {"source": "rows", "rows": 9, "tokens": 90, "left_out": 1}
    run = next(run for run in document["runs"] if run["id"] == "r4")
    assert {"held_out_loss", "perplexity", "kl_from_base", "changed_share", "warnings"} <= set(run)
    assert run["loss"] == {"last": 0.5} and run["gain_of_full"] == pytest.approx(0.98)
    assert [run["id"] for run in document["runs"]] == ["full", "r4", "r8", "other"]
    assert document["prompts"][0]["outputs"] == {"r4": "```\nYou"}
    with_base = comparison_files.document(found, "/there")
    assert with_base["runs"][0]["id"] == "base"
    assert with_base["prompts"][0]["outputs"]["base"] == "I"


def test_files_are_written_whole_and_readable(found, tmp_path):
    comparison_files.write(replace(found, warnings=("\x1b[31mred",)), tmp_path / "new")
    kept = json.loads((tmp_path / "new" / comparison_files.JSON).read_text("utf-8"))
    assert kept["path"] == str(tmp_path / "new")
    words = (tmp_path / "new" / comparison_files.MARKDOWN).read_text("utf-8")
    assert "| held-out loss | 2.000 | **1.000** | 1.020 | 2.500 | - | - |" in words
    assert "````text\n```\nYou\n````" in words and "\x1b" not in words


def test_an_empty_comparison_has_a_table_and_files(tmp_path):
    nothing = Folding().now
    assert comparison_table.differences(nothing) == []
    assert comparison_files.document(nothing, "")["base"] is None
    assert comparison_files.markdown(nothing).startswith("# Comparison")
