"""Unsloth's notebook for fine-tuning on conversations, as a script.

python -m benchmarks.stock.unsloth_script MODEL ROWS HELD_OUT OUT lora|full BATCH STEPS
"""

import sys
from pathlib import Path
from typing import Any

from unsloth import FastLanguageModel
from unsloth.chat_templates import train_on_responses_only

# isort: split
from datasets import load_dataset
from trl import SFTConfig, SFTTrainer

from benchmarks.stock.watching import trained

path, rows, held_out, out, method, batch, steps = sys.argv[1:]
full = method == "full"
model, tokenizer = FastLanguageModel.from_pretrained(
    path, max_seq_length=1024, load_in_4bit=False, full_finetuning=full
)
if not full:
    model = FastLanguageModel.get_peft_model(
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


def texts_of(file: str) -> Any:
    """The rows of a file as the chat template writes them."""
    dataset = load_dataset("json", data_files=file, split="train")
    return dataset.map(
        lambda row: {
            "text": tokenizer.apply_chat_template(row["prompt"] + row["completion"], tokenize=False)
        },
        remove_columns=dataset.column_names,
    )


trainer = SFTTrainer(
    model=model,
    tokenizer=tokenizer,
    train_dataset=texts_of(rows),
    eval_dataset=texts_of(held_out),
    args=SFTConfig(
        output_dir=out,
        dataset_text_field="text",
        per_device_train_batch_size=int(batch),
        gradient_accumulation_steps=8 // int(batch),
        learning_rate=5e-5 if full else 2e-4,
        lr_scheduler_type="linear",
        warmup_steps=5,
        max_steps=int(steps),
        optim="adamw_8bit",
        weight_decay=0.0,
        seed=3407,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
    ),
)
trainer = train_on_responses_only(
    trainer,
    instruction_part="<|im_start|>user\n",
    response_part="<|im_start|>assistant\n",
)
trained(trainer, Path(out))
