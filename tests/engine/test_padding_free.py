"""Losses and gradients without padding and by fused operations, against the libraries' own."""

import copy
from typing import Any

import pytest

ROWS = [list(range(5, 45)), list(range(60, 67)), list(range(100, 133))]
"""Token ids; the second half of each is trained."""

SHAPE: dict[str, Any] = {
    "vocab_size": 160,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "attn_implementation": "sdpa",
}
MORE: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True, "tie_word_embeddings": True},
    "mistral": {"sliding_window": 12},
    "qwen2": {},
    "qwen3": {},
    "gemma": {},  # its norms multiply by 1 + weight
}
METHODS: dict[str, dict[str, Any] | None] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "biases": {"bias": "all"},
    "full": None,
}


def made(kind, method="lora", seed=0, **options):
    """A small random model, with something in its adapter."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(kind, **SHAPE, **MORE.get(kind, {}))
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if (settings := METHODS[method]) is not None:
        model = get_peft_model(
            model,
            LoraConfig(
                task_type="CAUSAL_LM",
                r=4,
                lora_alpha=6,
                target_modules=["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"],
                init_lora_weights=False,
                **settings,
                **options,
            ),
        )
    return model.train()


def rows_of(lists):
    """Rows as a dataset hands them over."""
    from lora_tui.engine.masking import IGNORED

    return [
        {"input_ids": ids, "labels": [IGNORED] * (len(ids) // 2) + ids[len(ids) // 2 :]}
        for ids in lists
    ]


def precision(model):
    """Autocast as the trainer has it, around the forward pass alone, where `mixed` asks for it."""
    import torch

    return torch.autocast("cpu", torch.bfloat16, enabled=getattr(model, "mixed", False))


def plainly(model):
    """The loss as transformers computes it from all logits of a padded batch, and its gradients."""
    from lora_tui.engine.collate import Collator

    batch = Collator(0)(rows_of(ROWS))
    with precision(model):
        loss = model(**batch, num_items_in_batch=(batch["labels"] != -100).sum()).loss
    return loss, gradients(model, loss)


def fused(model):
    """The loss as the trainer has it computed, and its gradients."""
    from trl.trainer.utils import add_fused_lm_head

    from lora_tui.engine import fused_head, fused_lora, fused_mlp, fused_norm, padding_free

    fused_head.install()
    fused_lora.install(model)
    fused_norm.install(model)
    fused_mlp.install(model)
    assert padding_free.prepare(model)
    add_fused_lm_head(getattr(model, "get_base_model", lambda: model)())
    batch = padding_free.collate(rows_of(ROWS))
    assert padding_free.tokens(batch) == sum(map(len, ROWS))
    assert batch["input_ids"].shape == (1, 96)
    with precision(model):
        found = model(**batch, fused_lm_head=True)
    count = (batch["labels"] != -100).sum()
    assert found.label_mask.sum() == count == sum(len(ids) - len(ids) // 2 for ids in ROWS)
    loss = -found.log_probs.sum() / count
    return loss, gradients(model, loss)


def gradients(model, loss):
    """The gradient of everything that is trained, by name."""
    import torch

    named = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    found = torch.autograd.grad(loss, list(named.values()))
    return dict(zip(named, found, strict=True))


def assert_equal(ours, theirs):
    """A loss, and the gradient of every weight, within 1e-5 of its size."""
    assert ours[0].item() == pytest.approx(theirs[0].item(), rel=1e-5)
    assert ours[1].keys() == theirs[1].keys()
    for name, expected in theirs[1].items():
        apart = (ours[1][name] - expected).norm() / expected.norm()
        assert apart <= 1e-5, f"{name}: {apart:.1e} apart"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", MORE)
def test_losses_and_gradients_equal_the_plain_path(kind, method):
    model = made(kind, method)
    assert_equal(fused(copy.deepcopy(model)), plainly(model))


@pytest.mark.parametrize(
    ("method", "frozen"), [("lora", "bfloat16"), ("lora", "float32"), ("full", None)]
)
def test_in_mixed_precision_they_are_as_near_as_its_rounding(method, frozen):
    import torch

    def apart(found, exact):
        one, other = (torch.cat([part.flatten() for part in of.values()]) for of in (found, exact))
        return ((one - other).norm() / other.norm()).item()

    ours = theirs = 0.0
    for seed in range(4):  # what rounding does to one model is chance
        model = made("llama", method, seed=seed)
        for weight in model.parameters():
            if not weight.requires_grad:
                weight.data = weight.data.bfloat16().to(getattr(torch, frozen))
        _, exact = plainly(copy.deepcopy(model).float())
        model.mixed = True
        ours += apart(fused(copy.deepcopy(model))[1], exact)
        theirs += apart(plainly(copy.deepcopy(model))[1], exact)
    assert ours <= 1.25 * theirs < 0.2


def test_with_gradient_checkpointing_too():
    model = made("llama")
    model.enable_input_require_grads()
    other = copy.deepcopy(model)
    other.gradient_checkpointing_enable({"use_reentrant": False})
    assert_equal(fused(other), plainly(model))


def test_rows_too_long_for_the_written_backward_pass_are_left_to_pytorch(monkeypatch):
    from lora_tui.engine import row_attention

    monkeypatch.setattr(row_attention, "_LONGEST", 3)
    monkeypatch.setattr(row_attention.RowAttention, "apply", None)
    model = made("llama")
    assert_equal(fused(copy.deepcopy(model)), plainly(model))


def test_scores_are_computed_in_parts_where_they_are_many(monkeypatch):
    from lora_tui.engine import row_attention

    monkeypatch.setattr(row_attention, "_MOST_SCORES", 1)
    model = made("llama")
    assert_equal(fused(copy.deepcopy(model)), plainly(model))


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_no_token_sees_another_row(kind):
    """Exactly: neither what it answers nor what it is learnt from changes by a bit."""
    import torch

    from lora_tui.engine import padding_free, row_attention

    row_attention.install()
    model = made(kind)
    embed = model.get_input_embeddings()

    def answers(lists, row):
        batch = padding_free.collate(rows_of(lists))
        del batch["labels"]
        batch["inputs_embeds"] = embed(batch.pop("input_ids")).detach().requires_grad_()
        logits = model(**batch).logits[0]
        start = sum(map(len, lists[:row]))
        part = slice(start, start + len(lists[row]))
        (slopes,) = torch.autograd.grad(logits[part].sum(), batch["inputs_embeds"])
        return logits[part], slopes[0, part], slopes[0].abs().sum(-1).nonzero()[:, 0].tolist()

    for row, ids in enumerate(ROWS):
        start = sum(map(len, ROWS[:row]))
        others = [ids if at == row else [1] * len(other) for at, other in enumerate(ROWS)]
        logits, slopes, reached = answers(ROWS, row)
        same, same_slopes, _ = answers(others, row)
        assert torch.equal(logits, same)
        assert torch.equal(slopes, same_slopes)
        assert reached == list(range(start, start + len(ids)))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("lfm2", {"layer_types": ["conv", "full_attention"]}),  # its convolution reaches back
        ("falcon_h1", {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8}),  # it recurs
        ("llama", {"attn_implementation": "eager"}),  # its mask ends at no row
        # Their windows stand in the mask alone.
        ("qwen2_moe", {"sliding_window": 12, "use_sliding_window": True, "max_window_layers": 0}),
        ("llama4_text", {"attention_chunk_size": 12}),
        ("qwen2_moe", {"output_router_logits": True}),  # whose loss would count the filling, too
    ],
)
def test_a_model_whose_rows_would_touch_is_found_out(kind, changes, dtype):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from lora_tui.engine import padding_free

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SHAPE | changes)
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    assert not padding_free.prepare(model.train())
    assert model.training


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", [*MORE, "qwen2_moe", "gemma2", "phi3"])
def test_a_model_that_keeps_rows_apart_is_taken(kind, dtype):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from lora_tui.engine import padding_free

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SHAPE | MORE.get(kind, {}), pad_token_id=0)
    model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))
    assert padding_free.prepare(model)
