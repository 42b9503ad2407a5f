"""What is computed again on the way back instead of being kept: the same to the bit, and less."""

import copy

import pytest

from tests.engine.test_padding_free import ROWS, SHAPE, made, rows_of


def a_pass(model, monkeypatch=None):
    """The gradients of one pass in training, dropout and all, and the shapes autograd kept."""
    import torch
    from torch.autograd.graph import saved_tensors_hooks

    from lora_tui.engine import fused_lora, fused_mlp, fused_norm, padding_free

    fused_lora.install(model)
    fused_norm.install(model)
    fused_mlp.install(model)
    if monkeypatch:
        monkeypatch.setattr(fused_lora, "recipe_of", lambda _: None)
    assert padding_free.prepare(model)
    batch = padding_free.collate(rows_of(ROWS))
    del batch["labels"]
    kept = {}

    def keep(one):
        if not isinstance(one, torch.nn.Parameter):
            kept[one.untyped_storage().data_ptr()] = one
        return one

    torch.manual_seed(0)
    with saved_tensors_hooks(keep, lambda one: one):
        hidden = model.get_base_model().model(**batch).last_hidden_state
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    shapes = [tuple(one.shape) for one in kept.values()]
    return torch.autograd.grad(hidden.square().sum(), trained), shapes


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_what_is_learnt_is_the_same_to_the_bit(dropout, monkeypatch):
    import torch

    model = made("llama", lora_dropout=dropout)
    ours, fewer = a_pass(copy.deepcopy(model))
    theirs, more = a_pass(model, monkeypatch)
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    layers, tokens = SHAPE["num_hidden_layers"], 96

    def count(shapes, width):
        return sum(shape[-2:] == (tokens, width) for shape in shapes)

    gates = SHAPE["intermediate_size"]
    dropped = layers if dropout else 0
    assert count(fewer, gates) == 2 * layers + dropped  # gate and up, and which were dropped
    assert count(more, gates) == 3 * layers + dropped
    # What the first norm takes in nobody else keeps: frozen embeddings have no gradient.
    assert count(more, SHAPE["hidden_size"]) - count(fewer, SHAPE["hidden_size"]) == 2 * layers - 1


def test_what_was_cast_on_its_way_in_is_kept_as_it_was_cast():
    """Its recipe makes what it was before, in another format than the product's."""
    import torch

    from lora_tui.engine import again, fused_lora

    model = made("llama").to(torch.bfloat16)
    fused_lora.install(model)
    layer = next(one for one in model.modules() if isinstance(one, fused_lora.FusedLinear))
    x = torch.randn(5, layer.in_features)
    again.can_be(x, torch.clone, x.clone())
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    rows = found.grad_fn.saved_tensors[-1]
    assert torch.equal(rows, x.bfloat16())


def test_it_is_computed_once_for_all_and_let_go():
    import torch

    from lora_tui.engine import again

    asked = []

    def doubled(one):
        asked.append(one)
        return one * 2

    x, found = torch.ones(3), torch.ones(3)
    again.can_be(found, doubled, x)
    recipe = again.recipe_of(found)
    assert recipe is not None
    takers = [recipe.taken() for _ in range(3)]
    assert all(taker.ingredients == () for taker in takers)  # autograd keeps them, or recomputes
    answers = [taker(x) for taker in takers]
    assert all(answer is answers[0] for answer in answers)
    assert len(asked) == 1
    assert recipe.shared.found is None
    assert torch.equal(takers[0](x), answers[0])  # a graph that was kept is gone through again
    assert recipe.shared.found is None


def test_what_was_written_into_is_kept():
    import torch

    from lora_tui.engine import again

    for changed in (0, 1):
        pair = torch.ones(3), torch.ones(3)
        again.can_be(pair[0], torch.clone, pair[1])
        assert again.recipe_of(pair[0]) is not None
        pair[changed].add_(1)
        assert again.recipe_of(pair[0]) is None
    assert again.recipe_of(torch.ones(3)) is None


def test_without_a_way_back_nothing_is_remembered():
    import torch

    from lora_tui.engine import again

    for without in (torch.no_grad, torch.inference_mode):
        with without():
            found = torch.ones(3)
            again.can_be(found, torch.clone, torch.ones(3))
            assert again.recipe_of(found) is None
