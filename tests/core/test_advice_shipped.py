"""What the shipped presets are advised, and what the guide says of advice."""

from lora_tui.core import preset_files
from lora_tui.core.advice import RULES, Known, advice
from lora_tui.core.parameters import Trainable

from .advised import BILLION, GUIDE, SMOLLM, trains


def test_the_shipped_presets_get_no_advice_that_an_expert_would_shake_his_head_at() -> None:
    """As judged once, by hand; a preset that gets other advice has to be judged anew."""
    found = {}
    for entry in preset_files.list_presets():
        assert entry.preset
        r = entry.preset.lora.r
        small = entry.name.startswith("smollm2")
        full = Trainable(SMOLLM, SMOLLM, 2 * SMOLLM, 210)
        of_lora = trains(SMOLLM if small else 8 * BILLION, r)
        if entry.name.startswith("demo"):
            of_lora = Trainable(155_648, 3_672_320, 622_592, 28)
        is_full = entry.preset.lora.method == "full"
        known = Known(entry.preset, full if is_full else of_lora)
        found[entry.name] = {one.rule for one in advice(known)}
    usual = {"rate may be slow", "few steps"}  # 50 steps at 2e-4: a first look
    assert found == {
        "demo": set(),
        "demo-pirate": set(),
        "llama3-8b-qlora": set(),
        "smollm2-lora": usual,
        "smollm2-r8-fast": usual,
        "smollm2-r32": usual,
        "smollm2-dora": usual,
        "smollm2-qlora": usual,
        "smollm2-full": {"few steps"},
        "smollm2-r64": {*usual, "large adapter"},
        "smollm2-attention-qv": {*usual, "attention only"},
    }


def test_the_guide_lists_the_rules_as_they_are() -> None:
    section = GUIDE.read_text("utf-8").partition("\n## Advice\n")[2].partition("\n## ")[0]
    rows = [line for line in section.splitlines() if line.startswith("| ")][1:]
    listed = [f"| {rule.name} | {rule.when} | {rule.source} |" for rule in RULES]
    assert [row for row in rows if not row.startswith("| `")] == listed
