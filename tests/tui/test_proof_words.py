"""A proof in words."""

import pytest

from lora_tui.core.proof_figures import in_short
from lora_tui.core.proofs import FAIL, PASS, UNKNOWN, Proof
from lora_tui.tui import look, proof_words

from .exports import proof


def text(proof: Proof, width: int = 70) -> list[str]:
    rows = proof_words.rows(proof, width)
    return ["".join(words for words, _ in row).rstrip() for row in rows]


def roles(proof: Proof) -> dict[str, str]:
    """The role of each figure by its name."""
    return {row[0][0].strip(): row[1][1] for row in proof_words.figures(proof, 70)}


@pytest.mark.parametrize(
    ("verdict", "said", "in_ascii", "role"),
    [
        (PASS, "✓ PASS", "+ PASS", "good"),
        (FAIL, "✗ FAIL", "x FAIL", "bad"),
        (UNKNOWN, "▲ cannot tell", "! cannot tell", "warn"),
    ],
)
def test_a_verdict_is_a_mark_and_a_word(
    verdict: str, said: str, in_ascii: str, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proof_words.verdict(Proof(verdict)) == (said, role)
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    assert proof_words.verdict(Proof(verdict)) == (in_ascii, role)


def test_figures_stand_beside_their_limits() -> None:
    assert text(proof("q8_0")) == [
        "KL from torch, nats          1.1e-4  at most 0.00100",
        "same top token              100.0 %  at least 86.0 %",
        "perplexity, file to torch     1.000  at most 1.800",
        "share of the adapter in it   98.5 %",
        "token ids equal                 yes",
        "chat template equal             yes",
        "stops at its turn's end         yes",
        "places measured                 812",
        "rows measured on                 32",
    ]


@pytest.mark.parametrize("width", [34, 50, 60])
def test_limits_are_whole_where_names_give_way(width: int) -> None:
    lines = text(Proof(PASS, proof("q8_0").figures, proof("q8_0").limit), width)
    figures = [line for line in lines if " at " in line]
    assert figures and all(len(line) <= width for line in figures)
    assert any(line.endswith("  at most 0.00100") for line in figures)


def test_what_broke_its_limit_is_marked_and_said_first() -> None:
    found = proof("q8_0", FAIL, "The KL divergence is 0.71.")
    assert text(found)[0] == "The KL divergence is 0.71."
    marked = {name for name, role in roles(found).items() if role == "bad"}
    assert marked == {"KL from torch, nats", "same top token", "token ids equal"}
    assert "bad" not in roles(proof("q8_0")).values()


def test_figures_of_any_name_and_kind_are_shown_or_passed_over() -> None:
    odd = {"new_[b]figure[/b]\x1b[31m": 3, "kl": "nan", "answers": [{"torch": "hi"}], "none": None}
    lines = text(Proof(PASS, odd, {"kl": 1.0}))
    assert len(lines) == 2
    assert lines[0].split()[-4:] == ["NaN", "at", "most", "1.000"]
    assert "\x1b" not in lines[1] and "[b]figure[/b]" in lines[1]
    assert roles(Proof(PASS, odd, {"kl": 1.0}))["KL from torch, nats"] == "bad"


@pytest.mark.parametrize("width", [8, 30, 45])
def test_in_little_room_numbers_stay_whole(width: int) -> None:
    assert any("1.1e-4" in line for line in text(proof("q8_0"), width))


def test_in_short_the_figures_that_say_most() -> None:
    assert in_short(proof("q8_0")) == "KL 1.1e-4, top-1 100.0 %"
    assert in_short(Proof(PASS)) == ""


def test_the_figures_of_the_file_that_it_was_made_from_stand_beside() -> None:
    found = proof("q8_0")
    lines = text(Proof(PASS, {**found.figures, "f16": dict(proof("f16").figures)}, found.limit), 80)
    assert lines[0].split("  ")[-1].strip() == "f16 8.0e-8"
    assert [line.rindex("f16") for line in lines] == [lines[0].rindex("f16")] * len(lines)


def test_answers_stand_one_below_the_other_and_equal_ones_are_not_repeated() -> None:
    rows = list(proof_words.answers(proof("q8_0"), 70))
    lines = ["".join(words for words, _ in row) for row in rows]
    assert lines[1:4] == [
        "asked     What colour is tar?",
        "torch     Arr, black!",
        "file      the same",
    ]
    assert lines[-1] == "file      Snow is white."
    odd = {"answers": ["x", {"prompt": "\x1b[31m[b]a[/b]\nb"}], "notes": [3]}
    said = "".join(words for row in proof_words.answers(Proof(PASS, odd), 70) for words, _ in row)
    assert "[b]a[/b] b" in said and "\x1b" not in said
    assert text(Proof(PASS, odd)) == ["3"]
