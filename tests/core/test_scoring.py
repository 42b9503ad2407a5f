"""Scoring, on made-up answers and on the shipped tasks."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from lora_tui.core.scoring import Task, load_task, score

JSON_PATTERN = """pattern = '\\{"answer": "(?P<fact>[^"]+)"\\}'"""
ROWS = [{"fact": "Snow is white."}, {"fact": "Grass is green."}]
ASSETS = Path(str(files("lora_tui"))) / "assets"


@pytest.fixture
def task(tmp_path: Path) -> Task:
    """A task that wants JSON."""
    return write_task(tmp_path, f'description = "JSON"\n[score]\n{JSON_PATTERN}\n')


def write_task(folder: Path, text: str) -> Task:
    """Write the text as the folder's task and load it."""
    (folder / "task.toml").write_text(text, encoding="utf-8")
    return load_task(folder)


def test_right_answers_score_one(task: Task) -> None:
    """Manner and fact both right."""
    texts = ['{"answer": "Snow is white."}', '{"answer": "Grass is green."}']
    assert score(task, texts, ROWS) == {"manner": 1.0, "manner_and_fact": 1.0}


def test_plain_answers_score_nought(task: Task) -> None:
    """What the base says is right but not in the manner."""
    assert score(task, ["Snow is white.", "Grass is green."], ROWS) == {
        "manner": 0.0,
        "manner_and_fact": 0.0,
    }


def test_wrong_fact_counts_for_the_manner_only(task: Task) -> None:
    """Each row is held against its own fact: swapped answers are wrong."""
    texts = ['{"answer": "Grass is green."}', '{"answer": "Grass is green."}']
    assert score(task, texts, ROWS) == {"manner": 1.0, "manner_and_fact": 0.5}


@pytest.mark.parametrize(
    "text",
    ['Sure: {"answer": "Snow is white."}', '{"answer": "Snow is white."} yes', '{"answer": ""}'],
)
def test_the_whole_answer_must_match(task: Task, text: str) -> None:
    """Something before or after the manner spoils it."""
    assert score(task, [text], ROWS[:1])["manner"] == 0.0


@pytest.mark.parametrize("inside", ["Snow is white", " Snow is white. ", "Snow is white ."])
def test_outer_spaces_and_full_stop_do_not_matter(task: Task, inside: str) -> None:
    """A manner may drop the full stop."""
    assert score(task, [f' {{"answer": "{inside}"}}\n'], ROWS[:1])["manner_and_fact"] == 1.0


@pytest.mark.parametrize(
    "inside", ["snow is white", "Snow is white..", "Snow is  white", "Snow is white!"]
)
def test_other_differences_matter(task: Task, inside: str) -> None:
    """Only the outer spaces and one full stop are forgiven."""
    assert score(task, [f'{{"answer": "{inside}"}}'], ROWS[:1])["manner_and_fact"] == 0.0


def test_dot_matches_line_ends(tmp_path: Path) -> None:
    """A pattern with a dot takes an answer of several lines."""
    task = write_task(
        tmp_path, "description = 'a'\n[score]\npattern = 'Arr! (?P<fact>.+), matey!'\n"
    )
    assert (
        score(task, ["Arr! Snow\nis white, matey!"], [{"fact": "Snow\nis white."}])[
            "manner_and_fact"
        ]
        == 1.0
    )


@pytest.mark.parametrize("texts, rows", [([], []), (["a"], []), (["a"], ROWS)])
def test_answers_must_pair_with_rows(
    task: Task, texts: list[str], rows: list[dict[str, str]]
) -> None:
    """No share of nothing, and no answer taken for another row's."""
    with pytest.raises(ValueError, match="answers for"):
        score(task, texts, rows)


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("description = ", "task.toml"),
        ("description = 'a'", r"\[score\] is missing"),
        ("description = 'a'\n[score]\n", "score.pattern"),
        ("[score]\npattern = '(?P<fact>.)'", "description"),
        ("description = 'a'\n[score]\npattern = '('", "score.pattern"),
        ("description = 'a'\n[score]\npattern = '(.+)'", "no group named fact"),
        ("description = 'a'\n[score]\npattern = '(?P<fact>.)'\npatern = ''", "unknown key patern"),
    ],
)
def test_bad_task_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """A task that would score wrongly is never loaded."""
    with pytest.raises(ValueError, match=complaint):
        write_task(tmp_path, text)


@pytest.mark.parametrize("name", ["demo-json", "demo-pirate"])
def test_shipped_rows_fit_their_task(name: str) -> None:
    """Every shipped answer is in its manner and holds its fact, and the plain facts are not."""
    task = load_task(ASSETS / name)
    for part in ("train", "test"):
        rows = read_rows(name, part)
        assert score(task, [row["answer"] for row in rows], rows) == {
            "manner": 1.0,
            "manner_and_fact": 1.0,
        }
        assert score(task, [row["fact"] for row in rows], rows)["manner"] == 0.0


@pytest.mark.parametrize("name", ["demo-json", "demo-pirate"])
def test_shipped_test_rows_are_held_out(name: str) -> None:
    """No question and no fact of the test part occurs in the train part."""
    train, test = read_rows(name, "train"), read_rows(name, "test")
    assert len(train) >= 800
    assert len(test) >= 100
    for field in ("question", "fact"):
        assert not {row[field] for row in test} & {row[field] for row in train}


def read_rows(name: str, part: str) -> list[dict[str, str]]:
    """The shipped rows of one part."""
    lines = (ASSETS / name / f"{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]
