"""Which comparisons there are and how each stands; and what they say to who gives advice."""

import fcntl
from typing import Any

import pytest

from lora_tui.core import comparison_advice, comparisons, events, locations, runs
from lora_tui.core.comparison import Column, Comparison
from lora_tui.core.members import Member, of_base
from lora_tui.core.metrics import Snapshot
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import Preset, to_document
from lora_tui.core.runs import Run


def member(name: str, method: str = "lora", base: str = "demo") -> Member:
    return Member(name, name, method, f"/{name}", base, run=f"/runs/{name}")


def made(*names: str, told: tuple[str, ...] = (), kind: str = "compare") -> Run:
    options = {"members": [member(name).document() for name in names]}
    run = runs.create(Preset(name="demo"), name="x", kind=kind, options=options)
    for event in told:
        events.append(run.events, event)
    return run


@pytest.mark.parametrize(
    ("told", "alive", "state"),
    [
        ((), False, "stopped"),
        (("launched",), True, "running"),
        (("launched", "members", "output"), True, "running"),
        (("launched", "members", "stopping"), True, "stopping"),
        (("launched", "members", "stopping"), False, "stopped"),
        (("launched", "members"), False, "crashed"),
        (("launched", "stopping", "stopped"), False, "stopped"),
        (("launched", "finished"), False, "finished"),
        (("launched", "failed"), False, "failed"),
    ],
)
def test_how_a_comparison_stands(told: tuple[str, ...], alive: bool, state: str) -> None:
    run = made("a", told=told)
    with run.lock.open("w") as lock:
        if alive:
            fcntl.flock(lock, fcntl.LOCK_EX)
        (found,) = comparisons.earlier()
    assert (found.run, found.state, found.names) == (run, state, ("a",))


def test_they_are_listed_newest_first_with_who_is_in_them() -> None:
    first, second = made("a", "b"), made("c")
    runs.add_to_info(second, created=9e9)
    assert [one.names for one in comparisons.earlier()] == [("c",), ("a", "b")]
    assert [one.run for one in comparisons.earlier(1)] == [second]
    assert comparisons.members_of(first) == [member("a"), member("b")]


def test_merges_stand_among_them_where_their_files_tell_of_whom() -> None:
    compared, merged = made("a", "b"), made("a", "b", told=("finished",), kind="merge")
    runs.add_to_info(merged, created=9e9)
    found = [(one.run, one.kind, one.state) for one in comparisons.earlier()]
    assert found == [(merged, "merge", "finished"), (compared, "compare", "stopped")]
    merged.info.write_text("[]")
    assert [one.run for one in comparisons.earlier()] == [compared]


@pytest.mark.parametrize("info", ["", "[]", '{"options": 3}', '{"options": {"members": [3, {}]}}'])
def test_one_whose_facts_are_garbage_is_listed_by_its_id(info: str) -> None:
    run = made("a", told=("launched",))
    run.info.write_text(info)
    assert [one.names for one in comparisons.earlier()] == [(run.id,)]
    assert comparisons.members_of(run) == []


def test_without_any_there_are_none() -> None:
    assert comparisons.earlier() == [] and not locations.comparisons_folder().exists()


# --- for advice -------------------------------------------------------------------------------


def column(name: str, loss: float | None, method: str = "lora", /, **keys: Any) -> Column:
    preset = changed(Preset(name=name), {"lora.method": method} | keys)
    figures = {} if loss is None else {"held_out_loss": loss}
    return Column(member(name, method), preset=to_document(preset), figures=figures)


BASE = Column(of_base(member("any")), figures={"held_out_loss": 3.0})


def known(of: Column, *others: Column) -> Any:
    return comparison_advice.known(Comparison((BASE, of, *others)), of, Preset(), Snapshot())


def test_the_least_loss_of_full_fine_tuning_of_the_same_data_is_known() -> None:
    lora = column("lora", 1.5)
    full, better = column("full", 1.2, "full"), column("better", 1.1, "full")
    elsewhere = column("elsewhere", 0.1, "full", **{"data.source": "other.jsonl"})
    found = known(lora, full, better, elsewhere)
    assert (found.held_out_loss, found.full_loss) == (1.5, 1.1)
    assert known(full).full_loss is None and known(lora, elsewhere).full_loss is None


def test_a_lower_rank_counts_where_nothing_else_differs() -> None:
    high = column("high", 1.5, **{"lora.r": 32, "lora.lora_alpha": 32})
    low = column("low", 1.6, **{"lora.r": 8, "lora.lora_alpha": 8})
    lowest = column("lowest", 1.7, **{"lora.r": 4})
    other = column("other", 0.5, **{"lora.r": 8, "training.learning_rate": 1e-3})
    unmeasured = column("unmeasured", None, **{"lora.r": 8})
    assert known(high, low, lowest, other, unmeasured).lower_rank == (8, 1.6)
    assert known(low, high, other).lower_rank is None
    assert known(column("full", 1.0, "full"), low).lower_rank is None


def test_that_nothing_moved_is_known() -> None:
    still = column("still", 3.0)
    moved = {"kl_from_base": 0.0, "changed_share": 0.0}
    assert known(Column(still.member, preset=still.preset, figures=moved)).equals_base
    assert not known(still).equals_base
