"""Cases for every rule of advice: those that trigger it, and those just beside its threshold."""

import math

from lora_tui.core.advice import Known

from .advised import (
    BILLION,
    REPORT,
    falls,
    known,
    learns,
    ran,
    trains,
)

UP_AT_THE_END = {0: 2.0, 50: 1.0, 100: 1.021, 150: 1.03}
MANY = {**REPORT, "train_rows": 500_000, "kept": 500_000, "trained_tokens": 1_000_000}
EPOCH = {"training.max_steps": -1}

CASES: dict[str, tuple[list[Known], list[Known]]] = {
    "diverged": (
        [
            known(run=ran([2.0, math.nan])),
            known(run=ran([1.0] * 50 + [2.01] * 10)),
            known({"training.stop_on_divergence": False}, run=ran([1.0, math.inf])),
        ],
        [
            known(run=ran([1.0] * 50 + [2.01] * 9)),
            known(run=ran([1.0] * 50 + [1.99] * 10)),
            known(run=ran([0.01] * 50 + [0.05] * 10)),
        ],
    ),
    "overfitting": (
        [
            known(run=ran(falls(150), UP_AT_THE_END)),
            known({"data.eval_fraction": 0.0}, run=ran(falls(150), UP_AT_THE_END)),
            known(
                {"data.source": "x.jsonl", "data.eval_fraction": 0.0},
                run=ran(falls(150), UP_AT_THE_END),
            ),
        ],
        [
            known(run=ran(falls(150), {**UP_AT_THE_END, 100: 1.02})),
            known(run=ran(falls(150), {**UP_AT_THE_END, 150: 1.01})),
            known(run=ran(falls(150, 1.0, 2.0), UP_AT_THE_END)),
            known(run=ran(falls(100), {0: 2.0, 50: 1.0, 100: 1.5})),
        ],
    ),
    "memorising": (
        [known(run=ran(learns(100, 0.19), {0: 2.0, 100: 0.7}))],
        [
            known(run=ran(learns(100, 0.21), {0: 2.0, 100: 0.8})),
            known(run=ran(learns(100, 0.19), {0: 2.0, 100: 0.68})),
            known(run=ran(learns(100, 0.19), {0: 2.0, 100: math.nan})),
            known(run=ran(learns(100, 0.19))),
        ],
    ),
    "equals base": ([known(equals_base=True)], [known(equals_base=False)]),
    "not learning": (
        [
            known(run=ran([1.5] * 50)),
            known(run=ran([1.5] * 50, {0: 1.5, 50: 1.491})),
            known({"lora.method": "full"}, run=ran([1.5] * 50)),
        ],
        [
            known(run=ran([1.5] * 49)),
            known(run=ran(falls(50, 1.5, 1.47))),
            known(run=ran([1.5] * 50, {0: 1.5, 50: 1.489})),
        ],
    ),
    "worse than full": (
        [
            known(full_loss=1.0, held_out_loss=1.021),
            known(full_loss=1.0, run=ran(learns(100), {0: 2.0, 100: 1.021})),
        ],
        [
            known(full_loss=1.0, held_out_loss=1.019),
            known(full_loss=1.0),
            known(full_loss=1.0, held_out_loss=math.nan),
            known({"lora.method": "full"}, full_loss=1.0, held_out_loss=1.5),
        ],
    ),
    "rank not the limit": (
        [known({"lora.r": 16}, held_out_loss=1.0, lower_rank=(4, 1.009))],
        [
            known({"lora.r": 16}, held_out_loss=1.0, lower_rank=(4, 1.011)),
            known({"lora.r": 16}, held_out_loss=1.0, lower_rank=(5, 1.0)),
            known({"lora.r": 16}, lower_rank=(4, 1.0)),
        ],
    ),
    "still falling": (
        [
            known(run=ran(falls(120), {0: 2.0, 60: 1.4, 120: 1.37}, most=120, final="finished")),
            known(run=ran(falls(120), most=120, final="finished")),
            known(EPOCH, run=ran(falls(120), most=120, final="finished")),
        ],
        [
            known(run=ran(falls(120), {0: 2.0, 60: 1.4, 120: 1.39}, most=120, final="finished")),
            known(run=ran(learns(120), most=120, final="finished")),
            known(run=ran(falls(120), most=120, final="stopped")),
            known(run=ran(falls(120), most=121, final="finished")),
        ],
    ),
    "rate too low": (
        [known({"training.learning_rate": 4.9e-5})],
        [
            known({"training.learning_rate": 5e-5}),
            known({"training.learning_rate": 1e-5, "lora.method": "full"}),
        ],
    ),
    "rate too high": (
        [
            known({"training.learning_rate": 2.1e-3}),
            known({"training.learning_rate": 2.1e-3, "lora.method": "full"}),
            known({"training.learning_rate": 2.1e-3}, trainable=trains(8 * BILLION)),
        ],
        [known({"training.learning_rate": 2e-3})],
    ),
    "rate high for size": (
        [known({"training.learning_rate": 1.1e-3}, trainable=trains(7 * BILLION))],
        [
            known({"training.learning_rate": 1e-3}, trainable=trains(7 * BILLION)),
            known({"training.learning_rate": 1.1e-3}, trainable=trains(7 * BILLION - 1)),
            known({"training.learning_rate": 1.1e-3}),
        ],
    ),
    "rate may be slow": (
        [known({"training.max_steps": 299}, trainable=trains())],
        [
            known({"training.max_steps": 300}, trainable=trains()),
            known({"training.max_steps": 299}, trainable=trains(2 * BILLION)),
            known(
                {"training.max_steps": 299, "training.learning_rate": 2.1e-4}, trainable=trains()
            ),
            known({"training.max_steps": 299}),
        ],
    ),
    "rank may limit": (
        [
            known(EPOCH, trainable=trains(), report={**REPORT, "trained_tokens": 5_200_000}),
            known(EPOCH, trainable=trains(), report={**REPORT, "trained_tokens": 10**9}),
            known(
                trainable=trains(),
                run=ran(learns(40), tokens=10_000_000, trained_share=0.5, train_rows=9000),
            ),
        ],
        [
            known(EPOCH, trainable=trains(), report={**REPORT, "trained_tokens": 5_100_000}),
            known(EPOCH, trainable=trains()),
            # 300 steps of 8 rows see a tenth of these rows
            known(
                trainable=trains(),
                report={**REPORT, "train_rows": 24_000, "kept": 24_000, "trained_tokens": 4e7},
            ),
        ],
    ),
    "much data": (
        [known(EPOCH, report={**MANY, "train_rows": 100_001})],
        [
            known(EPOCH, report={**MANY, "train_rows": 100_000}),
            known(report=MANY),
            known({**EPOCH, "lora.r": 64}, report=MANY),
            known({**EPOCH, "lora.method": "full"}, report=MANY),
        ],
    ),
    "large adapter": (
        [
            known({"lora.r": 45}, trainable=trains(r=45)),
            known({"lora.r": 45, "model.load_in_4bit": True}, trainable=trains(r=45)),
            known({"lora.r": 900}, trainable=trains(2 * BILLION, r=900)),
        ],
        [
            known({"lora.r": 44}, trainable=trains(r=44)),
            known({"lora.method": "full"}, trainable=trains(r=900)),
        ],
    ),
    "attention only": (
        [
            known({"lora.target_modules": ["q_proj", "v_proj"]}),
            known({"lora.target_modules": ["transformer.h.0.attn.c_attn"]}),
        ],
        [
            known({"lora.target_modules": ["q_proj", "v_proj", "up_proj"]}),
            known({"lora.target_modules": "all-linear"}),
            known({"lora.target_modules": ["q_proj"], "lora.method": "full"}),
        ],
    ),
    "large batch": (
        [
            known({"training.gradient_accumulation_steps": 17}),
            known({"training.per_device_train_batch_size": 33}),
            known({"training.gradient_accumulation_steps": 65, "engine.processes": 2}),
        ],
        [
            known({"training.gradient_accumulation_steps": 16}),
            known({"training.gradient_accumulation_steps": 17, "lora.method": "full"}),
        ],
    ),
    "odd scale": (
        [
            known({"lora.lora_alpha": 65.0}),
            known({"lora.lora_alpha": 3.9}),
            known({"lora.r": 128, "lora.lora_alpha": 16.0}),
            known({"lora.r": 64, "lora.lora_alpha": 65.0, "lora.use_rslora": True}),
            known({"lora.r": 256, "lora.lora_alpha": 1.0}),
        ],
        [
            known({"lora.lora_alpha": 64.0}),
            known({"lora.lora_alpha": 4.0}),
            known({"lora.r": 64, "lora.lora_alpha": 64.0, "lora.use_rslora": True}),
            known({"lora.r": 1024, "lora.lora_alpha": 16.0, "lora.use_rslora": True}),
            known({"lora.lora_alpha": 65.0, "lora.method": "full"}),
        ],
    ),
    "many epochs": (
        [
            known({**EPOCH, "training.num_train_epochs": 3.1}),
            known({"training.max_steps": 301}, report={**REPORT, "train_rows": 800}),
        ],
        [
            known({**EPOCH, "training.num_train_epochs": 3.0}),
            known({"training.max_steps": 300}, report={**REPORT, "train_rows": 800}),
            known({"training.max_steps": 300}),
        ],
    ),
    "few steps": (
        [
            known({"training.max_steps": 99}),
            known({"training.max_steps": 99}, report={**REPORT, "train_rows": 400}),
            known(EPOCH, report={**REPORT, "train_rows": 792}),
        ],
        [
            known({"training.max_steps": 100}),
            known(EPOCH, report={**REPORT, "train_rows": 800}),
            known(EPOCH),
        ],
    ),
    "no held-out rows": (
        [
            known({"data.source": "x.jsonl", "data.eval_fraction": 0.0}),
            known(report={**REPORT, "eval_rows": 0}),
            known(run=ran(learns(10), eval_rows=0)),
        ],
        [
            known({"data.source": "x.jsonl", "data.eval_fraction": 0.01}),
            known({"data.source": "demo", "data.eval_fraction": 0.0}),
            known({"data.source": "/", "data.eval_fraction": 0.0}),
            known({"data.source": "x.jsonl", "data.eval_fraction": 0.0}, report=REPORT),
        ],
    ),
    "much padding": (
        [
            known(report={**REPORT, "padding_share": 0.51}),
            known(
                {"training.gradient_accumulation_steps": 17},
                report={**REPORT, "padding_share": 0.51},
            ),
        ],
        [
            known(report={**REPORT, "padding_share": 0.5}),
            known(report={**REPORT, "padding_share": math.nan}),
            known(report=REPORT),
        ],
    ),
}
