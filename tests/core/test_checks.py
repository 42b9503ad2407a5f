"""A check's events, folded; and one that breaks off."""

from lora_tui.core import checks, events, runs
from lora_tui.core.items import Item, document, is_ok
from lora_tui.core.presets import Preset
from lora_tui.core.summary import headline


def test_items_come_out_as_they_were_told() -> None:
    told = checks.Told()
    green = {"kind": "item", "name": "data", "status": "green", "detail": "fine", "remedy": ""}
    red = {**green, "name": "mask", "status": "red", "changes": {"model.max_seq_length": 512}}
    assert told.fold([{"kind": "looking", "name": "data"}]) == []
    assert told.looking == "data"
    assert told.fold([green, {"kind": "item", "status": "purple"}, red]) == [
        Item("data", "green", "fine"),
        Item("mask", "red", "fine", changes={"model.max_seq_length": 512}),
    ]
    told.fold([{"kind": "finished", "seconds_per_step": 1.5, "pid": 1}])
    assert told.document() == {
        "ok": False,
        "items": [
            {name: green[name] for name in ("name", "status", "detail", "remedy")},
            {name: red[name] for name in ("name", "status", "detail", "remedy", "changes")},
        ],
        "seconds_per_step": 1.5,
    }


def test_a_check_that_breaks_off_is_red_where_it_was() -> None:
    run = runs.create(Preset(name="p"), kind="check")
    events.append(run.events, "launched")
    events.append(run.events, "looking", name="steps")
    told = checks.Told()
    told.fold(events.read_new(run.events, 0)[0])
    told.end(headline(run))
    (item,) = told.items
    assert (item.name, item.status) == ("steps", "red")
    assert "memory" in item.detail


def test_ok_means_that_nothing_is_red() -> None:
    assert is_ok([Item("a", "green", ""), Item("b", "yellow", "")])
    assert not is_ok([Item("a", "red", "")])
    assert document([])["ok"]


def test_reports_stand_apart_from_runs() -> None:
    report = runs.create(Preset(name="p"), kind="check", options={"quick": True})
    run = runs.create(Preset(name="p"))
    assert runs.list_runs() == [run]
    assert runs.list_runs(report.path.parent) == [report]
    assert runs.read_info(report)["options"] == {"quick": True}
