"""What is refused before a merge begins, each by name and with a way out."""

import json
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lora_tui.core import members
from lora_tui.core.members import Member
from lora_tui.core.merge_check import about_place, combines, refusals
from lora_tui.core.merging import METHODS, MergePlan
from lora_tui.core.runs import Run
from tests.adapters import write_adapter


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    write_adapter(folder / "four", r=4)
    write_adapter(folder / "five", r=4, size=0.1)
    write_adapter(folder / "eight", r=8)
    for name, config in KINDS.items():
        write_adapter(folder / name, **config)
    write_adapter(folder / "tokens", change=with_rows("lm_head", 2050))
    write_adapter(folder / "carrying", change=with_rows("embed_tokens", 2048))
    write_adapter(folder / "few-tokens", trainable_token_indices=[1, 2], change=with_trained_tokens)
    write_adapter(folder / "patterned", rank_pattern={"q_proj": 2}, change=narrow)
    write_adapter(folder / "kind", peft_type="IA3")
    write_adapter(folder / "elsewhere", base="/gone/base")
    write_adapter(folder / "cut")
    (folder / "cut/adapter_model.safetensors").write_bytes(b"nothing")
    write_adapter(folder / "empty")
    (folder / "empty/adapter_model.safetensors").unlink()
    write_adapter(folder / "garbage")
    (folder / "garbage/adapter_config.json").write_text("[1]", "utf-8")
    (folder / "quantised").mkdir()
    four_bit = json.dumps({"quantization_config": {"load_in_4bit": True}})
    (folder / "quantised/config.json").write_text(four_bit, "utf-8")
    write_adapter(folder / "four-bit", base=folder / "quantised")
    return folder


KINDS: dict[str, dict[str, Any]] = {
    "rslora": {"use_rslora": True, "alpha_pattern": {"v_proj": 64}},
    "dora": {"use_dora": True},
    "biased": {"bias": "all"},
    "saved": {"modules_to_save": ["lm_head"]},
    "trained-tokens": {"trainable_token_indices": [1]},
    "pissa": {"init_lora_weights": "pissa"},
    "replicated": {"layer_replication": [[0, 2], [0, 2]]},
    "invoked": {"alora_invocation_tokens": [1, 2]},
    "parameters": {"target_parameters": ["mlp.experts.gate_up_proj"]},
}
ALONE_ONLY = ("dora", "biased", "saved", "trained-tokens", "pissa", "carrying")


def with_rows(layer, rows):
    def change(tensors):
        tensors[f"base_model.model.{layer}.weight"] = ((rows, 256), array("f", bytes(rows * 1024)))

    return change


def with_trained_tokens(tensors):
    """As PEFT saves the rows of some tokens."""
    name = "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta"
    tensors[name] = ((2, 256), array("f", bytes(2048)))


def narrow(tensors):
    for name, (shape, values) in tensors.items():
        if "q_proj" in name:
            at = 0 if "lora_A" in name else 1
            cut = (2, shape[1]) if at == 0 else (shape[0], 2)
            tensors[name] = (cut, values[: cut[0] * cut[1]])


@pytest.fixture
def plan(home):
    """Makes a plan of adapters by their names."""

    def make(*names, **settings):
        found = tuple(
            name
            if isinstance(name, Member)
            else members.of_reference(str(home / name))
            if (home / name / "adapter_config.json").read_text("utf-8") != "[1]"
            else Member(name, name, "lora", str(home / name), "demo")
            for name in names
        )
        weights = settings.pop("weights", (1 / len(names),) * len(names) if names else ())
        return MergePlan(members=found, weights=weights, **settings)

    return make


@pytest.mark.parametrize("name", [*KINDS, "four", "patterned", "few-tokens"])
def test_one_adapter_may_be_of_any_kind_that_weights_can_hold(plan, name):
    found = refusals(plan(name))
    if name in {"replicated", "invoked", "parameters"}:
        assert len(found) == 1 and f"{name} cannot become weights" in found[0]
    else:
        assert not found


@pytest.mark.parametrize("method", METHODS)
def test_several_plain_adapters_go_together(plan, method):
    assert not refusals(plan("four", "rslora", "five", method=method))
    assert not refusals(plan("four", "five", method=method, weights=(1.5, -0.5)))


@pytest.mark.parametrize("name", ALONE_ONLY)
def test_what_no_method_is_made_for_goes_alone(plan, name):
    assert not refusals(plan(name))
    for several in (plan("four", name, method="cat"), plan(name, weights=(0.5,))):
        assert combines(several)
        (found,) = refusals(several)
        assert found.startswith(f"{name} has ") and "merge it alone" in found


@pytest.mark.parametrize("other", ["eight", "patterned"])
def test_unlike_ranks_need_a_method_for_them(plan, other):
    for method in ("linear", "ties", "dare_linear", "dare_ties", "magnitude_prune"):
        (found,) = refusals(plan("four", other, method=method))
        layers = 12 if other == "eight" else 4
        assert f"{method} needs equal ranks, and in {layers} modules" in found and "cat" in found
        assert ("four 4, eight 8" if other == "eight" else "four 4, patterned 2") in found
    for method in ("cat", "svd"):
        assert not refusals(plan("four", other, method=method))


WRONG = [
    ((), {}, "Nobody is named"),
    (("four", "four"), {}, "is named 2 times"),
    (("four", "elsewhere"), {}, "different bases (demo, /gone/base)"),
    (("elsewhere",), {}, "Its base /gone/base is not there"),
    (("four-bit",), {}, "is quantised"),
    (("tokens",), {}, "tokens was trained with 2,050 tokens, its base has 2,048"),
    (("kind",), {}, "of the kind IA3, not LoRA"),
    (("cut",), {}, "is not a readable safetensors file"),
    (("empty",), {}, "holds no adapter_model.safetensors"),
    (("garbage",), {}, "adapter_config.json cannot be read"),
    (("four", "five"), {"weights": (1.0,)}, "1 for 2 adapters"),
    (("four", "five"), {"weights": (1.0, float("nan"))}, "no finite number"),
    (("four", "five"), {"weights": (0.0, 0.0)}, "Every weight is 0"),
    (("four", "five"), {"method": "lineer"}, "did you mean linear?"),
    (("four", "five"), {"method": "average"}, "there are linear, cat, svd"),
    (("four",), {"dtype": "bf16"}, "did you mean bfloat16?"),
    (("four", "five"), {"method": "ties", "density": 0.0}, "density is 0"),
    (("four", "five"), {"method": "dare_ties", "density": 1.1}, "density is 1.1"),
    (("four", "five"), {"method": "ties", "density": float("nan")}, "density is nan"),
    (("four", "five"), {"method": "svd", "rank": -1}, "rank is -1"),
    (("four", "five"), {"method": "svd", "rank": 9}, "svd with rank 9 keeps all of 8"),
    (("four",), {"rows": 0}, "at least 1"),
]


@pytest.mark.parametrize(("names", "settings", "said"), WRONG, ids=[said for *_, said in WRONG])
def test_what_is_wrong_is_said_with_a_remedy(plan, names, settings, said):
    (found,) = refusals(plan(*names, **settings))
    assert said in found and found.endswith((".", "?"))


@pytest.mark.parametrize("method", ["full", "base"])
def test_a_model_is_no_adapter(plan, method):
    model = Member("m", "m", method, "/nowhere", "demo")
    (found,) = refusals(plan(model))
    assert found.startswith("m is a ")


def test_everything_is_said_at_once(plan):
    several = plan("dora", "eight", "cut", method="ties", density=2.0, dtype="int8", weights=(1,))
    said = " ".join(refusals(several))
    for text in ("dora has DoRA", "needs equal ranks", "cut: ", "density", "int8", "1 for 3"):
        assert text in said


def test_adapters_of_one_name_are_told_apart(plan, home):
    one, two = (
        members.of_reference(str(write_adapter(home / at / "x", use_dora=True))) for at in "ab"
    )
    said = " ".join(refusals(plan(one, two, method="cat")))
    assert "a/x has DoRA" in said and "b/x has DoRA" in said


def test_a_result_stays_out_of_what_is_merged(home, tmp_path):
    run = Run(tmp_path / "run")
    base = tmp_path / "run/model"
    base.mkdir(parents=True)
    path = write_adapter(run.adapter, base=base)
    one = replace(members.of_reference(str(path)), run=str(run.path))
    for free in (run.merged, tmp_path / "new", run.path / "other"):
        assert not about_place(free, [one])
    for place, said in (
        (path / "new", "lies in"),
        (base, "is merged, and lies in"),
        (base / "deep/new", "lies in"),
        (tmp_path, "is merged, and lies in"),
        (Path("/proc"), "a disk is mounted"),
    ):
        assert all(said in text and text.endswith(".") for text in about_place(place, [one]))
        assert about_place(place, [one])
    inner = replace(one, base=str(run.path))  # its base is the folder of the run
    assert not about_place(run.merged, [inner]) and about_place(run.path / "new", [inner])


def test_a_base_on_the_hub_is_fetched_by_the_engine(plan, home):
    member = replace(members.of_reference(str(home / "four")), base="owner/model")
    assert not refusals(plan(member))
