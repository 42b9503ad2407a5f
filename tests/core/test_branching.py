"""What a branch may change, from where it can begin, and what is said of it before."""

from typing import Any

import pytest

from lora_tui.core import branching, events, preset_files, runs
from lora_tui.core.errors import BadInput
from lora_tui.core.runs import Run
from lora_tui.core.settings import SettingsError
from lora_tui.jobs.branch import branch


def trained(*settings: str, steps: tuple[int, ...] = (20, 40), **options: Any) -> Run:
    """A run with checkpoints of these steps."""
    preset = preset_files.with_settings(
        preset_files.find("demo"), ["training.max_steps=40", *settings]
    )
    run = runs.create(preset, name="first", options=options)
    runs.add_to_info(run, data_fingerprint="abc")
    events.append(run.events, "data", train_rows=100)
    for step in steps:
        folder = run.checkpoints / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(f'{{"global_step": {step}}}', "utf-8")
        (folder / "adapter_model.safetensors").write_bytes(b"weights")
    return run


def test_it_begins_at_the_last_checkpoint_with_all_that_run_said_of_itself() -> None:
    run = trained()
    made = branch(branching.plan(run, None, {"training.max_steps": 60}), name="longer")
    info = runs.read_info(made)
    assert info["name"] == "longer" and info["data_fingerprint"] == "abc"
    assert branching.origin(made) == branching.Origin(run.id, 40, (40,))
    assert preset_files.load(made.preset).training.max_steps == 60
    assert runs.checkpoint_steps(made) == [40] and runs.checkpoint_steps(run) == [20, 40]
    name = "checkpoints/checkpoint-40/adapter_model.safetensors"
    assert (made.path / name).samefile(run.path / name)


def test_what_early_stopping_and_the_adapter_go_back_to_comes_along() -> None:
    run = trained("training.early_stopping_patience=3", "training.eval_steps=10")
    (run.checkpoints / "start").mkdir()
    made = branch(branching.plan(run, 40, {"training.max_steps": 60}))
    assert runs.checkpoint_steps(made) == [20, 40]
    assert (made.checkpoints / "start").is_dir()


def test_a_disk_without_links_gets_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr("os.link", refuse)
    run = trained()
    made = branch(branching.plan(run, 20, {}))
    name = "checkpoints/checkpoint-20/adapter_model.safetensors"
    assert not (made.path / name).samefile(run.path / name)
    assert (made.path / name).read_bytes() == b"weights"


def test_a_branch_of_a_branch_knows_all_before_it() -> None:
    first = branch(branching.plan(trained(), 20, {"training.max_steps": 50}))
    second = branch(branching.plan(first, 20, {"training.max_steps": 60}))
    begun = branching.origin(second)
    assert begun is not None and begun.planned == (40, 50)
    steps = [one.training.max_steps for one in begun.ancestors(preset_files.load(second.preset))]
    assert steps == [40, 50]


def test_what_is_in_the_checkpoint_cannot_be_changed_and_all_of_it_is_said() -> None:
    changes = {
        "lora.r": 4,
        "data.train_on": "all",
        "training.seed": 1,
        "training.optim": "sgd",
        "training.learning_rate": 1e-3,
        "training.num_train_epochs": 2.0,
    }
    with pytest.raises(SettingsError) as caught:
        branching.plan(trained(), None, changes)
    keys = {problem.key for problem in caught.value.problems}
    assert keys == {*changes} - {"training.learning_rate"}


@pytest.mark.parametrize("key", sorted(branching.CHANGEABLE))
def test_every_key_that_may_change_is_a_setting(key: str) -> None:
    assert key in branching._flat(preset_files.find("demo"))


def test_a_step_without_a_checkpoint_and_an_end_before_the_beginning_are_refused() -> None:
    run = trained()
    with pytest.raises(BadInput, match=r"no complete checkpoint of step 30.\n.*20, 40"):
        branching.plan(run, 30, {})
    with pytest.raises(BadInput, match="nothing to do"):
        branching.plan(run, None, {"training.learning_rate": 1e-3})
    with pytest.raises(BadInput, match="no complete checkpoint to branch from"):
        branching.plan(trained(steps=()), None, {})


def test_it_says_what_will_happen() -> None:
    run = trained(
        "training.lr_scheduler_type=linear",
        "training.learning_rate=5e-4",
        "training.warmup_steps=0",
    )
    assert branching.plan(run, None, {"training.max_steps": 80}).told() == [
        f"Branches from step 40 of {run.id}, which stays as it is.",
        "It ends at step 80 instead of 40.",
        "From step 41 on it takes rows that were not used yet, where there are any left; then it "
        "goes through all of them again.",
        "Steps 41 to 80: linear, from 2.5e-4 to 0.",
        "It jumps from 0 to 2.5e-4 after step 40.",
        "The loss may rise for some steps before it falls further.",
    ]


def test_epochs_are_counted_in_the_rows_that_were_counted() -> None:
    run = trained("training.max_steps=-1", "training.num_train_epochs=2")
    plan = branching.plan(run, 20, {"training.num_train_epochs": 3.0})
    assert plan.steps is not None and f"It ends at step {plan.steps} instead of" in plan.told()[1]
    to_epochs = branching.plan(
        trained(), 20, {"training.max_steps": -1, "training.num_train_epochs": 3.0}
    )
    assert to_epochs.steps is None
    assert to_epochs.told()[-1] == "How far it goes is known once its rows are counted."
