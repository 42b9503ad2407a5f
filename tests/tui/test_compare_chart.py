"""Curves laid over each other and layers as shades: whatever the figures are, at any size."""

import math
from collections.abc import Sequence

import pytest
from rich.cells import cell_len

from lora_tui.core.series import Points
from lora_tui.tui.compare_chart import Curve, Drawing, Heat, heat, overlay, unit_of
from lora_tui.tui.widgets.painting import Rows


def text(rows: Rows) -> list[str]:
    return ["".join(part for part, _ in row) for row in rows]


def falling(number: int, last: float = 0.5) -> Points:
    return tuple((float(at), last + 2 * math.exp(-at / 20)) for at in range(1, number + 1))


def curves(number: int) -> list[Curve]:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [Curve(letters[at], f"run-{at}", falling(100, 0.2 * at)) for at in range(number)]


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("number", [1, 2, 12])
def test_every_curve_has_its_letter_on_it(number: int, ascii_only: bool) -> None:
    found = curves(number)
    rows = text(overlay(found, Drawing(76, 18, chosen="a", ascii_only=ascii_only)))
    assert len(rows) == 18 and all(len(row) <= 76 for row in rows)
    chart = "".join(row for row in rows if "run-" not in row)
    assert all(curve.tag in chart for curve in found)
    assert not ascii_only or chart.isascii()


def test_the_letter_stands_where_its_curve_is() -> None:
    high, low = (
        Curve("h", "high", ((0, 9.0), (100, 9.0))),
        Curve("l", "low", ((0, 1.0), (100, 1.0))),
    )
    rows = text(overlay([high, low], Drawing(60, 14, smooth=False)))[:-1]
    where = {letter: [y for y, row in enumerate(rows) if letter in row] for letter in "hl"}
    assert where["h"] == [0] or where["h"] == [1]
    assert len(where["l"]) == 1 and where["l"][0] > 8


def test_the_chosen_curve_lies_above_and_alone_has_the_accent() -> None:
    same = [Curve(letter, letter, falling(50)) for letter in "ab"]
    for chosen in ("a", "b"):
        rows = overlay(same, Drawing(60, 14, chosen=chosen))[:-1]
        roles = {role for row in rows for part, role in row if part.strip()}
        assert "accent" in roles and "faint" not in roles
        strong = {part.strip() for row in rows for part, role in row if role == "strong"}
        assert strong <= {chosen}


@pytest.mark.parametrize(
    "points",
    [
        (),
        ((1.0, math.nan),),
        ((1.0, math.inf), (2.0, 1.0)),
        ((0.0, 1.0),),
        ((5.0, 0.0), (6.0, -1.0)),
        ((1e12, 1e-9), (2e12, 1e12)),
        tuple((float(at), 1.0) for at in range(5000)),
    ],
    ids=["none", "nan", "inf", "one", "not positive", "huge", "flat"],
)
@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("size", [(76, 18), (24, 8), (10, 3), (0, 0)])
def test_any_figures_at_any_size(points: Points, log: bool, size: tuple[int, int]) -> None:
    both = [Curve("a", "one", points, "no such thing"), *curves(1)]
    for drawn in (both, both[:1]):
        rows = overlay(drawn, Drawing(*size, log=log))
        drawing = [row for row in text(rows) if " one" not in row and " run-" not in row]
        assert size[0] < 20 or all(len(row) <= size[0] for row in drawing)


def test_where_there_is_no_curve_it_says_why() -> None:
    rows = text(overlay([Curve("a", "one", (), "its run was deleted")], Drawing(60, 12)))
    assert any("no curve to draw" in row for row in rows)
    assert "a one  its run was deleted" in rows[-1]
    rows = text(overlay([Curve("a", "one", ((1.0, -1.0),))], Drawing(60, 12, log=True)))
    assert any("nothing above zero" in row for row in rows)


@pytest.mark.parametrize(
    ("seconds", "unit"), [(100, "seconds"), (200, "minutes"), (4 * 3600, "hours")]
)
def test_time_is_counted_in_what_suits_its_length(seconds: float, unit: str) -> None:
    drawn = [Curve("a", "one", ((1.0, 1.0), (seconds, 2.0)))]
    assert unit_of("seconds", drawn)[1] == unit
    assert unit_of("tokens", drawn) == (1.0, "tokens")


# --- layers -----------------------------------------------------------------------------------


def shades(values: Sequence[float], *, width: int = 76, ascii_only: bool = False) -> str:
    rows = text(heat([Heat("a", "one", tuple(values))], width, ascii_only=ascii_only))
    return rows[0].partition("+" if ascii_only else "┤")[2]


def test_layers_are_darker_where_they_moved_more() -> None:
    assert shades([0.0, 0.01, 0.02, 0.03, 0.04]) == "····░░░░▒▒▒▒▓▓▓▓████"
    assert shades([0.0, 0.01, 0.09], ascii_only=True) == "....11119999"
    assert shades([0.015, 0.04]) == "▒▒▒▒████", "a shade reaches up to its figure"
    assert shades([0.0, 0.0]) == "········"


def test_the_scale_is_one_for_all_and_is_said() -> None:
    rows = text(heat([Heat("a", "one", (0.01,)), Heat("b", "two", (0.04,))], 60, ascii_only=False))
    assert "░" in rows[0] and "█" in rows[1]
    assert rows[-1] == "· none   ░ to 1.0 %   ▒ to 2.0 %   ▓ to 3.0 %   █ to 4.0 %"


def test_more_layers_than_cells_share_them() -> None:
    rows = text(heat([Heat("a", "one", tuple([0.1] * 200 + [0.4]))], 60, ascii_only=False))
    assert all(len(row) <= 60 for row in rows[:-1]) and rows[0].endswith("█")
    assert "layers a cell" in rows[-1]


@pytest.mark.parametrize("values", [(math.nan, 0.1), (math.inf,), ()])
def test_odd_norms_stand(values: tuple[float, ...]) -> None:
    rows = text(heat([Heat("a", "one", values), Heat("b", "two", (0.1, 0.2))], 60, ascii_only=True))
    assert not values or "?" in rows[0]
    assert heat([], 60, ascii_only=False) == ()
    assert heat([Heat("a", "x" * 50, values)], 9, ascii_only=False) == ()


def test_wide_names_leave_the_layers_where_they_are() -> None:
    found = [Heat("a", "小さな海賊", (0.01, 0.04)), Heat("b", "two", (0.01, 0.04))]
    rows = heat(found, 60, ascii_only=False)
    names = [row[0][0] for row in rows[:2]]
    assert names[0] == "a 小さな海賊┤" and cell_len(names[0]) == cell_len(names[1])
    assert [row[1][0] for row in rows[:2]] == ["░░░░████"] * 2
    assert text(rows)[2].index("└") == cell_len(names[1]) - 1
