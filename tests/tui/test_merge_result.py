"""A merge at work, ended, broken or gone: what is shown of it, and what can be done then."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import events, runs
from lora_tui.core.members import Member
from lora_tui.core.runs import Run
from lora_tui.jobs import control, merge
from lora_tui.tui import chat_flows, export_flows, look
from lora_tui.tui.app import LoraTuiApp
from lora_tui.tui.merge_draft import Draft
from lora_tui.tui.screens.confirm import Confirm
from lora_tui.tui.screens.home import HomeScreen
from lora_tui.tui.screens.log import LogScreen

from .conftest import shown, toasts
from .data_reports import at_work, until
from .merges import PROVEN, adapter, opened, ready, recorded, two
from .test_merge_screen import SIZE, keys, press

pytestmark = pytest.mark.usefixtures("shipped")


async def test_a_merge_at_work_is_shown_as_it_grows_and_goes_on_when_left() -> None:
    who = two(4, 4)
    run = recorded(who, final="", until_=5)
    with at_work(run):
        app = LoraTuiApp()
        async with app.run_test(size=SIZE) as pilot:
            screen = await opened(pilot, who)
            assert "● held-out losses…" in shown(pilot)
            assert "leaving lets it go on" in shown(pilot)
            assert keys(screen) >= {"s", "g"} and not keys(screen) & {"e", "a", "r", "w", "t", "D"}
            events.append(run.events, "scored", id=who[1].id, held_out_loss=1.234)
            await until(pilot, lambda: "1.234" in shown(pilot))
            await press(pilot, "q")
            assert isinstance(app.screen, HomeScreen) and runs.is_alive(run)
            await opened(pilot, who[::-1])  # in whatever order
            assert "1.234" in shown(pilot) and "● held-out losses…" in shown(pilot)


async def test_stopping_asks_first_and_what_hangs_can_be_killed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = two(4, 4)
    told: list[str] = []
    monkeypatch.setattr(control, "stop", lambda run: told.append("stop"))
    monkeypatch.setattr(control, "kill", lambda run: told.append("kill"))
    run = recorded(who, final="", until_=0)
    with at_work(run):
        async with LoraTuiApp().run_test(size=SIZE) as pilot:
            await opened(pilot, who)
            assert "a r4-pirate" in shown(pilot)  # before the engine says so
            events.append(run.events, "started", device="cpu")  # now it can be stopped
            await until(pilot, lambda: "s stop" in shown(pilot))
            await press(pilot, "s")
            assert isinstance(pilot.app.screen, Confirm)
            await press(pilot, "n")
            assert not told
            await press(pilot, "s", "y")
            events.append(run.events, "stopping")
            await until(pilot, lambda: "■ stopping…" in shown(pilot))
            await press(pilot, "s", "y")
            assert told == ["stop", "kill"]


async def test_the_result_stands_with_its_proof_and_its_next_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = two(4, 4)
    run = recorded(who, warnings=["Few rows are held out."])
    asked: list[tuple[str, Any]] = []

    async def chat(_: object, members_: Sequence[Member]) -> None:
        asked.append(("chat", [one.name for one in members_]))

    async def export(_: object, member: Member) -> None:
        asked.append(("export", member.path))

    monkeypatch.setattr(chat_flows, "open_chat", chat)
    monkeypatch.setattr(export_flows, "open_export", export)
    app = LoraTuiApp()
    async with app.run_test(size=(80, 30)) as pilot:
        await opened(pilot, who)
        said = shown(pilot)
        assert "✓ finished" in said and "✓ PASS" in said and "7.35 MB of bfloat16" in said
        assert "at most 1.770" in said and "▲ Few rows are held out." in said
        assert "1.450★" in said and "1.490" in said and "Merge by linear" in said
        assert "All 38 tensors are what the files make of them," in said
        await press(pilot, "w", "a", "e")
        assert app.clipboard == str(run.merged) and str(run.merged) in toasts(pilot)
        assert asked == [
            ("chat", ["merged", "r4-pirate", "r8-pirate"]),
            ("export", str(run.merged)),
        ]
        await press(pilot, "g")
        assert isinstance(app.screen, LogScreen)


async def test_a_proof_that_failed_says_why() -> None:
    who = [adapter("r4-pirate")]
    reason = "The largest difference of logits is 3.1, and 0.001 is allowed."
    proof = {**PROVEN, "verdict": "fail", "max_logit_difference": 3.1, "reasons": [reason]}
    recorded(who, proof=proof)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert "✗ FAIL" in shown(pilot) and reason in shown(pilot)
        assert "e" in keys(screen) and "a" not in keys(screen)  # it has no adapter of its own


@pytest.mark.parametrize(
    ("final", "last", "says"),
    [
        ("failed", {"summary": "The disk is full.", "hint": "Free 7 MB."}, "The disk is full."),
        ("stopped", {}, "It was stopped: nothing of it is left."),
        ("", {}, "killed from outside, or out of memory"),
    ],
)
async def test_how_it_ended_is_said_and_the_form_takes_it_up_again(
    final: str, last: dict[str, Any], says: str
) -> None:
    who = two(4, 4)
    run = recorded(who, final=final, until_=6, plan={"method": "svd", "rank": 3}, **last)
    run.log.write_text("one\nKilled by the kernel\n")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        said = " ".join(shown(pilot).replace("▌", " ").split())
        assert says in said and ("Killed by the kernel" in said) is (not final)
        assert keys(screen) >= {"r", "g", "D"} and not keys(screen) & {"s", "e", "w"}
        await press(pilot, "r")
        await ready(pilot)
        plan = screen.form.draft.plan
        assert (plan.method, plan.rank) == ("svd", 3) and says not in shown(pilot)
        await press(pilot, "q")  # back to what it came from
        assert not screen.is_form
        await press(pilot, "q")
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_one_that_ran_is_merged_again_with_what_was_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    who = two(4, 4)
    recorded(who)
    found: list[tuple[float, ...]] = []

    def start(plan: Any, out: Path | None = None) -> Run:
        found.append(plan.weights)
        return recorded(plan.members)

    monkeypatch.setattr(merge, "start", start)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        first = screen.frame and screen.frame.run
        await press(pilot, "r", "right", "t")
        await ready(pilot)
        assert found == [(0.6, 0.5)] and screen.frame and screen.frame.run != first


async def test_deleting_asks_first_and_leaves_the_runs() -> None:
    who = two(4, 4)
    run = recorded(who)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        await press(pilot, "D", "enter")
        assert isinstance(pilot.app.screen, Confirm)
        assert "the merged model in it" in pilot.app.screen._text
        await press(pilot, "y")
        await ready(pilot)
        assert screen.is_form and not run.path.exists()
        assert all(Path(one.path).is_dir() for one in who)
        assert screen.form.draft == Draft.of(who)


async def test_a_result_that_was_moved_away_says_so() -> None:
    who = [adapter("r4-pirate")]
    recorded(who)
    shutil.rmtree(Run(Path(who[0].run)).merged)
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert "It is not there any more" in shown(pilot)
        assert not keys(screen) & {"e", "w"} and "r" in keys(screen)


async def test_garbage_and_half_a_line_hurt_nobody() -> None:
    who = two(4, 4)
    run = recorded(who)
    odd = [{"kind": "scored"}, {"kind": "proof", "verdict": 3}, {"kind": "merging", "members": 1}]
    with run.events.open("a") as file:
        file.write("".join(json.dumps(one) + "\n" for one in odd) + '{"kind": "scor')
    run.info.write_text("{")
    async with LoraTuiApp().run_test(size=SIZE) as pilot:
        screen = await opened(pilot, who)
        assert screen.is_form  # nobody knows whose it is
        runs.add_to_info(run, kind="merge", options={"members": [one.document() for one in who]})
        await press(pilot, "q")
        await opened(pilot, who)
        assert "✓ PASS" in shown(pilot)


@pytest.mark.parametrize("size", [(20, 5), (40, 12), (200, 60)])
async def test_it_stands_at_any_size_in_ascii(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LORA_TUI_ASCII", "1")
    look.ascii_only.cache_clear()
    who = two(4, 4)
    recorded(who, warnings=["Something."])
    async with LoraTuiApp().run_test(size=size) as pilot:
        await opened(pilot, who)
        await press(pilot, "r")
        await ready(pilot)
        await press(pilot, "q")
        assert all(line.isascii() for line in shown(pilot).splitlines()[1:])
        assert not pilot.app._notifications


async def test_what_is_told_in_passing_leaves_the_last_two_lines_to_be_read() -> None:
    who = two(4, 4)
    recorded(who)
    async with LoraTuiApp().run_test(size=SIZE, notifications=True) as pilot:
        await opened(pilot, who)
        before = shown(pilot).splitlines()[-2:]
        await press(pilot, "w")
        await until(pilot, lambda: "(path copied)" in shown(pilot))
        assert shown(pilot).splitlines()[-2:] == before


def test_opening_the_app_loads_no_merge(fresh_python: Callable[[str], str]) -> None:
    late = ("lora_tui.tui.screens.merge", "lora_tui.tui.merge_flows", "lora_tui.jobs.merge")
    code = f"import sys, lora_tui.tui.app; print([m for m in {late!r} if m in sys.modules])"
    assert fresh_python(code) == "[]"
