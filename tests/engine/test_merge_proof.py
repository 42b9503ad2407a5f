"""A proof that passes what is right, and none of what is wrong."""

import json
import shutil
from array import array
from types import SimpleNamespace

import pytest

from lora_tui.core import events, members, preset_files
from lora_tui.core.members import Member
from lora_tui.core.merging import Merging
from lora_tui.core.platforms import Platform
from lora_tui.core.proofs import FAIL, PASS, UNKNOWN, Proof
from lora_tui.engine import merge_card
from lora_tui.engine.masking import Example
from tests.engine import kinds

GO = SimpleNamespace(check=lambda: None)
CPU = Platform("transformers", "cpu", bfloat16=False)
DTYPES = ("bfloat16", "float16", "float32")


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Made once each, when asked for."""
    from tests.engine.merge_cases import Case

    made = {}

    def case(kind, size=0.1):
        if (kind, size) not in made:
            made[kind, size] = Case(kind, tmp_path_factory.mktemp(kind), size, GO)
        return made[kind, size]

    return case


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", kinds.KINDS)
def test_what_is_right_passes_far_from_its_limits(cases, tmp_path, kind, dtype):
    proof = cases(kind).prove(tmp_path / "merged", cases(kind).write(tmp_path / "merged", dtype))
    assert proof.verdict == PASS and not proof.reasons
    assert proof.figures["mean_logit_difference"] < proof.limit["mean_logit_difference"] / 2
    assert proof.figures["max_logit_difference"] < proof.limit["max_logit_difference"] / 2
    assert proof.figures["positions"] == 6 * 48 and proof.figures["reloads"]
    assert proof.figures["tensors_compared"] > 18 and not proof.figures["tensors_off"]


def test_a_weight_widened_where_it_is_used_gives_what_float32_gives(cases):
    import torch

    from lora_tui.engine import distances
    from lora_tui.engine.exact import Exact
    from lora_tui.engine.resident import Resident

    case = cases("smollm2")
    wide = Resident(case.preset, CPU)
    wide.attach(case.member)
    for id_ in ("base", case.member.id):
        case.resident.use(id_)
        wide.use(id_)
        ids = torch.tensor(case.rows)
        with torch.no_grad():
            wanted = wide.model(ids).logits
            with Exact():
                found = case.resident.model(ids).logits
        assert found.dtype == torch.float32 and torch.equal(found, wanted)
    assert case.resident.dtype == "bfloat16"
    rows = [Example(array("i", ids), ((9, 40),), len(ids)) for ids in case.rows]
    with Exact():
        narrow = distances.held_out_loss(case.resident.model, rows, 0, GO, most=40_000)
    assert narrow == pytest.approx(distances.held_out_loss(wide.model, rows, 0, GO), rel=1e-6)


# --- planted faults --------------------------------------------------------------------------


def of_adapter(change):
    """Merges an adapter with a change to its files in place of the right one."""

    def plant(case, out, tmp_path):
        from safetensors.torch import load_file, save_file

        wrong = tmp_path / "wrong"
        shutil.copytree(case.adapter, wrong)
        weights = wrong / "adapter_model.safetensors"
        tensors = load_file(weights)
        change(tensors)
        save_file(tensors, weights)
        case.write(out, member=members.of_reference(str(wrong)))

    return plant


def of_model(change):
    """Changes the tensors of a model that was merged."""

    def plant(case, out, tmp_path):
        from safetensors.torch import load_file, save_file

        case.write(out)
        tensors = load_file(out / "model.safetensors")
        change(tensors)
        save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})

    return plant


@of_adapter
def not_merged(tensors):
    for name, tensor in tensors.items():
        tensor.mul_("lora_A" in name)


@of_adapter
def doubled(tensors):
    for name, tensor in tensors.items():
        tensor.mul_(2 if "lora_B" in name else 1)


@of_adapter
def one_layer_dropped(tensors):
    for name, tensor in tensors.items():
        tensor.mul_(".layers.1." not in name)


@of_adapter
def one_update_dropped(tensors):
    tensors["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"].zero_()


@of_adapter
def turned_round(tensors):
    for name, tensor in tensors.items():
        tensor.mul_(-1 if "lora_B" in name else 1)


@of_model
def layers_swapped(tensors):
    for name in [name for name in tensors if ".layers.0." in name]:
        other = name.replace(".layers.0.", ".layers.1.")
        tensors[name], tensors[other] = tensors[other], tensors[name]


@of_model
def tensors_swapped(tensors):
    one, two = (f"model.layers.0.mlp.{name}_proj.weight" for name in ("gate", "up"))
    tensors[one], tensors[two] = tensors[two], tensors[one]


@of_model
def with_nan(tensors):
    tensors["model.norm.weight"][3] = float("nan")


@of_model
def missing(tensors):
    del tensors["model.layers.1.mlp.up_proj.weight"]


@of_model
def one_number_off(tensors):
    """By the smallest step that bfloat16 has there."""
    weight = tensors["model.layers.0.mlp.up_proj.weight"]
    weight[7, 7] *= 1.0078125


def of_another_base(case, out, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    other = tmp_path / "other"
    shutil.copytree(case.base, other)
    model = AutoModelForCausalLM.from_pretrained(other, dtype="auto")
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.05 * torch.randn_like(weight) * weight.std())
    model.save_pretrained(other)
    settings = [f"model.name_or_path={other}"]
    case.write(out, preset=preset_files.with_settings(case.preset, settings))


def cut_off(case, out, tmp_path):
    case.write(out)
    path = out / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5000])


def of_other_tokens(case, out, tmp_path):
    """A tokenizer that reads the digits of a number together, and a token more."""
    case.write(out)
    path = out / "tokenizer.json"
    said = json.loads(path.read_text("utf-8"))
    said["pre_tokenizer"]["pretokenizers"].pop(0)
    more = {**said["added_tokens"][0], "id": kinds.VOCABULARY, "content": "<|more|>"}
    said["added_tokens"].append(more)
    path.write_text(json.dumps(said), "utf-8")


FAULTS = (
    not_merged,
    doubled,
    one_layer_dropped,
    one_update_dropped,
    turned_round,
    layers_swapped,
    tensors_swapped,
    of_another_base,
)


def test_every_planted_fault_fails_by_what_the_model_says(cases, tmp_path):
    """Without a look at the tensors."""
    failed = 0
    for number, fault in enumerate(FAULTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault(cases("smollm2"), folder / "merged", folder)
        proof = cases("smollm2").by_logits_alone(folder / "merged", "bfloat16")
        found, most = (one["mean_logit_difference"] for one in (proof.figures, proof.limit))
        failed += proof.verdict == FAIL and found > 2 * most
    assert failed == len(FAULTS) == 8


def test_every_planted_fault_fails_by_its_tensors_however_weak_the_adapter(cases, tmp_path):
    """This adapter moves the model by less than bfloat16's rounding: logits tell nothing."""
    case, failed = cases("smollm2", 0.001), 0
    for number, fault in enumerate((*FAULTS, one_number_off)):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault(case, folder / "merged", folder)
        failed += bool(case.audited(folder / "merged").off)
    assert failed == len(FAULTS) + 1


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (with_nan, "1 of its tensors (first: model.norm.weight) hold NaN"),
        (missing, "1 of its tensors are missing (first: model.layers.1.mlp.up_proj.weight)"),
        (cut_off, "transformers cannot load it"),
        (of_other_tokens, "makes other tokens of a text"),
        (of_other_tokens, "1 of its added tokens are not those"),
    ],
)
def test_what_is_broken_fails_with_its_reason(cases, tmp_path, fault, said):
    case = cases("smollm2")
    fault(case, tmp_path / "merged", tmp_path)
    proof = case.prove(tmp_path / "merged", "bfloat16")
    assert proof.verdict == FAIL and said in " ".join(proof.reasons)


def test_where_rounding_is_as_large_as_what_was_learnt_nothing_is_told(cases, tmp_path):
    case = cases("smollm2", 0.001)
    narrow = case.prove(tmp_path / "merged", case.write(tmp_path / "merged"))
    assert narrow.verdict == UNKNOWN and narrow.passed is None
    assert "Merge to float32" in narrow.reasons[0]
    wide = case.prove(tmp_path / "merged", case.write(tmp_path / "merged", "float32"))
    assert wide.verdict == PASS


def test_where_there_was_nothing_to_measure_on_nothing_is_told(cases):
    from lora_tui.engine import merge_proof
    from lora_tui.engine.merge_audit import Audit

    case = cases("smollm2")
    found = merge_proof.differences(case.resident, case.member, None, [], GO)
    proof = merge_proof.verdict(found, Audit(20, 20), (), dtype="bfloat16", layers=2)
    assert proof.verdict == UNKNOWN and "nothing to measure on" in proof.reasons[0]


def test_what_nobody_can_measure_is_no_pass():
    from lora_tui.engine import merge_proof
    from lora_tui.engine.merge_audit import Audit

    numbers = dict.fromkeys(
        ("max_logit_difference", "mean_logit_difference", "greedy_equal_share", "kl"), float("nan")
    )
    found = {**numbers, "kl_from_base": 1.0, "logit_spread": 1.0}
    proof = merge_proof.verdict(found, Audit(1), (), dtype="float16", layers=4)
    assert proof.verdict == FAIL and len(proof.reasons) == 3
    member = Member("m", "m", "lora", "/m", "demo")
    known = Proof.from_document(events.finite(proof.document()))
    made = Merging(members=(member,), weights=(1.0,), written={"dtype": "float16"}, proof=known)
    card = merge_card.model_card(made)
    assert "**FAIL**" in card and "| kl | NaN | - |" in card and proof.reasons[0] in card
