"""Runs as a user names them."""

import pytest

from lora_tui.core import runs
from lora_tui.core.errors import BadInput, LoraTuiError
from lora_tui.core.presets import Preset
from lora_tui.core.references import find


def test_runs_are_found_by_id_prefix_name_and_last() -> None:
    one, two = runs.create(Preset(), name="alpha"), runs.create(Preset(), name="beta")
    assert runs.list_runs() == [two, one]
    assert find(one.id) == one and find("beta") == two and find("last") == two
    three = runs.create(Preset(), name="aardvark")
    assert find("last") == three  # the newest, not the last by name
    assert find(two.id[:-1]) == two
    with pytest.raises(LoraTuiError, match="fits 3 runs"):
        find(one.id[:6])
    assert (
        runs.create(Preset(), name="beta")
        and runs.free_name("beta") == "beta-3"
        and runs.free_name("new") == "new"
    )
    with pytest.raises(BadInput, match="fits 2 runs"):
        find("beta")
    with pytest.raises(BadInput, match=r'no run "alpa"; did you mean alpha\?'):
        find("alpa")
    with pytest.raises(BadInput, match=f"did you mean {one.id}"):
        find(one.id.replace("alpha", "alpa"))
    nameless = runs.create(Preset(), name="x")
    (nameless.path / "run.json").write_text("{}")
    for wrong in ("gamma", "", "../x", "None"):
        with pytest.raises(LoraTuiError, match="no run"):
            find(wrong)
