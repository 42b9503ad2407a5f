"""The limit: nothing but forward and backward, by PEFT's own layers and plain PyTorch.

    python -m benchmarks.stock.bare MODEL OUT DTYPE STEPS

No row is padded, the head is computed for the trained tokens alone, and there is no optimiser.
"""

import json
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import cross_entropy, linear
from transformers import AutoModelForCausalLM

from benchmarks.stock.watching import FIGURES

ROWS, LENGTH = 8, 224
TRAINED = LENGTH // 2  # of each row
WARM_UP = 2

path, out, dtype, steps = sys.argv[1:]
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(3407)
base = AutoModelForCausalLM.from_pretrained(path, dtype=dtype)
model = get_peft_model(
    base,
    LoraConfig(
        task_type="CAUSAL_LM",
        r=16,
        lora_alpha=16,
        lora_dropout=0,
        target_modules=[
            *("q_proj", "k_proj", "v_proj", "o_proj"),
            *("gate_proj", "up_proj", "down_proj"),
        ],
    ),
).to(device)
for weight in model.parameters():
    if weight.requires_grad:
        weight.data = weight.data.float()
model.train()
ids = torch.randint(base.config.vocab_size, (ROWS, LENGTH), device=device)
wanted = ids[:, -TRAINED:].flatten()
seconds = []
for _ in range(WARM_UP + int(steps)):
    begun = time.perf_counter()
    with torch.autocast(device, torch.bfloat16, enabled=dtype == "bfloat16"):
        hidden = base.model(ids).last_hidden_state[:, -TRAINED - 1 : -1].flatten(0, 1)
        loss = cross_entropy(linear(hidden, base.lm_head.weight).float(), wanted)
    loss.backward()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds.append(time.perf_counter() - begun)
    model.zero_grad()
figures = {
    "seconds": seconds[WARM_UP - 1 :],  # the first one of all runs counts for nothing
    "tokens": [ROWS * LENGTH] * (int(steps) + 1),
    "trained": [ROWS * TRAINED] * (int(steps) + 1),
}
(Path(out) / FIGURES).write_text(json.dumps(figures), encoding="utf-8")
