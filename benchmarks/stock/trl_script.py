"""TRL's SFTTrainer with PEFT, as TRL's documentation writes it.

    python -m benchmarks.stock.trl_script MODEL ROWS HELD_OUT OUT lora|full BATCH DTYPE STEPS

TRL 1.15 computes its loss by a Triton kernel, which no CPU has, so that the script as it stands
ends with an error at its first step there; the one line marked below gives it transformers' loss.
"""

import sys
from pathlib import Path

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer
from trl import SFTConfig, SFTTrainer

from benchmarks.stock.watching import trained

model, rows, held_out, out, method, batch, dtype, steps = sys.argv[1:]
full = method == "full"
if not torch.cuda.is_available():
    SFTTrainer.compute_loss = Trainer.compute_loss  # the one line
trainer = SFTTrainer(
    model=AutoModelForCausalLM.from_pretrained(model, dtype="float32" if full else dtype),
    processing_class=AutoTokenizer.from_pretrained(model),
    train_dataset=load_dataset("json", data_files=rows, split="train"),
    eval_dataset=load_dataset("json", data_files=held_out, split="train"),
    peft_config=None
    if full
    else LoraConfig(
        task_type="CAUSAL_LM",
        r=16,
        lora_alpha=16,
        lora_dropout=0,
        target_modules=[
            *("q_proj", "k_proj", "v_proj", "o_proj"),
            *("gate_proj", "up_proj", "down_proj"),
        ],
    ),
    args=SFTConfig(
        output_dir=out,
        per_device_train_batch_size=int(batch),
        gradient_accumulation_steps=8 // int(batch),
        learning_rate=5e-5 if full else 2e-4,
        lr_scheduler_type="linear",
        warmup_steps=5,
        max_steps=int(steps),
        optim="adamw_torch_fused",
        seed=3407,
        bf16=dtype == "bfloat16",
        use_cpu=not torch.cuda.is_available(),
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    ),
)
trained(trainer, Path(out))
