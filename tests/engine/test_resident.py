"""One resident base: swapping, mixing and taking off leave every member as it was."""

from array import array
from types import SimpleNamespace
from typing import Any

import pytest

from lora_tui.core import members, preset_files
from lora_tui.core.errors import LoraTuiError
from lora_tui.core.platforms import Platform
from tests.adapters import of_other_shape, write_adapter

GO = SimpleNamespace(requested=False)
NAMES = ("one", "two", "three")


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    for rank, name in enumerate(NAMES, 2):
        write_adapter(folder / name, r=rank, size=1.0)
    write_adapter(folder / "dora", r=4, use_dora=True)
    write_adapter(folder / "broken", r=4)
    (folder / "broken" / "adapter_model.safetensors").write_bytes(b"nothing")
    return folder


def alone():
    """The demo's base with nobody on it."""
    from lora_tui.engine.resident import Resident

    return Resident(preset_files.find("demo"), Platform("transformers", "cpu", bfloat16=False))


def few(**how):
    """How an answer of a few tokens is drawn."""
    from lora_tui.engine.generation import Settings

    return Settings(max_new_tokens=12, **how)


@pytest.fixture
def resident(home):
    """The demo's base with three adapters; every test gets one of its own."""
    found = alone()
    for name in NAMES:
        found.attach(member(home, name))
    return found


def member(home, name):
    return members.of_reference(str(home / name))


def ids_of(home):
    return [member(home, name).id for name in NAMES]


def asked(resident, text="What is the capital of France?"):
    return resident.tokenizer.apply_chat_template(
        [{"role": "user", "content": text}], add_generation_prompt=True, return_dict=False
    )


def say(resident, id_, **how):
    return resident.generate([asked(resident)], [id_], few(**how), stop=GO)[0]


def test_one_batch_says_what_one_after_another_say(resident, home):
    texts = ("What is the capital of France?", "Who are you?", "Is ice hot or cold, in a word?")
    prompts = [asked(resident, text) for text in texts]
    several = [(prompt, id_) for prompt in prompts for id_ in ("base", *ids_of(home))]
    alone = [resident.generate([prompt], [id_], few(), stop=GO)[0] for prompt, id_ in several]
    mixed = resident.generate(
        [prompt for prompt, _ in several], [id_ for _, id_ in several], few(), stop=GO
    )
    assert mixed == alone
    assert len({tuple(answer) for answer in alone}) > 6  # they are not all the base's


def test_swapping_leaves_everybody_as_they_were(resident, home):
    order = ["base", *ids_of(home)]
    before = {id_: say(resident, id_) for id_ in order}
    assert len({tuple(answer) for answer in before.values()}) == 4
    resident.attach(member(home, "dora"))
    with pytest.raises(LoraTuiError):
        resident.attach(member(home, "broken"))
    resident.detach(order[2])
    resident.attach(member(home, "two"))
    assert {id_: say(resident, id_) for id_ in reversed(order)} == before
    for id_ in order[1:]:
        resident.detach(id_)
    resident.detach(member(home, "dora").id)
    assert say(resident, "base") == before["base"]
    resident.attach(member(home, "one"))
    assert say(resident, order[1]) == before[order[1]]


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "patterns": {"alpha_pattern": {"v_proj": 64}, "rank_pattern": {"q_proj": 4}},
    "saved-head": {"modules_to_save": ["lm_head"]},
    "replicated": {"layer_replication": [[0, 2], [0, 2]]},
    "biased": {"bias": "all"},
    "fails-in-peft": {"target_modules": ["q_proj", "input_layernorm"]},
    "of-no-layer": {"target_modules": ["c_attn"]},
}


def with_base_tensor(tensors):
    """What an adapter carries whose maker saved a layer of the base with it."""
    shape, values = 256 * 768, "base_model.model.model.layers.0.mlp.down_proj.weight"
    tensors[values] = ((256, 768), array("f", [0.01]) * shape)


def with_head(tensors):
    tensors["base_model.model.lm_head.weight"] = ((2048, 256), array("f", [0.01]) * (2048 * 256))


@pytest.mark.parametrize("others", [False, True], ids=["alone", "beside-others"])
@pytest.mark.parametrize("kind", [*KINDS, "base-tensor", "of-another-shape"])
def test_no_adapter_changes_the_base(home, tmp_path, kind, others):
    """To the bit, while it is attached, after it failed, and after it was taken off."""
    import torch

    resident = alone()
    ids = torch.tensor([asked(resident)])

    def logits():
        resident.use("base")
        with torch.no_grad():
            return resident.model(ids).logits

    before = logits()
    if others:
        resident.attach(member(home, "one"))
    changes = {
        "base-tensor": with_base_tensor,
        "of-another-shape": of_other_shape,
        "saved-head": with_head,
    }
    write_adapter(
        tmp_path / "it", r=4, change=changes.get(kind, lambda _: None), **KINDS.get(kind, {})
    )
    it = members.of_reference(str(tmp_path / "it"))
    try:
        resident.attach(it)
    except LoraTuiError:
        assert kind in {"fails-in-peft", "of-no-layer", "of-another-shape"}
    else:
        say(resident, it.id)
    assert torch.equal(logits(), before)
    resident.detach(it.id)
    assert torch.equal(logits(), before)
    assert not [name for name, _ in resident.model.named_parameters() if "lora_" in name] or others


def test_what_no_batch_can_hold_is_refused(resident, home):
    dora = member(home, "dora")
    resident.attach(dora)
    assert resident.can_mix(ids_of(home)) and not resident.can_mix([dora.id, "base"])
    with pytest.raises(ValueError, match="one batch"):
        resident.generate([asked(resident)] * 2, ["base", dora.id], few(), stop=GO)


def test_chance_repeats_with_its_seed(resident, home):
    one = ids_of(home)[0]
    answers = [say(resident, one, temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    assert answers[0] == answers[1] != answers[2]


def test_tokens_come_one_by_one_and_stop_when_that_is_asked(resident):
    came = []
    stop = SimpleNamespace(requested=False)

    def take(tokens):
        came.append(tokens)
        stop.requested = len(came) == 3

    prompts = [asked(resident), asked(resident, "Who are you?")]
    made = resident.generate(prompts, ["base", "base"], few(), stop=stop, on_tokens=take)
    assert 3 <= len(came) <= 4  # the token at hand is finished
    assert made == [[step[row] for step in came] for row in range(2)]


@pytest.mark.parametrize("kind", ["plain", "rslora", "dora", "patterns"])
def test_the_update_norm_is_that_of_merged_weights(tmp_path, kind):
    from tests.engine import plain

    resident = alone()
    it = members.of_reference(str(write_adapter(tmp_path / "it", r=4, **KINDS[kind])))
    resident.attach(it)
    before = dict(plain.load().named_parameters())
    merged = plain.load(it.path, "lora").merge_and_unload()
    squares = {
        name: float((weight - before[name]).detach().double().square().sum())
        for name, weight in merged.named_parameters()
    }
    norms = resident.sizes(it.id)["update_norms"]
    assert len(norms["layers"]) == 4 and norms["other"] == 0
    for at, norm in enumerate(norms["layers"]):
        own = sum(square for name, square in squares.items() if f".layers.{at}." in name)
        assert norm == pytest.approx(own**0.5, rel=1e-4)
