"""What a data report means in words, and which changes of the preset would help."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lora_tui.core import text
from lora_tui.core.presets import Preset

_MANY = 0.01  # of the rows: from here on something is worth a word
_MUCH_PADDING = 0.4
_FEW_ROWS = 20
_SHOWN = 3

Report = Mapping[str, Any]
"""A data report, as `lora-tui data --json` prints it."""


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change of the preset, and what it does."""

    text: str
    changes: Mapping[str, Any]


def facts(report: Report) -> list[tuple[str, str]]:
    """The report's figures as (name, value), in the order in which one asks for them."""
    columns = ", ".join(f"{role}={name}" for role, name in report["columns"].items())
    found = [
        ("source", _sources(report)),
        ("format", f"{report['format']}: {columns}"),
        ("rows", _rows(report)),
    ]
    if not report["kept"]:
        return found
    share = text.share
    cut = f"{_count(report['truncated'])} ({share(report['truncated_share'])})"
    copies = _count(report["duplicates"]["count"])
    return [
        *found,
        ("tokens", _spread(report["tokens"])),
        ("answers", _spread(report["answers"])),
        ("trained", f"{share(report['trained_share'])} of {report['tokens']['total']:,} tokens"),
        (
            f"cut {text.number(report['max_seq_length'])}",
            f"{cut}, {share(report['lost_share'])} of the trained tokens"
            if report["truncated"]
            else "no row is longer",
        ),
        (
            "padding",
            f"{share(report['padding_share'])} of a batch"
            + ", none on a CPU" * bool(report.get("padding_free")),
        ),
        ("copies", f"{copies}, {report['overlap']['count']:,} held-out questions are trained on"),
    ]


def _sources(report: Report) -> str:
    if all(one["weight"] == 1 for one in report["sources"]):
        return str(report["source"])
    return ", ".join(f"{one['weight']:g} x {one['name']}" for one in report["sources"])


def _rows(report: Report) -> str:
    kept = f"{report['train_rows']:,} to train, {report['eval_rows']:,} held out"
    left = sum(report["dropped"].values())
    seen = report["steps_see"]
    return (
        f"{report['rows']:,}: {kept}"
        + (f", {report['unused_rows']:,} not used" if report["unused_rows"] else "")
        + (f", {left:,} left out" if left else "")
        + (f"; the run sees {seen:,}" if seen and seen < report["train_rows"] else "")
    )


def _spread(values: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {values[name]:,}" for name in ("p50", "p90", "p99", "max"))


def warnings(report: Report) -> list[str]:
    """What the user should know, the weightiest first."""
    return [*_about_loss(report), *_about_rows(report), *_about_texts(report)]


def _about_loss(report: Report) -> Iterator[str]:
    kept, longest = report["kept"], report["max_seq_length"]
    if not kept:
        yield "No row can be trained on."
        return
    if report["truncated"]:
        share = text.share(report["truncated_share"])
        lost = text.share(report["lost_share"])
        yield (
            f"{share} of the rows are longer than {longest:,} tokens and cut off: {lost} of the "
            "trained tokens are lost, and these answers have no end."
        )
    if unended := report["unended"]["count"]:
        yield (
            f"In {_of(unended, kept)} rows no end-of-turn token is trained: the model may not "
            "learn to stop."
        )
    if (limit := report["model_limit"]) and longest > limit and report["tokens"]["max"] > limit:
        yield (
            f"Rows of up to {min(report['tokens']['max'], longest):,} tokens are longer than the "
            f"{limit:,} that the model was made for."
        )


def _about_rows(report: Report) -> Iterator[str]:
    kept, rows = report["kept"], report["rows"]
    for reason, count in sorted(report["dropped"].items(), key=lambda item: -item[1]):
        yield f"{count:,} of {_count(rows)} left out: {reason}{_named(report, reason)}."
    if overlap := report["overlap"]["count"]:
        yield (
            f"{_of(overlap, report['eval_rows'])} held-out rows ask what a training row asks: the "
            "held-out loss will look better than it is."
        )
    if (same := report["duplicates"]["count"]) > _MANY * kept:
        yield f"{same:,} of {_count(kept)} repeat what another says."
    if kept and not report["eval_rows"]:
        yield "No row is held out: whether it learns or only memorises cannot be seen."
    elif 0 < report["train_rows"] < _FEW_ROWS:
        yield f"{report['train_rows']} training rows are few: it will learn them by heart."
    if len(report["formats"]) > 1:
        found = ", ".join(f"{name} {count:,}" for name, count in report["formats"].items())
        yield f"The rows are of several shapes: {found}."
    if report["padding_share"] > _MUCH_PADDING:
        yield (
            f"{text.share(report['padding_share'])} of what "
            f"{'a GPU computes' if report.get('padding_free') else 'is computed'} is padding: rows "
            "of very different lengths share a batch."
        )


def _about_texts(report: Report) -> Iterator[str]:
    for token, found in report["special_tokens"].items():
        yield (
            f"The special token {token} stands in the text of {_count(found['count'])}: the "
            "model takes it for the real one."
        )
    if damaged := report["damaged"]["count"]:
        yield f"A character was lost (�) in {_count(damaged)}: an encoding was misread."
    if tools := report["talks"].get("tool"):
        yield f"Tools are called or answer in {_count(tools)}: look at how that is shown."
    if unused := report["unused_columns"]:
        yield f"Not used: the column{'s' * (len(unused) > 1)} {', '.join(unused)}."


def _named(report: Report, reason: str) -> str:
    """Where the first rows of a reason are: by their number, broken lines by file and line."""
    places = report["dropped_rows"].get(reason) or [
        place.rpartition(": ")[0] for place in report["broken"] if place.endswith(f": {reason}")
    ]
    shown = ", ".join(places[:_SHOWN])
    return f" ({shown}{', ...' if len(places) > _SHOWN else ''})" if places else ""


def _count(rows: int) -> str:
    return f"{rows:,} row{'s' * (rows != 1)}"


def _of(count: int, total: int) -> str:
    return f"{count:,} of {total:,}"


def remedies(report: Report, preset: Preset) -> list[Remedy]:
    """Changes of the preset that mend what was found."""
    if not report["kept"] and not report["dropped"]:
        return []
    found = []
    tokens, longest, limit = report["tokens"], preset.model.max_seq_length, report["model_limit"]
    wanted, why = tokens["p99"], "p99"
    if wanted <= longest:
        wanted, why = tokens["max"], "the longest"
    if limit and wanted > limit:
        wanted, why = limit, "the model's limit"
    if wanted > longest and (report["truncated"] or tokens["max"] <= wanted):
        text_ = f"raise max_seq_length to {wanted:,} ({why})"
        found.append(Remedy(text_, {"model.max_seq_length": wanted}))
    if report["truncated"] and preset.data.too_long == "cut":
        found.append(Remedy("leave long rows out", {"data.too_long": "drop"}))
    elif preset.data.too_long == "drop" and report["tokens"]["max"] > longest:
        found.append(Remedy("cut long rows", {"data.too_long": "cut"}))
    return found
