"""Text that came from elsewhere, made safe to show; and numbers, always written the same way."""

import difflib
import math
import unicodedata
from collections.abc import Iterable

_FEW = 2
_SAFE = {"\n", "\t"}


def printable(text: str) -> str:
    """`text` without control and direction-changing characters, which a terminal would obey.

    Escape sequences, carriage returns, bells and bidirectional overrides become U+FFFD; line breaks
    and tabs stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if character in _SAFE or unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co"}
        else "\N{REPLACEMENT CHARACTER}"
        for character in text
    )


def one_line(text: str) -> str:
    """`text` printable and on one line, for tables and titles."""
    return " ".join(printable(text).split())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence on a name that does not exist: the nearest that does, where one is.

    One that `name` is a part of, of some letters, is near, too.
    """
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=1)
    near += [one for one in names if len(name) > _FEW and name.lower() in one.lower()]
    return f"; did you mean {one_line(near[0])}?" if near else "."


def number(value: float | None) -> str:
    """`value` with three significant digits: 1.284, 0.0213, 18,240, 1.1e-4; `-` when absent.

    Integers are written whole with thousands separators.
    """
    if value is None:
        return "-"
    if isinstance(value, int):
        return f"{value:,}"
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 100:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    if size >= 1:
        return f"{value:.3f}"
    if size >= 0.001 or size == 0:
        return f"{value:#.3g}" if size else "0"
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def count(value: float | None) -> str:
    """A count in thousands, millions or billions: 4.88M, 134.5M, 7.6k; `-` when absent."""
    if value is None:
        return "-"
    for limit, unit in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.99995 * limit:
            scaled = value / limit
            return f"{scaled:.2f}{unit}" if abs(scaled) < 100 else f"{scaled:.1f}{unit}"
    return f"{value:g}"


def size(bytes_: float | None) -> str:
    """A size in decimal units, as disks and GPUs are sold: 19.5 MB, 3.10 GB; `-` when absent."""
    if bytes_ is None:
        return "-"
    for limit, unit in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(bytes_) >= 0.9995 * limit:  # what rounds up to the next unit is written in it
            return f"{bytes_ / limit:.3g} {unit}"
    return f"{bytes_:.0f} B"


def share(value: float | None) -> str:
    """A fraction as a percentage: 0.0363 is 3.6 %, 0.00012 is 0.012 %; `-` when absent."""
    if value is None:
        return "-"
    percent = 100 * value
    return f"{percent:.1f} %" if abs(percent) >= 1 or percent == 0 else f"{percent:.2g} %"


def duration(seconds: float | None) -> str:
    """A time span, short: 9.2 s, 12 s, 02:10, 1h05, 3d04h; `-` when absent.

    Whole seconds, as of a clock that counts, have no decimals.
    """
    if seconds is None or math.isnan(seconds) or math.isinf(seconds):
        return "-"
    whole = round(seconds)
    if seconds < 9.95 and isinstance(seconds, float):
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60:02d}:{whole % 60:02d}"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"
