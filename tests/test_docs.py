"""Documents that are made from the code are what the code says."""

import re
from pathlib import Path

import pytest

from lora_tui.cli import main
from tools import preset_reference

ROOT = Path(__file__).parent.parent


def test_the_preset_reference_is_up_to_date() -> None:
    assert preset_reference.PAGE.read_text("utf-8") == preset_reference.page()


@pytest.mark.parametrize("name", ["README.md", "docs/guide.md"])
def test_every_command_in_the_documents_exists(name: str) -> None:
    for verb in re.findall(r"lora-tui ([a-z]+)", (ROOT / name).read_text("utf-8")):
        assert verb in main.commands, f"{name} names `lora-tui {verb}`"


@pytest.mark.parametrize("page", sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]), ids=str)
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
