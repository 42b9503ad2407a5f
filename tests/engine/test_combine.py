"""Several adapters made into one, against float64 from the definitions, and against PEFT."""

import json
import math
from array import array
from pathlib import Path

import numpy as np
import pytest

from lora_tui.core import members
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.merging import METHODS, MergePlan
from tests.adapters import DEMO_MODEL, write_adapter

WEIGHTS = (0.7, 0.45, -0.3)
ANY_RANK = ("cat", "svd")
PREFIX = "base_model.model."


def only_some_layers(tensors):
    """What an adapter looks like that leaves layers as they are."""
    for name in [name for name in tensors if "layers.1" in name or "v_proj" in name]:
        del tensors[name]


def cut(tensors):
    """v_proj has half the rank."""
    for name, (shape, values) in tensors.items():
        if "v_proj" in name:
            rows = np.array(values).reshape(shape)
            rows = rows[:2] if "lora_A" in name else rows[:, :2]
            tensors[name] = (rows.shape, array("f", rows.flatten().tolist()))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    write_adapter(folder / "plain", r=4)
    write_adapter(folder / "rslora", r=4, size=0.3, use_rslora=True, change=shifted)
    write_adapter(
        folder / "some", r=4, size=0.2, alpha_pattern={"q_proj": 64}, change=only_some_layers
    )
    write_adapter(folder / "wide", r=6, size=0.3, use_rslora=True, change=shifted)
    write_adapter(folder / "ranks", r=4, rank_pattern={"v_proj": 2}, change=cut)
    return folder


def shifted(tensors):
    """Other numbers than those of the adapter of the same rank."""
    for name, (shape, values) in tensors.items():
        tensors[name] = (shape, values[1:] + values[:1])


EQUAL = ("plain", "rslora", "some")
UNLIKE = ("plain", "wide", "ranks")


def files_of(home, names):
    from lora_tui.engine.adapters import read

    return [read(home / name) for name in names]


def plan_of(home, names, method, **settings):
    found = tuple(members.of_reference(str(home / name)) for name in names)
    return MergePlan(members=found, weights=WEIGHTS, method=method, seed=3, **settings)


def updates(tensors, scale=lambda module: 1.0):
    """The update of each layer, in float64."""
    return {
        module: scale(module) * factor(tensors, module, "B") @ factor(tensors, module, "A")
        for module in sorted({name.partition(".lora_")[0] for name in tensors})
    }


def factor(tensors, module, half):
    return tensors[f"{module}.lora_{half}.weight"].double().numpy()


def scale_of(config, module):
    """As the configurations above mean it."""
    kind = module.rpartition(".")[2]
    rank = (config.rank_pattern or {}).get(kind, config.r)
    alpha = (config.alpha_pattern or {}).get(kind, config.lora_alpha)
    return alpha / math.sqrt(rank) if config.use_rslora else alpha / rank


def expected(home, names, method, density=0.5, rank=0):
    """The combined update of each layer, from the methods' definitions."""
    import torch

    several = files_of(home, names)
    modules = sorted({name.partition(".lora_")[0] for files in several for name in files.tensors})
    torch.manual_seed(3)
    return {module: one_layer(several, module, method, density, rank) for module in modules}


def one_layer(several, module, method, density, rank):
    own = [
        (weight * scale_of(files.config, module), files.tensors)
        for weight, files in zip(WEIGHTS, several, strict=True)
        if f"{module}.lora_A.weight" in files.tensors
    ]
    whole = sum(at * factor(one, module, "B") @ factor(one, module, "A") for at, one in own)
    if method == "cat":
        return whole
    if method == "svd":
        u, s, v = np.linalg.svd(whole)
        most = rank or max(files.config.r for files in several)
        return (u[:, :most] * s[:most]) @ v[:most]
    root = [math.sqrt(abs(at)) for at, _ in own]
    signed = [math.copysign(value, at) for value, (at, _) in zip(root, own, strict=True)]
    a = arithmetic(method, [factor(one, module, "A") for _, one in own], signed, density)
    b = arithmetic(method, [factor(one, module, "B") for _, one in own], root, density)
    return b @ a


def arithmetic(method, tensors, weights, density):
    import torch

    if method in {"ties", "magnitude_prune"}:
        kept = [largest(one, density) for one in tensors]
    elif method.startswith("dare"):
        draws = [torch.bernoulli(torch.full(one.shape, density)).numpy() for one in tensors]
        kept = [one * draw / density for one, draw in zip(tensors, draws, strict=True)]
    else:
        kept = tensors
    weighted = [weight * one for weight, one in zip(weights, kept, strict=True)]
    if not method.endswith("ties"):
        return sum(weighted)
    elected = np.where(sum(kept) >= 0, 1, -1)
    agrees = [np.sign(one) == elected for one in kept]
    total = sum(one * vote for one, vote in zip(weighted, agrees, strict=True))
    return total / np.maximum(sum(vote.astype(int) for vote in agrees), 1)


def largest(tensor, density):
    order = np.argsort(-np.abs(tensor), axis=None, kind="stable")
    mask = np.zeros(tensor.size)
    mask[order[: int(density * tensor.size)]] = 1
    return tensor * mask.reshape(tensor.shape)


def assert_same(found, wanted):
    assert found.keys() == wanted.keys()
    for module, update in wanted.items():
        apart = np.abs(found[module] - update).max()
        assert apart <= 2e-6 * np.abs(update).max(), (module, apart)


@pytest.mark.parametrize("density", [0.5, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_as_it_is_defined(home, method, density):
    """rsLoRA, an alpha_pattern, a negative weight, and layers that only some adapters change."""
    from lora_tui.engine import combine

    plan = plan_of(home, EQUAL, method, density=density)
    made = combine.combine(plan, files_of(home, EQUAL))
    assert_same(updates(made), expected(home, EQUAL, method, density))
    assert len({tensor.shape[0] for name, tensor in made.items() if "lora_A" in name}) == 1


@pytest.mark.parametrize("rank", [0, 2, 11])
@pytest.mark.parametrize("method", ANY_RANK)
def test_ranks_may_differ_by_adapter_and_by_layer(home, method, rank):
    from lora_tui.engine import combine

    plan = plan_of(home, UNLIKE, method, rank=rank)
    made = combine.combine(plan, files_of(home, UNLIKE))
    assert_same(updates(made), expected(home, UNLIKE, method, rank=rank))
    ranks = {tensor.shape[0] for name, tensor in made.items() if "lora_A" in name}
    assert ranks == {14 if method == "cat" else rank or 6}


def test_unlike_ranks_are_refused_where_the_method_adds_factors(home):
    from lora_tui.engine import combine

    with pytest.raises(LoraTuiError, match="needs equal ranks"):
        combine.combine(plan_of(home, UNLIKE, "ties"), files_of(home, UNLIKE))


@pytest.mark.parametrize("method", ["cat", "dare_ties", "svd"])
def test_the_result_is_a_plain_adapter_that_peft_loads(home, tmp_path, method):
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from lora_tui.engine import adapters, combine

    names = EQUAL if method == "dare_ties" else UNLIKE
    plan = plan_of(home, names, method)
    combine.write(plan, files_of(home, names), tmp_path / "it")
    config = json.loads((tmp_path / "it/adapter_config.json").read_text("utf-8"))
    assert config["lora_alpha"] == config["r"] and not config["use_rslora"]
    assert not config["rank_pattern"] and not config["alpha_pattern"]
    assert Path(config["base_model_name_or_path"]) == DEMO_MODEL
    files = adapters.read(tmp_path / "it")  # every check of an adapter's files
    assert files.is_plain and not files.warnings
    base = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, tmp_path / "it")
    wanted = expected(home, names, method)
    for module, update in wanted.items():
        layer = model.get_submodule(module)
        found = layer.get_delta_weight("default").double().numpy()
        assert np.abs(found - update).max() <= 2e-6 * np.abs(update).max()


def test_layers_that_a_rule_picks_are_named_one_by_one(home, tmp_path):
    from lora_tui.engine import combine

    write_adapter(tmp_path / "picked", layers_to_transform=[0], change=first_layer)
    names = ("plain", str(tmp_path / "picked"), "some")
    combine.write(plan_of(home, names, "cat"), files_of(home, names), tmp_path / "it")
    config = json.loads((tmp_path / "it/adapter_config.json").read_text("utf-8"))
    assert len(config["target_modules"]) == 12
    assert "model.layers.3.mlp.down_proj" in config["target_modules"]


def first_layer(tensors):
    for name in [name for name in tensors if "layers.0" not in name]:
        del tensors[name]


@pytest.mark.parametrize("method", ["linear", "cat", "svd", "ties", "magnitude_prune"])
def test_where_peft_is_right_it_is_as_peft_has_it(home, method):
    """Adapters of one rank, scaled by alpha / r, in every layer; with a negative weight."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from lora_tui.engine import combine

    names = ("plain", "again")
    write_adapter(home / "again", r=4, size=0.3, lora_alpha=3, change=shifted)
    plan = MergePlan(
        members=tuple(members.of_reference(str(home / name)) for name in names),
        weights=(0.7, -0.4),
        method=method,
    )
    found = updates(combine.combine(plan, files_of(home, names)))
    base = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, home / "plain", adapter_name="plain")
    model.load_adapter(home / "again", "again")
    model.add_weighted_adapter(
        list(names), [0.7, -0.4], "both", combination_type=method, density=0.5
    )
    for module, update in found.items():
        wanted = model.get_submodule(module).get_delta_weight("both").double().numpy()
        assert np.abs(wanted - update).max() <= 1e-5 * np.abs(update).max(), module


def test_chance_begins_where_the_seed_says_and_leaves_torchs_own_alone(home):
    import torch

    from lora_tui.engine import combine

    files = files_of(home, EQUAL)
    plan = plan_of(home, EQUAL, "dare_linear")
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, two = (updates(combine.combine(plan, files)) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(np.array_equal(one[module], two[module]) for module in one)
    other = MergePlan(members=plan.members, weights=WEIGHTS, method="dare_linear", seed=4)
    other_made = updates(combine.combine(other, files))
    assert not all(np.array_equal(one[module], other_made[module]) for module in one)
