"""What the benchmarks share: a home, a figure as a row, and a section of docs/benchmarks.md."""

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

REPOSITORY = Path(__file__).parents[1]
DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"
SURVIVAL = REPOSITORY / "docs" / "survival.md"
APP = [sys.executable, "-m", "lora_tui"]
MANNERS = {
    "TEXTUAL_ANIMATIONS": "none",
    "TEXTUAL_FPS": "15",
    "TEXTUAL_DISABLE_KITTY_KEY": "1",
    "LANG": "C.UTF-8",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One figure: what was measured, each repeat's value, and what the issue asks for."""

    name: str
    values: Sequence[float]
    unit: str
    limit: str = ""

    def row(self) -> str:
        """As a row of the table."""
        shown = [short(one) for one in (median(self.values), min(self.values), max(self.values))]
        spread = f"{shown[1]} to {shown[2]}" if len(self.values) > 1 else ""
        cells = (self.name, f"{shown[0]} {self.unit}", spread, str(len(self.values)), self.limit)
        return f"| {' | '.join(cells)} |"


def short(value: float) -> str:
    """Three figures of a number."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:,.0f}"


@contextmanager
def home(**more: str) -> Iterator[dict[str, str]]:
    """An environment with a home of its own."""
    with tempfile.TemporaryDirectory() as folder:
        yield {**MANNERS, "LORA_TUI_HOME": folder, "HF_HUB_OFFLINE": "1", **more}


@contextmanager
def own_home() -> Iterator[Path]:
    """A folder for this process's files, and its home in there."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LORA_TUI_HOME"] = str(Path(folder) / "home")
        yield Path(folder)


def arguments_of(document: str | None, out: Path = DOCUMENT) -> argparse.ArgumentParser:
    """The command line of a benchmark that reads rows and writes a document."""
    parser = argparse.ArgumentParser(description=document)
    parser.add_argument("rows", type=Path, help="question/answer JSON Lines")
    parser.add_argument("--out", type=Path, default=out)
    return parser


@contextmanager
def section(path: Path, name: str, command: str) -> Iterator[list[Line]]:
    """Print and write the lines that are put in, beside the load there was before them."""
    load, lines = os.getloadavg()[0], list[Line]()
    yield lines
    print("\n".join(line.row() for line in lines), flush=True)
    _write(path, name, command, lines, load)


def _write(path: Path, name: str, command: str, lines: list[Line], load: float) -> None:
    """Put a part's table into its section."""
    about = (
        f"`python -m {command}` on {time.strftime('%Y-%m-%d')}: "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}."
    )
    put(path, name, [about, "", *table(lines)])


def table(lines: Sequence[Line], limit: str = "at most") -> list[str]:
    """The lines under their head; `limit` is what the last column is called."""
    head = [f"| what | median | range | repeats | {limit} |", "|---|---|---|---|---|"]
    return head + [line.row() for line in lines]


def put(path: Path, name: str, body: Sequence[str]) -> None:
    """Put text between a section's markers, and leave the rest of the document as it is."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = path.read_text("utf-8") if path.exists() else "# Benchmarks\n"
    if begin not in text:
        text += f"\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    section = "\n".join([begin, *body, end])
    path.write_text(before + section + rest.partition(end)[2], encoding="utf-8")
