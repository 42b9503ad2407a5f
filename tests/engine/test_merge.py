"""A merge by the real engine from beginning to end; and what is left of one that ends early."""

import json
import shutil

import pytest

from lora_tui.core import members, merging, runs
from lora_tui.core.merging import REPORT, MergePlan
from lora_tui.core.proofs import PASS, UNKNOWN
from lora_tui.jobs.exact import exact_preset
from tests.adapters import DEMO_MODEL, write_adapter

ROWS = [
    json.loads(line)
    for line in (DEMO_MODEL.parent / "demo-json" / "test.jsonl").read_text("utf-8").splitlines()
]
FEW = 6


@pytest.fixture(scope="module")
def tuned(engines, few_rows):
    """A run with an adapter, so that there are held-out rows; nothing had to be trained."""
    run = engines.create("demo", f"data.source={few_rows}")
    write_adapter(run.adapter, r=4)
    return members.of_run(run)


def create(engines, several, *, out="", rows=8, **settings):
    """A merge's folder, as jobs.merge makes it."""
    plan = MergePlan(members=tuple(several), rows=rows, **settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LORA_TUI_HOME", str(engines.home))
        preset, has_rows = exact_preset(list(several))
        options = {**plan.document(), "out": str(out), "has_rows": has_rows}
        return runs.create(preset, name="merge", kind="merge", options=options)


def proof_of(found):
    assert found.proof is not None
    return found.proof


@pytest.fixture(scope="module")
def single(engines, tuned, tmp_path_factory):
    """A run's adapter, merged by itself."""
    out = tmp_path_factory.mktemp("single") / "out" / "merged"
    return engines.warm(create(engines, [tuned], out=out), "merge", "transformers"), out


@pytest.fixture(scope="module")
def several(engines, tuned, tmp_path_factory):
    """The run's adapter and one made elsewhere, with other rank and scale."""
    folder = tmp_path_factory.mktemp("several") / "elsewhere"
    other = members.of_reference(str(write_adapter(folder, r=6, size=0.2, use_rslora=True)))
    run = create(engines, [tuned, other], weights=(0.6, -0.4), method="cat")
    return engines.warm(run, "merge", "transformers"), (tuned, other)


def test_an_adapter_of_a_run_is_merged_and_proven(single, tuned):
    ended, out = single
    assert ended.code == 0, ended.log
    found = merging.read(ended.run)
    assert found.ended == "finished" and found.path == str(out) and not found.warnings
    assert proof_of(found).verdict == PASS and found.written["dtype"] == "bfloat16"
    assert found.held_out["rows"] == FEW
    assert found.digests == {tuned.id: merging.digest(tuned)} and not merging.changed(found)
    assert json.loads((out / REPORT).read_text("utf-8")) == json.loads(json.dumps(found.document()))
    assert sorted(path.name for path in out.parent.iterdir()) == ["merged"]
    assert not (out / "adapter").exists() and not (out / "adapter_config.json").exists()
    card = (out / "README.md").read_text("utf-8")
    assert "**PASS**" in card and tuned.name in card and "library_name: transformers" in card


def test_its_figures_are_those_of_plain_peft_and_transformers(single, tuned, tokenizer):
    import torch

    from tests.engine import plain

    ended, out = single
    found = merging.read(ended.run)
    base, beside, merged = plain.load(), plain.load(tuned.path, "lora"), plain.load(out)
    for id_, model in (("base", base), (tuned.id, beside), ("merged", merged)):
        known = plain.measure(model, base, tokenizer, ROWS[:FEW], asked=1, most=2)
        assert found.scores[id_] == pytest.approx(known.loss, abs=1e-4)
    sums, places, largest, equal = 0.0, 0, 0.0, 0
    for row in ROWS[:FEW]:
        ids = torch.tensor([rendered(tokenizer, row)])
        with torch.no_grad():
            one, other = beside(ids).logits[0, -128:], merged(ids).logits[0, -128:]
        apart = (one - other).abs()
        sums, largest = sums + float(apart.mean(-1).sum()), max(largest, float(apart.max()))
        equal += int((one.argmax(-1) == other.argmax(-1)).sum())
        places += len(one)
    figures = proof_of(found).figures
    assert figures["positions"] == places
    assert figures["mean_logit_difference"] == pytest.approx(sums / places, rel=0.01)
    assert figures["max_logit_difference"] == pytest.approx(largest, rel=0.01)
    assert figures["greedy_equal_share"] == pytest.approx(equal / places, abs=0.01)


def rendered(tokenizer, row):
    messages = [
        {"role": "user", "content": row["question"]},
        {"role": "assistant", "content": row["answer"]},
    ]
    return tokenizer.apply_chat_template(messages, return_dict=False)


def test_several_are_combined_proven_and_scored_beside_their_parents(several):
    import torch
    from peft import PeftModel

    from tests.engine import plain

    ended, parents = several
    assert ended.code == 0, ended.log
    found = merging.read(ended.run)
    assert found.ended == "finished" and proof_of(found).verdict == PASS
    assert found.path == str(ended.run.merged) and found.method == "cat"
    assert list(found.scores) == ["base", *(parent.id for parent in parents), "merged"]
    model = PeftModel.from_pretrained(plain.load(), ended.run.merged / "adapter").eval()
    merged = plain.load(ended.run.merged)
    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        assert (model(ids).logits - merged(ids).logits).abs().max() < 0.3
    card = (ended.run.merged / "README.md").read_text("utf-8")
    assert "`cat`" in card and "the weighted sum of the adapters' updates" in card


def test_one_adapter_with_a_weight_is_scaled(engines, tuned, tmp_path):
    """And where there are no rows, the demo's questions prove it."""
    import torch
    from peft import PeftModel

    from tests.engine import plain

    elsewhere = members.of_reference(str(write_adapter(tmp_path / "it", r=4)))
    run = create(engines, [elsewhere], weights=(0.5,), dtype="float32")
    assert engines.warm(run, "merge", "transformers").code == 0
    found = merging.read(run)
    assert proof_of(found).verdict == PASS and not found.scores
    assert "demo's questions" in " ".join(found.warnings)
    half = PeftModel.from_pretrained(
        plain.load(), write_adapter(tmp_path / "half", r=4, lora_alpha=4)
    )
    ids = torch.arange(5, 45)[None]
    with torch.no_grad():
        apart = half.eval()(ids).logits - plain.load(run.merged)(ids).logits
    assert apart.abs().max() < 1e-3


def test_an_adapter_that_does_nothing_is_not_said_to_be_proven(engines, tmp_path):
    it = members.of_reference(str(write_adapter(tmp_path / "it", size=0)))
    run = create(engines, [it])
    assert engines.warm(run, "merge", "transformers").code == 0
    found = merging.read(run)
    assert proof_of(found).verdict == UNKNOWN and (run.merged / REPORT).is_file()
    assert "zero in every layer" in " ".join(found.warnings)


def test_a_template_that_takes_no_row_ends_no_merge(engines, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(DEMO_MODEL, base)
    (base / "chat_template.jinja").write_text("{{ raise_exception('no') }}", "utf-8")
    it = members.of_reference(str(write_adapter(tmp_path / "it", base=base)))
    run = create(engines, [it])
    ended = engines.warm(run, "merge", "transformers")
    assert ended.code == 0, ended.log
    proof = proof_of(merging.read(run))
    assert proof.verdict == UNKNOWN and "nothing to measure on" in proof.reasons[0]
    assert proof.figures["tensors_compared"] == proof.figures["tensors"]
    assert "takes no conversation" in " ".join(merging.read(run).warnings)


def test_what_went_bad_since_it_was_asked_for_fails_in_words(engines, tmp_path):
    it = members.of_reference(str(write_adapter(tmp_path / "it")))
    run = create(engines, [it])
    (tmp_path / "it/adapter_model.safetensors").write_bytes(b"nothing")
    ended = engines.warm(run, "merge", "transformers")
    failed = ended.events[-1]
    assert ended.code == 1 and failed["kind"] == "failed"
    assert "This cannot be merged" in failed["summary"] and "readable" in failed["summary"]
    assert not run.merged.exists() and not list(run.path.glob(".merged*"))


def test_what_was_merged_trains_on_by_unsloth(engines, single, few_rows):
    """FastLanguageModel loads the folder as it stands."""
    settings = (
        f"model.name_or_path={single[1]}",
        f"data.source={few_rows}",
        "training.max_steps=1",
    )
    ended = engines.train_warm("demo", *settings, backend="unsloth")
    assert ended.code == 0, ended.log
