"""Single operations for several: what they compute, and what they may stand in for."""

import pytest


def test_the_estimate_counts_with_the_engines_own_sizes():
    from lora_tui.core import estimate
    from lora_tui.engine import fused_head, row_attention

    assert estimate._GRID == row_attention.GRID
    assert estimate._LOGITS["cpu"][0] == fused_head._MOST_LOGITS


def test_a_layer_that_gets_no_token_gives_none():
    import torch

    from lora_tui.engine import fused_lora

    x = torch.ones(0, 12, requires_grad=True)
    weight, down, up = (torch.ones(shape) for shape in ((5, 12), (2, 12), (5, 2)))
    found = fused_lora.LoraProduct.apply(x, weight, None, down, up, 1.5, 0.0, None)
    assert found.shape == (0, 5)
    found.sum().backward()
    assert x.grad.shape == (0, 12)


def test_what_is_dropped_is_dropped_both_ways(monkeypatch):
    import torch

    from lora_tui.engine import fused_lora

    torch.manual_seed(0)
    x, weight, down, up = (
        torch.randn(shape, requires_grad=shape != (5, 12))
        for shape in ((3, 4, 12), (5, 12), (2, 12), (5, 2))
    )
    dropped, kept = fused_lora.drawn(x.view(-1, 12), 0.25)
    assert dropped is not None
    assert kept == 0.75
    monkeypatch.setattr(fused_lora, "drawn", lambda *_: (dropped, kept))
    ours = fused_lora.LoraProduct.apply(x, weight, None, down, up, 1.5, 0.25, None)
    inner = x.masked_fill(dropped.view(x.shape), 0) / kept
    theirs = x @ weight.T + 1.5 * inner @ down.T @ up.T
    assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    outer = torch.randn_like(ours)
    for one, other in zip(
        torch.autograd.grad(ours, (x, down, up), outer),
        torch.autograd.grad(theirs, (x, down, up), outer),
        strict=True,
    ):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_as_much_is_dropped_as_is_asked(rate):
    import torch

    from lora_tui.engine import fused_lora

    torch.manual_seed(0)
    dropped, kept = fused_lora.drawn(torch.empty(1000, 1001), rate)
    assert dropped is not None
    assert kept == pytest.approx(1 - rate, abs=2**-17)
    spread = (rate * (1 - rate) / dropped.numel()) ** 0.5
    assert dropped.float().mean().item() == pytest.approx(rate, abs=5 * spread)
    # None of the places in a drawn number is special.
    for place in range(4):
        share = dropped.view(-1)[: 4 * 250_000].view(-1, 4)[:, place].float().mean().item()
        assert share == pytest.approx(rate, abs=10 * spread)
    assert fused_lora.drawn(torch.empty(3, 3), 0.0) == (None, 1.0)


def test_only_what_is_that_norm_is_replaced_and_only_while_it_is_frozen():
    """As it is written: the second rounds elsewhere, the third has a weight of its own kind."""
    import torch
    from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
    from transformers.models.llama.modeling_llama import LlamaRMSNorm
    from transformers.models.olmo2.modeling_olmo2 import Olmo2RMSNorm

    from lora_tui.engine import fused_norm

    norms = torch.nn.ModuleList(kind(16) for kind in (LlamaRMSNorm, Olmo2RMSNorm, GemmaRMSNorm))
    fused_norm.install(norms)
    assert ["forward" in vars(norm) for norm in norms] == [True, False, False]
    norms[0].requires_grad_(requires_grad=False)
    x = torch.randn(3, 16, requires_grad=True)
    assert norms[0](x).grad_fn.name() == "RmsNormBackward"
    norms[0].requires_grad_()
    norms[0](x).sum().backward()
    assert norms[0].weight.grad.abs().sum() > 0


def test_only_an_mlp_of_that_formula_is_replaced():
    """Neither another activation's, nor one that drops out, nor one that clamps what is large."""
    import torch
    from transformers import DeepseekV4Config, LlamaConfig, SeedOssConfig
    from transformers.models.deepseek_v4.modeling_deepseek_v4 import DeepseekV4MLP
    from transformers.models.llama.modeling_llama import LlamaMLP
    from transformers.models.qwen2.modeling_qwen2 import Qwen2MLP
    from transformers.models.seed_oss.modeling_seed_oss import SeedOssMLP

    from lora_tui.engine import fused_mlp

    class LouderMLP(LlamaMLP):
        def forward(self, x):
            return 2 * super().forward(x)

    sizes = {"hidden_size": 8, "intermediate_size": 12, "num_attention_heads": 2}
    plain = LlamaConfig(**sizes)
    model = torch.nn.ModuleList(
        [
            LlamaMLP(plain),
            Qwen2MLP(plain),
            LlamaMLP(LlamaConfig(**sizes, hidden_act="gelu")),
            LouderMLP(plain),
            SeedOssMLP(SeedOssConfig(**sizes)),
            DeepseekV4MLP(DeepseekV4Config(**sizes)),
        ]
    ).train()
    fused_mlp.install(model)
    assert ["forward" in vars(one) for one in model] == [True, True, False, False, False, False]
    assert model.training
