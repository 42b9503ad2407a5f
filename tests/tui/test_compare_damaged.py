"""Every pane of a comparison stands whatever its figures are."""

from typing import Any

import pytest

from lora_tui.core.comparison import Folding
from lora_tui.core.members import Member
from lora_tui.tui import compare_pages
from lora_tui.tui.compare_moved import lay_out as moved
from lora_tui.tui.compare_pages import Look
from lora_tui.tui.compare_watching import CompareWatch, Frame
from lora_tui.tui.wanting import Latest

from .comparisons import elsewhere, measured

WHO = (Member("demo", "demo", "base", "", "demo"), elsewhere("/some/where"))


def folded(
    figures: dict[str, Any], known: dict[str, Any] | None = None, prompts: Any = ("What?",)
) -> Folding:
    """A base and an adapter, of which some figures are not what they should be."""
    folding = Folding()
    members = [{"member": one.document(), "show": {}, "preset": {}, **(known or {})} for one in WHO]
    folding.fold([{"kind": "members", "members": members}, {"kind": "prompts", "prompts": prompts}])
    folding.fold([{"kind": "measured", "id": WHO[1].id, **measured(1), **figures}])
    folding.fold([{"kind": "output", "prompt": 0, "id": WHO[1].id, "text": "Yes."}])
    return folding


@pytest.mark.parametrize(
    ("figures", "known", "prompts"),
    [
        ({"scores": None}, {}, ["What?"]),
        ({"scores": {"pirate": []}}, {}, ["What?"]),
        ({"update_norms": None}, {}, ["What?"]),
        ({"update_norms": [1.0]}, {}, ["What?"]),
        ({"update_norms": {"layers": [1.0], "relative": [0.1]}}, {}, ["What?"]),
        ({"update_norms": {"layers": ["x"], "relative": None, "other": 0.0}}, {}, ["What?"]),
        ({"changed_share": "nan"}, {}, ["What?"]),
        ({"changed_share": "inf", "kl_from_base": "inf"}, {}, ["What?"]),
        ({"changed_share": "many", "held_out_loss": []}, {}, ["What?"]),
        ({}, {"show": None}, ["What?"]),
        ({}, {"show": {"loss": 3, "step": "x"}}, ["What?"]),
        ({}, {"preset": {"lora": [1]}}, ["What?"]),
        ({}, {"preset": None}, ["What?"]),
        ({}, {}, [{"no": "text"}, None, 3]),
        ({}, {}, None),
    ],
)
@pytest.mark.parametrize("pane", ["table", "curves", "outputs", "moved"])
def test_damaged_figures_blank_no_pane(
    figures: dict[str, Any], known: dict[str, Any], prompts: Any, pane: str
) -> None:
    now = folded(figures, known, prompts).now
    assert len(now.columns) == 2
    head, page = compare_pages.lay_out(now, {}, Look(pane=pane, width=76, height=18))
    assert "where" in str(page) + str(head) or pane == "outputs"
    assert page


@pytest.mark.parametrize("odd", ["nan", "inf", "-inf"])
def test_a_share_that_is_no_number_is_not_known(odd: str) -> None:
    _, page = moved(folded({"changed_share": odd}).now, 1, 76)
    assert " of 1" not in str(page)


def test_where_only_time_went_by_nothing_is_laid_out_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    laid: list[Look] = []
    lay_out = compare_pages.lay_out

    def count(comparison: Any, courses: Any, look: Look) -> Any:
        laid.append(look)
        return lay_out(comparison, courses, look)

    monkeypatch.setattr(compare_pages, "lay_out", count)
    found: list[Frame] = []
    looking = Latest(Look(width=76, height=18))
    watch = CompareWatch(WHO, None, looking, found.append)  # type: ignore[arg-type]  # not begun
    watch._folding = folded({})
    watch._draw()
    watch._since -= 5
    watch._note_time()
    watch._draw()
    assert len(laid) == 1 and [one.seconds > 0 for one in found] == [False, True]
    assert found[1].page == found[0].page and found[1].page
    looking.want(Look(pane="moved", width=76, height=18))
    watch._draw()
    assert len(laid) == 2 and found[2].page != found[0].page
