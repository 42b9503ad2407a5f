"""A resume changes nothing: losses, weights and counts are those of the run that was not disturbed.

Each run is cut twice: at its inner checkpoint, as if it had been killed there, and by a request to
stop after its first step, off every grid.
"""

import json
import shutil

import pytest

from lora_tui.core import preset_files
from lora_tui.core.runs import Run
from tests.engine.conftest import Ended
from tools.terminal import wait_until

COMMON = (
    "model.dtype=float32",
    "lora.lora_dropout=0.1",
    "training.max_steps=14",
    "training.eval_steps=4",
    "training.gradient_accumulation_steps=2",
    "training.warmup_steps=2",
)
# 60 rows in steps of 16 are four steps an epoch, the last of them shorter: epochs end at 4, 8, 12.
RANDOM = ("training.save_steps=5", "training.per_device_train_batch_size=8")
# In steps of 6 they are ten.
GROUPED = (
    "training.save_steps=10",
    "training.logging_steps=3",
    "training.per_device_train_batch_size=3",
    "training.train_sampling_strategy=group_by_length",
)
CASES = {  # by whom, what, and the checkpoint to go on from
    "random, mid-epoch": ("transformers", RANDOM, 10),
    "by length, epoch's end": ("transformers", GROUPED, 10),
    "by length, epoch's end, unsloth": ("unsloth", GROUPED, 10),
}
COMPARED = ("step", "epoch", "loss", "learning_rate", "grad_norm", "tokens", "trained_tokens")


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture(scope="module")
def whole(engines, few_rows, case):
    """The run that nothing disturbs."""
    backend, own, _ = case
    settings = (*COMMON, *own, f"data.source={few_rows}")
    return engines.train_warm("demo", *settings, backend=backend)


def curve(ended):
    """Every point of the chart; of a step that was taken twice, the later one."""
    return {one["step"]: {name: one[name] for name in COMPARED} for one in ended.of("step")}


def measured(ended):
    return {one["step"]: one["loss"] for one in ended.of("eval")}


def assert_equal(resumed, whole):
    """No figure and no weight differs, by nothing at all."""
    from safetensors.torch import load_file

    assert resumed.events[-1]["kind"] == "finished", resumed.log
    ours, theirs = curve(resumed), curve(whole)
    assert {step: ours[step] for step in theirs} == theirs
    assert measured(resumed) == measured(whole)
    assert resumed.of("eval")[-1]["scores"] == whole.of("eval")[-1]["scores"]
    name = "adapter_model.safetensors"
    found, wanted = load_file(resumed.run.adapter / name), load_file(whole.run.adapter / name)
    assert max(float((found[key] - wanted[key]).abs().max()) for key in wanted) == 0


def killed_at(whole, step):
    """A copy of the run as a kill right after a checkpoint would have left it."""
    run = Run(whole.run.path.with_name(f"{whole.run.id}-killed"))
    shutil.copytree(whole.run.path, run.path)
    shutil.rmtree(run.adapter)
    for folder in run.checkpoints.glob("checkpoint-*"):
        if folder.name != f"checkpoint-{step}":
            shutil.rmtree(folder)
    last = next(one for one in whole.of("checkpoint") if one["step"] == step)
    kept = whole.events[: whole.events.index(last) + 1]
    run.events.write_text("".join(json.dumps(one) + "\n" for one in kept), "utf-8")
    return run


def test_killed_on_the_save_grid(engines, case, whole):
    backend, _, step = case
    resumed = engines.warm(killed_at(whole, step), "resume", backend)
    assert resumed.of("started")[-1]["resumed_from"] == step
    assert_equal(resumed, whole)


def test_stopped_off_every_grid(engines, few_rows, case, whole):
    backend, own, _ = case
    settings = (*COMMON, *own, f"data.source={few_rows}", f"engine.backend={backend}")
    run = engines.create("demo", *settings)
    run.pause.touch()  # it waits after its first step
    end = engines.begin(run, backend)
    wait_until(lambda: run.events.exists() and '"paused"' in run.events.read_text(), 180, "no")
    engines.interrupt(backend)
    stopped = Ended(run, end())
    assert stopped.events[-1]["kind"] == "stopped" and stopped.events[-1]["step"] == 1
    run.pause.unlink()
    resumed = engines.warm(run, "resume", backend)
    assert resumed.of("started")[-1]["resumed_from"] == 1
    assert_equal(Ended(run, resumed.code), whole)


def test_rows_come_in_the_order_that_is_told(case, whole, tokenizer):
    from lora_tui.engine import data
    from lora_tui.engine.order import Order

    preset = preset_files.load(whole.run.preset)
    lengths = [len(row.input_ids) for row in data.prepare(preset, tokenizer).train.examples]
    is_grouped = case[1] is GROUPED
    a_step = 6 if is_grouped else 16
    counted = []
    for together in (0, a_step):
        order = list(Order(lengths, seed=preset.training.seed, together=together))
        counted.append(sum(lengths[row] for row in order[: 3 * a_step]))
    assert curve(whole)[3]["tokens"] == counted[is_grouped]
    assert not is_grouped or counted[0] != counted[1]


def test_the_order_of_an_epoch_needs_none_before_it():
    from lora_tui.engine.order import Order

    lengths = [number % 7 + 1 for number in range(40)]
    for together in (0, 8):
        order = Order(lengths, seed=1, together=together)
        epochs = [list(order)]
        order.set_epoch(1)
        epochs.append(list(order))
        fresh = Order(lengths, seed=1, together=together)
        fresh.set_epoch(1)
        assert list(fresh) == epochs[1] != epochs[0]
        assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(40))


def test_rows_a_branch_adds_come_after_those_its_run_began_with():
    from lora_tui.engine.order import Order

    lengths = [number % 7 + 1 for number in range(40)]
    for together in (0, 8):
        first = list(Order(lengths[:16], seed=1, together=together))
        second = list(Order(lengths[:24], seed=1, together=together, stages=[16]))
        third = list(Order(lengths, seed=1, together=together, stages=[16, 24]))
        assert third[:24] == second and second[:16] == first
        assert sorted(third) == list(range(40))
