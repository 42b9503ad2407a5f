"""Grids: what is typed, what it comes to, and everything wrong with it at once."""

import pytest

from lora_tui.core import grids
from lora_tui.core.preset_files import with_settings
from lora_tui.core.presets import Preset
from lora_tui.core.settings import SettingsError

DEMO = with_settings(Preset(name="p"), ["training.max_steps=20", "training.learning_rate=2e-4"])


def said(error: pytest.ExceptionInfo[SettingsError]) -> list[str]:
    return [str(problem) for problem in error.value.problems]


def test_values_stand_between_commas_as_toml_has_them() -> None:
    grid = grids.read(
        [
            "lora.r=8, 16,32",
            "training.learning_rate = 1e-4,2e-4",
            "lora.use_rslora=true,false",
            'lora.target_modules=all-linear,["q_proj","v_proj"],[k_proj,o_proj],[up_proj]',
            'data.source="a,b.jsonl",c.jsonl',
            "data.weights=[1,2],[0.5,1]",
        ]
    )
    assert grid == {
        "lora.r": (8, 16, 32),
        "training.learning_rate": (1e-4, 2e-4),
        "lora.use_rslora": (True, False),
        "lora.target_modules": (
            "all-linear",
            ["q_proj", "v_proj"],
            ["k_proj", "o_proj"],
            ["up_proj"],
        ),
        "data.source": ("a,b.jsonl", "c.jsonl"),
        "data.weights": ([1, 2], [0.5, 1]),
    }
    assert all(grids.read_values(key, grids.typed(values)) for key, values in grid.items())


def test_all_that_is_wrong_is_said_at_once() -> None:
    lines = ["lora.r=8,x,,0,8", "lorar=3", "=4", "training.seed=1", "training.seed=2"]
    with pytest.raises(SettingsError) as error:
        grids.read(lines)
    assert said(error) == [
        'lora.r: "x" is not a whole number',
        "lora.r: a value is missing: write 8,16,32",
        "lora.r: 0 is out of range: 1 to 1,024",
        "lora.r: 8 is named twice",
        "lorar: unknown; did you mean lora.r?",
        "write TABLE.KEY=VALUE,VALUE as in lora.r=8,16",
        "training.seed: is named twice; put its values in one list",
    ]


def test_a_command_line_says_what_is_wrong_with_settings_and_grid_together() -> None:
    with pytest.raises(SettingsError) as error:
        grids.from_command("demo", ["lora.r=3", "training.max_steps=x"], ["lora.r=8,y"])
    assert said(error) == [
        'training.max_steps: "x" is not a whole number',
        'lora.r: "y" is not a whole number',
        "lora.r: is set and swept: leave one of them out",
    ]


def test_runs_are_all_combinations_in_the_order_they_are_typed_and_the_baseline_is_last() -> None:
    grid = {"training.learning_rate": (1e-4, 2e-4), "lora.r": (8, 16)}
    made = grids.variants(DEMO, grid, with_full=True)
    labels = ["lr0.0001-r8", "lr0.0001-r16", "lr0.0002-r8", "lr0.0002-r16", "full"]
    assert [one.label for one in made] == labels
    assert [one.preset.lora.r for one in made[:4]] == [8, 16, 8, 16]
    assert made[3].values == {"training.learning_rate": 2e-4, "lora.r": 16}
    assert made[3].preset.training.max_steps == 20 and not made[3].is_baseline
    full = made[4]
    assert full.is_baseline and full.preset.lora.method == "full"
    assert full.preset.training.learning_rate == 2e-5


def test_what_full_fine_tuning_does_not_read_makes_no_second_run() -> None:
    grid = {"lora.r": (8, 16), "lora.method": ("lora", "full")}
    assert [one.label for one in grids.variants(DEMO, grid)] == ["r8-lora", "r8-full", "r16-lora"]


def test_combinations_that_do_not_fit_are_named_by_those_that_do_not() -> None:
    grid = {"lora.method": ("lora", "full"), "model.load_in_4bit": (True, False)}
    with pytest.raises(SettingsError) as error:
        grids.variants(DEMO, grid)
    (problem,) = said(error)
    assert problem.endswith('use method = "lora" (full-load_in_4bit-true)')
    with pytest.raises(SettingsError) as error:
        grids.variants(DEMO, {"training.early_stopping_patience": (1, 2)})
    (problem,) = said(error)
    assert problem.endswith("nothing is measured otherwise")  # all have it: nobody is named


def test_a_baseline_of_full_fine_tuning_and_a_slip_of_the_keyboard_are_refused() -> None:
    whole = with_settings(DEMO, ["lora.method=full"])
    with pytest.raises(SettingsError, match="it needs no baseline"):
        grids.variants(whole, {"training.seed": (1, 2)}, with_full=True)
    with pytest.raises(SettingsError, match="1,000 combinations; a sweep has 200 at most"):
        grids.variants(DEMO, {"training.seed": tuple(range(1000))})
    with pytest.raises(SettingsError, match="name a key and its values"):
        grids.variants(DEMO, {})


def test_the_baseline_takes_what_all_others_have_and_names_tell_only_what_differs() -> None:
    grid = {"lora.r": (4, 8), "training.max_steps": (6,), "training.seed": (1,)}
    made = grids.variants(DEMO, grid, with_full=True)
    assert [one.label for one in made] == ["r4", "r8", "full"]
    assert {one.preset.training.max_steps for one in made} == {6}
    assert {one.preset.training.seed for one in made} == {1}
    (alone,) = grids.variants(DEMO, {"training.max_steps": (6,)})
    assert alone.label == "max_steps-6"
