"""What every Unsloth notebook waits for before its first step: the import, the model, the adapter.

python -m benchmarks.stock.loading MODEL OUT
"""

import json
import sys
import time
from pathlib import Path

from unsloth import FastLanguageModel

from benchmarks.stock.watching import FIGURES

model, _ = FastLanguageModel.from_pretrained(sys.argv[1], max_seq_length=1024, load_in_4bit=False)
FastLanguageModel.get_peft_model(
    model,
    r=16,
    target_modules=[
        *("q_proj", "k_proj", "v_proj", "o_proj"),
        *("gate_proj", "up_proj", "down_proj"),
    ],
    lora_alpha=16,
    lora_dropout=0,
    bias="none",
    use_gradient_checkpointing=False,
    random_state=3407,
)
(Path(sys.argv[2]) / FIGURES).write_text(json.dumps({"ready_at": time.time()}), encoding="utf-8")
