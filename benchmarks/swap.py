"""Swap adapters on one resident base of SmolLM2-135M's shape, and ask all of them at once.

    python -m benchmarks.swap ../shared/data/gsm8k/train.jsonl

The weights are random (there is no Hub where this runs): times are real, what is said is not.
"""

import json
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

from benchmarks.real_size import with_model
from benchmarks.tables import Line, arguments_of, section

RANK = 16
NEW_TOKENS = 48
GO = SimpleNamespace(requested=False)


def main() -> None:
    """Build the base and three adapters, measure, and write the section."""
    parser = arguments_of(__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    command = f"benchmarks.swap ROWS.jsonl --repeats {arguments.repeats}"
    with section(arguments.out, "swap", command) as lines, with_model(arguments.rows) as home:
        build_adapters(home)
        lines.extend(measure(home, arguments.rows, arguments.repeats))


def build_adapters(home: Path) -> None:
    """Three adapters of the seven projections, with weights that change what is said."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    from lora_tui.core.presets import PROJECTIONS

    for number in range(3):
        torch.manual_seed(number)
        base = AutoModelForCausalLM.from_pretrained(home / "model", dtype=torch.float32)
        config = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=list(PROJECTIONS))
        model = get_peft_model(base, config)
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(weight, std=0.02)
        model.save_pretrained(home / f"adapter-{number}")


def measure(home: Path, rows: Path, repeats: int) -> list[Line]:
    """Each figure `repeats` times, what is compared one beside the other."""
    from transformers import logging

    from lora_tui.core import members, preset_files
    from lora_tui.core.platforms import Platform
    from lora_tui.engine.generation import Settings
    from lora_tui.engine.resident import Resident

    logging.disable_progress_bar()
    preset = preset_files.changed(
        preset_files.find("smollm2-lora"), {"model.name_or_path": str(home / "model")}
    )
    three = [members.of_reference(str(home / f"adapter-{number}")) for number in range(3)]

    def load() -> Resident:
        return Resident(preset, Platform("transformers", "cpu", bfloat16=False))

    reload = []
    for _ in range(repeats):
        began = time.perf_counter()
        load().attach(three[0])
        reload.append(time.perf_counter() - began)
    resident = load()
    attach: list[float] = []
    for _ in range(repeats):
        attach += [resident.attach(member).seconds for member in three]
        if len(attach) < 3 * repeats:
            for member in three:
                resident.detach(member.id)
    order = ["base", *(member.id for member in three)]
    swap = [resident.use(id_) for _ in range(4 * repeats) for id_ in (*order[1:], order[0])]
    settings = Settings(max_new_tokens=NEW_TOKENS)
    alone, together, equal = [], [], True
    questions = (json.loads(line)["question"] for line in rows.read_text("utf-8").splitlines())
    for question in islice(questions, repeats):
        prompt = resident.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_dict=False
        )
        began = time.perf_counter()
        one_by_one = [resident.generate([prompt], [id_], settings, stop=GO)[0] for id_ in order]
        alone.append(time.perf_counter() - began)
        began = time.perf_counter()
        mixed = resident.generate([prompt] * len(order), order, settings, stop=GO)
        together.append(time.perf_counter() - began)
        equal &= mixed == one_by_one
    ratio = [one / other for one, other in zip(alone, together, strict=True)]
    return [
        Line("loading base, tokenizer and one adapter anew", reload, "s"),
        Line(f"attaching an adapter of r {RANK}", attach, "s", "0.6"),
        Line("swapping attached adapters", swap, "ms", "30"),
        Line(f"base and three adapters, {NEW_TOKENS} tokens each, one after another", alone, "s"),
        Line("… in one mixed batch", together, "s"),
        Line("… times faster", ratio, "times", "at least 1.6"),
        Line("… of the questions with the same token ids, float32", [float(equal)], "(1 is all)"),
    ]


if __name__ == "__main__":
    main()
