"""A preset being edited: what is typed stays, right or wrong."""

import pytest

from lora_tui.core.draft import Draft, differences, typed
from lora_tui.core.preset_files import changed
from lora_tui.core.presets import PROJECTIONS, Preset, all_knobs
from lora_tui.core.settings import SettingsError

KNOBS = {item.key: item for item in all_knobs()}


@pytest.mark.parametrize("item", KNOBS.values(), ids=KNOBS)
def test_what_a_field_shows_can_be_typed_back(item) -> None:
    draft = Draft.of(Preset())
    again = draft.with_text(item, draft.text(item))
    assert again.preset == Preset()


def test_a_list_of_one_stays_a_list() -> None:
    item = KNOBS["lora.target_modules"]
    preset = changed(Preset(), {"lora.target_modules": ["q_proj"]})
    draft = Draft.of(preset)
    assert draft.with_text(item, draft.text(item)).preset == preset
    assert typed(item, "all-linear") == "all-linear"


def test_a_wrong_text_is_kept_and_the_last_good_value_stands_behind_it() -> None:
    item = KNOBS["lora.r"]
    draft = Draft.of(Preset()).with_text(item, "8").with_text(item, "eight")
    assert draft.text(item) == "eight"
    assert draft.value(item) == 8
    assert [problem.key for problem in draft.problems] == ["lora.r"]
    with pytest.raises(SettingsError, match="not a whole number"):
        _ = draft.preset
    assert draft.with_text(item, "32").preset.lora.r == 32
    assert draft.with_value(item, 64).problems == []


def test_values_that_do_not_go_together_are_problems() -> None:
    draft = Draft.of(changed(Preset(), {"lora.method": "full"}))
    draft = draft.with_value(KNOBS["model.load_in_4bit"], True)
    assert [problem.key for problem in draft.problems] == ["model.load_in_4bit"]


def test_editing_leaves_the_draft_before_as_it_was() -> None:
    draft = Draft.of(Preset())
    draft.with_text(KNOBS["lora.r"], "8")
    assert draft.preset == Preset()


def test_differences_name_key_was_and_is_also_where_wrong() -> None:
    draft = (
        Draft.of(Preset()).with_text(KNOBS["lora.r"], "x").with_text(KNOBS["model.revision"], "v2")
    )
    assert differences(Preset(), draft) == [
        ("model.revision", "empty", "v2"),
        ("lora.r", "16", "x"),
    ]
    assert differences(Preset(), Draft.of(Preset())) == []
    assert ", ".join(PROJECTIONS) == draft.text(KNOBS["lora.target_modules"])
