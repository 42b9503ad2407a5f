"""What an adapter's files are before PEFT takes them."""

import pytest

from lora_tui.core.adapter_names import target_of
from lora_tui.core.errors import LoraTuiError
from tests.adapters import write_adapter


def of_experts(folder):
    """An adapter of a mixture's experts as PEFT saves it: their factors are stacked."""
    from peft import LoraConfig, get_peft_model
    from transformers import MixtralConfig, MixtralForCausalLM

    small = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 64}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 3}
    config = LoraConfig(
        r=4,
        target_modules=["q_proj"],
        target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"],
    )
    wrapped = get_peft_model(MixtralForCausalLM(MixtralConfig(**small, **heads)), config)
    wrapped.save_pretrained(folder)
    return folder


def test_the_rank_of_experts_counts_once_for_each(tmp_path):
    from lora_tui.engine import adapters

    files = adapters.read(of_experts(tmp_path))
    ranks = {at.shape[0] for name, at in files.tensors.items() if "lora_A" in name}
    assert ranks == {4, 12} and "target_parameters" in files.further


def test_any_other_layer_has_the_rank_that_is_said(tmp_path):
    from lora_tui.engine import adapters

    write_adapter(tmp_path, r=8, target_parameters=["mlp.experts.down_proj"])
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text("utf-8").replace('"r": 8', '"r": 4'), "utf-8")
    with pytest.raises(LoraTuiError, match=r"rank 8, but its adapter_config\.json says r = 4"):
        adapters.read(tmp_path)


@pytest.mark.parametrize("start", [True, None, "gaussian", "pissa"])
def test_only_what_takes_a_part_out_of_the_base_needs_one_of_its_own(tmp_path, start):
    from lora_tui.engine import adapters

    files = adapters.read(write_adapter(tmp_path, init_lora_weights=start))
    assert files.is_plain == (start != "pissa")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("model.layers.0.q_proj.lora_A.weight", "model.layers.0.q_proj.weight"),
        ("model.layers.0.q_proj.lora_magnitude_vector", "model.layers.0.q_proj.weight"),
        ("model.embed_tokens.lora_embedding_B", "model.embed_tokens.weight"),
        ("embed_tokens.token_adapter.trainable_tokens_delta", "embed_tokens.weight"),
        ("lm_head.weight", "lm_head.weight"),
        ("lm_head.base_layer.weight", "lm_head.weight"),
        ("model.layers.0.q_proj.bias", "model.layers.0.q_proj.bias"),
    ],
)
def test_an_adapters_tensor_names_the_one_that_it_changes(name, wanted):
    assert target_of(f"base_model.model.{name}") == wanted
