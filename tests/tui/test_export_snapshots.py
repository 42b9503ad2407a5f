"""How an export looks, at 80x24 and 120x40. `pytest --snapshot-update` accepts a new look."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from lora_tui.core.members import Member
from lora_tui.core.proofs import FAIL, UNKNOWN
from lora_tui.tui import export_detail, export_words, look
from lora_tui.tui.app import LoraTuiApp

from .conftest import settled
from .data_reports import at_work
from .exports import opened, proof, ready, recorded, usual

Compare = Callable[..., bool]
Prepare = Callable[[Pilot[Any]], Awaitable[None]]

both_sizes = pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])

PATH = "/home/me/.local/share/lora-tui/runs/20261123-1201-r4-pirate/exports"


@pytest.fixture(autouse=True)
def still(shipped: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same paths, disk and no seconds on every machine."""
    for module in (export_words, export_detail):
        monkeypatch.setattr(module, "end_of", lambda _, room: PATH[-room:])
    labelled = export_detail._labelled
    anywhere = lambda label, said, *more, **roles: labelled(  # noqa: E731
        label, PATH if label == "file" else said, *more, **roles
    )
    monkeypatch.setattr(export_detail, "_labelled", anywhere)
    typed = [("Ollama", f"ollama create r4-pirate -f {PATH}/Modelfile"), ("llama.cpp", "llama-cli")]
    uses = lambda frame, _: typed if frame and frame.now.modelfile else []  # noqa: E731
    monkeypatch.setattr(export_detail, "uses", uses)
    monkeypatch.setattr("lora_tui.core.hardware.free_disk", lambda _: 812_000_000_000)
    at_work = export_words._at_work
    still = lambda frame, width: at_work(replace(frame, seconds=0), width)  # noqa: E731
    monkeypatch.setattr(export_words, "_at_work", still)


def keys(who: Member, *pressed: str) -> Prepare:
    """Show the export of a member, and press keys one after another."""

    async def prepare(pilot: Pilot[Any]) -> None:
        await settled(pilot)
        await opened(pilot, who)
        for key in pressed:
            await pilot.press(key)
            await settled(pilot)
        await ready(pilot)
        await pilot.pause()

    return prepare


def what_can_come_of_it(who: Member) -> None:
    """One export with every verdict."""
    reason = "The KL divergence from torch is 0.71, more than 0.1."
    noise = "What was learnt is no larger than the file's own noise."
    recorded(
        who,
        ("f16", "q8_0", "q4_k_m", "q2_k", "iq1_s"),
        proofs={"q4_k_m": proof("q4_k_m", FAIL, reason), "q2_k": proof("q2_k", UNKNOWN, noise)},
        refused={"iq1_s": ("No importance matrix could be computed.", "Name training data.")},
        warnings=["It is measured on few rows."],
    )


@both_sizes
def test_choosing(snap_compare: Compare, size: tuple[int, int]) -> None:
    shown = keys(usual(), "j", "j", "j", "j", "space")
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=shown)


@both_sizes
def test_at_work(snap_compare: Compare, size: tuple[int, int]) -> None:
    who = usual()
    with at_work(recorded(who, final="", until_=7)):
        assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=keys(who))


@both_sizes
def test_done(snap_compare: Compare, size: tuple[int, int]) -> None:
    who = usual()
    what_can_come_of_it(who)
    assert snap_compare(LoraTuiApp(), terminal_size=size, run_before=keys(who, "j", "j"))


def test_failed(snap_compare: Compare) -> None:
    who = usual()
    said: dict[str, Any] = {"summary": "The disk is full.", "hint": "Free some room, then press x."}
    recorded(who, final="failed", until_=7, **said).log.write_text("No space left on device\n")
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=keys(who))


def test_in_ascii(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    who = usual()
    what_can_come_of_it(who)
    assert snap_compare(LoraTuiApp(), terminal_size=(80, 24), run_before=keys(who))


def test_narrow(snap_compare: Compare) -> None:
    who = usual()
    what_can_come_of_it(who)
    assert snap_compare(LoraTuiApp(), terminal_size=(40, 12), run_before=keys(who))


def test_a_page_in_a_narrow_terminal(snap_compare: Compare) -> None:
    who = usual()
    what_can_come_of_it(who)
    assert snap_compare(
        LoraTuiApp(), terminal_size=(40, 12), run_before=keys(who, "j", "j", "enter", "pagedown")
    )
