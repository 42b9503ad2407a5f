"""A comparison's figures against plain PEFT and transformers, and what is broken called by name."""

import json
import shutil
import threading

import pytest

from lora_tui.core import comparison, comparison_files, comparison_table, members, preset_files
from lora_tui.core.members import Member
from lora_tui.engine.common_rows import Trained, common
from lora_tui.jobs import compare, launch
from lora_tui.jobs.follow import follow
from tests.adapters import DEMO_MODEL, of_other_shape, write_adapter

ROWS = [
    json.loads(line)
    for line in (DEMO_MODEL.parent / "demo-json" / "test.jsonl").read_text("utf-8").splitlines()
]


def warm(engines, monkeypatch):
    """Have comparisons made by the engine that is shared, not each by one of its own."""
    monkeypatch.setattr(
        launch, "spawn", lambda run, verb: engines.warm(run, verb, "transformers").code
    )


def compared(engines, monkeypatch, several, **asked):
    """A comparison made from beginning to end."""
    for name, value in engines.environment.items():
        monkeypatch.setenv(name, value)
    run = compare.start(several, compare.Asked(**asked))
    for _ in follow(run, threading.Event(), every=0.05):
        pass
    return run, comparison.read(run)


@pytest.fixture(scope="session")
def trained(engines, few_rows):
    """A run of the demo, so that there are held-out rows: the first six of the demo's own."""
    settings = ("training.max_steps=2", f"data.source={few_rows}")
    return engines.train_warm("demo", *settings, backend="transformers").run


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A model of which every weight is another than the base's."""
    import torch
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("whole")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight) * weight.std())
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def several(trained, whole, tmp_path_factory):
    """A run, two adapters made elsewhere, and a whole model."""
    home = tmp_path_factory.mktemp("elsewhere")
    return [
        members.of_run(trained),
        members.of_reference(str(write_adapter(home / "small", r=4))),
        members.of_reference(str(write_adapter(home / "scaled", r=8, use_rslora=True))),
        Member("whole", "whole", "full", str(whole), "demo"),
    ]


def test_figures_are_those_of_plain_peft_and_transformers(engines, several, tokenizer, monkeypatch):
    from tests.engine import plain

    run, found = compared(engines, monkeypatch, several, number=3, max_new_tokens=20)
    assert found.ended == "finished" and not found.warnings
    assert [column.member.id for column in found.columns] == ["base", *(m.id for m in several)]
    base = plain.load()
    for column in found.columns:
        member = column.member
        own = base if column.is_base else plain.load(member.path, member.method)
        known = plain.measure(own, base, tokenizer, ROWS[:6], asked=3, most=20)
        assert column.figure("held_out_loss") == pytest.approx(known.loss, abs=1e-4)
        assert [prompt.outputs[member.id] for prompt in found.prompts] == known.texts
        if not column.is_base:
            assert column.figure("kl_from_base") == pytest.approx(known.kl, abs=1e-4)
            assert column.figure("changed_share") == pytest.approx(known.changed)
            check_norms(column, own, base)
    assert found.held_out["rows"] == 6
    assert [prompt.text for prompt in found.prompts] == [row["question"] for row in ROWS[:3]]
    assert set(found.columns[1].figure("scores")) == {"manner", "manner_and_fact"}
    kept = json.loads((run.path / comparison_files.JSON).read_text("utf-8"))
    assert kept == json.loads(json.dumps(comparison_files.document(found, str(run.path))))
    assert "## What differs" in (run.path / comparison_files.MARKDOWN).read_text("utf-8")


def check_norms(column, tuned, base):
    """The whole update's norm, from the weights that PEFT merges."""
    from peft import PeftModel

    if isinstance(tuned, PeftModel):
        tuned = tuned.merge_and_unload()
    before = dict(base.named_parameters())
    squares = sum(
        float((weight - before[name]).detach().double().square().sum())
        for name, weight in tuned.named_parameters()
    )
    assert comparison_table.update_norm(column) == pytest.approx(squares**0.5, rel=1e-3)


def without_half(tensors):
    for name in sorted(tensors)[: len(tensors) // 2]:
        del tensors[name]


def with_extra(tensors):
    tensors["base_model.model.model.layers.9.mlp.down_proj.lora_A.weight"] = tensors[
        "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"
    ]
    tensors["base_model.model.model.layers.9.mlp.down_proj.lora_B.weight"] = tensors[
        "base_model.model.model.layers.0.mlp.down_proj.lora_B.weight"
    ]


def with_nan(tensors):
    next(iter(tensors.values()))[1][0] = float("nan")


def one_factor(tensors):
    del tensors["base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"]


class Evil:
    def __reduce__(self):
        return print, ("obeyed",)


@pytest.fixture(scope="session")
def planted(engines, tmp_path_factory):
    """One comparison of everything that can be wrong with an adapter, and of one that is whole."""
    import torch
    from safetensors.torch import load_file

    home = tmp_path_factory.mktemp("planted")
    write_adapter(home / "good")
    write_adapter(home / "zero", size=0)
    write_adapter(home / "half", change=without_half)
    write_adapter(home / "extra", change=with_extra)
    write_adapter(home / "nan", change=with_nan)
    write_adapter(home / "factor", change=one_factor)
    write_adapter(home / "shape", change=of_other_shape)
    write_adapter(home / "rank", r=4)
    config = json.loads((home / "rank/adapter_config.json").read_text("utf-8"))
    (home / "rank/adapter_config.json").write_text(json.dumps(config | {"r": 8}), "utf-8")
    write_adapter(home / "layers", target_modules=["c_attn"])
    write_adapter(home / "kind", peft_type="IA3")
    write_adapter(home / "gone-base", base="/nowhere/at/all")
    write_adapter(home / "biased", bias="all")
    write_adapter(home / "dora", use_dora=True)
    for name, what in (("pickle", None), ("evil", {"a": Evil()})):
        write_adapter(home / name)
        weights = home / name / "adapter_model.safetensors"
        torch.save(what or load_file(weights), home / name / "adapter_model.bin")
        weights.unlink()
    write_adapter(home / "cut")
    weights = home / "cut/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    other = home / "other-base"
    shutil.copytree(DEMO_MODEL, other)
    write_adapter(home / "elsewhere", base=other)
    names = [folder.name for folder in sorted(home.iterdir()) if folder.name != "other-base"]
    with pytest.MonkeyPatch.context() as patch:
        several = [members.of_reference(str(home / name)) for name in names]
        warm(engines, patch)
        run, found = compared(engines, patch, several, prompts=("Who are you?",), max_new_tokens=4)
    return run, {column.member.name: column for column in found.columns}, found


SAID = {
    "zero": "zero in every layer",
    "half": "12 of 24 tensors",
    "extra": "2 tensors of its file (first: model.layers.9.mlp.down_proj) have no place",
    "pickle": "is a pickle: read as weights only",
}
REFUSED = {
    "nan": "hold NaN or infinity",
    "factor": "lack one of their two factors (first: model.layers.0.mlp.down_proj)",
    "shape": "is made for 4 x 64, this base needs 4 x 256",
    "rank": "have rank 4, but its adapter_config.json says r = 8",
    "layers": "none of its target modules is a layer here",
    "kind": "not LoRA",
    "gone-base": "Its base cannot be loaded: There is no model at /nowhere/at/all",
    "evil": "holds more than weights: it is not loaded",
    "cut": "cannot be read",
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_odd_is_said_and_measured(planted, name):
    _, columns, _ = planted
    assert SAID[name] in " ".join(comparison_table.notes(planted[2], columns[name]))
    assert columns[name].figure("kl_from_base") is not None and not columns[name].refused


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_broken_is_refused_by_name_and_measured_in_nothing(planted, name):
    _, columns, _ = planted
    assert REFUSED[name] in columns[name].refused["summary"]
    assert columns[name].refused["hint"]
    assert columns[name].figure("kl_from_base") is None


def test_the_rest_goes_on(planted):
    run, columns, found = planted
    assert found.ended == "finished" and "obeyed" not in run.log.read_text("utf-8")
    for name in ("good", "biased", "dora", "elsewhere"):
        assert columns[name].figure("kl_from_base") > 0.001, name
    assert columns["biased"].figure("kl_from_base") == pytest.approx(
        columns["good"].figure("kl_from_base"), rel=1e-3
    )  # loaded on a base of its own: what came before and after it is not touched
    assert comparison_table.equals_base(columns["zero"])
    assert not comparison_table.equals_base(columns["good"])


def test_another_base_is_said(planted):
    _, columns, found = planted
    assert "bases are compared" in " ".join(found.warnings)
    assert found.base_of(columns["elsewhere"]) is not found.base_of(columns["good"])


def test_rows_that_a_run_trained_on_are_not_measured_on(few_rows, tokenizer, tmp_path):
    """One run's held-out rows are another's training rows: those are left out."""
    lines = (few_rows / "test.jsonl").read_text("utf-8").splitlines()
    others = (few_rows / "train.jsonl").read_text("utf-8").splitlines()
    seen = tmp_path / "seen.jsonl"
    seen.write_text("\n".join([*lines[:2], *others[:8]]), "utf-8")
    preset = preset_files.with_settings(preset_files.find("demo"), [f"data.source={few_rows}"])
    other = preset_files.with_settings(
        preset, [f"data.source={seen}", "data.eval_fraction=0", "training.max_steps=-1"]
    )
    keys, is_same = Trained(other).keys()
    assert is_same
    rows = common(preset, tokenizer, keys, 100)
    assert (len(rows.examples), rows.left_out) == (4, 2)
    assert [row["question"] for row in rows.rows] == [row["question"] for row in ROWS[2:6]]
    assert len(common(preset, tokenizer, Trained(other, read=0).keys()[0], 100).examples) == 6
    assert len(common(preset, tokenizer, keys, 3).examples) == 3


def test_data_that_changed_since_counts_as_trained_on(few_rows, tokenizer):
    """Where its rows moved, which were held out cannot be known any more."""
    preset = preset_files.with_settings(preset_files.find("demo"), [f"data.source={few_rows}"])
    keys, is_same = Trained(preset, read=0, fingerprint="another").keys()
    assert not is_same
    assert not common(preset, tokenizer, keys, 100).examples


def test_a_blank_does_not_hide_that_a_row_was_trained_on(few_rows, tokenizer, tmp_path):
    rows = [json.loads(line) for line in (few_rows / "test.jsonl").read_text().splitlines()]
    spaced = tmp_path / "spaced.jsonl"
    lines = [json.dumps({**row, "question": f"{row['question']} "}) for row in rows]
    spaced.write_text("\n".join(lines), "utf-8")
    preset = preset_files.with_settings(preset_files.find("demo"), [f"data.source={few_rows}"])
    other = preset_files.with_settings(
        preset, [f"data.source={spaced}", "data.eval_fraction=0", "training.max_steps=-1"]
    )
    assert not common(preset, tokenizer, Trained(other).keys()[0], 100).examples


def test_what_became_of_one_runs_data_does_not_keep_the_rest(engines, tmp_path, monkeypatch):
    """Rows that are gone or changed are said; who trained on them is still asked and measured."""
    gone = engines.create("demo", f"data.source={tmp_path / 'gone.jsonl'}")
    here = engines.create("demo")
    for run in (gone, here):
        write_adapter(run.adapter)
    both = [members.of_run(gone), members.of_run(here)]
    warm(engines, monkeypatch)
    _, found = compared(engines, monkeypatch, both, prompts=("Who are you?",), rows=4)
    assert not any(column.refused for column in found.columns)
    assert found.held_out["rows"] == 4
    notes = {column.member.id: " ".join(column.warnings) for column in found.columns}
    assert "trained on other data than the held-out rows" in notes[gone.id]
    assert not notes[here.id]
    said = " ".join(found.warnings)
    assert "Held-out rows cannot be read" in said and f"{gone.id} was trained on is not" in said
