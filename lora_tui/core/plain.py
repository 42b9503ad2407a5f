"""One line of text for each event, for terminals without a screen and for pipes."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from lora_tui.core import text
from lora_tui.core.events import Event, figure, whole


def line(event: Event, max_steps: int | None = None) -> str | None:
    """What an event says in one line, or None where it says nothing to a person."""
    words = _WORDS.get(event["kind"])
    said = words(event, max_steps) if words else None
    if said is None:
        return None
    return f"{moment(event.get('t'), '%H:%M:%S')}  {text.one_line(said)}"


def _started(event: Event, _: int | None) -> str:
    resumed = event.get("resumed_from")
    again = f", resumed from step {resumed}" if resumed is not None else ""
    return f"started  {event.get('backend')} on {event.get('device')}{again}"


def _model(event: Event, _: int | None) -> str:
    trainable, total = (
        figure(event.get("trainable_parameters")),
        figure(event.get("total_parameters")),
    )
    part = text.share(trainable / total) if trainable is not None and total else "-"
    counts = f"{text.count(trainable)} of {text.count(total)}"
    return f"model  {event.get('name')}  {counts} trained ({part})"


def _data(event: Event, _: int | None) -> str:
    dropped = _table(event.get("dropped"))
    reasons = "".join(f", {reason} {number}" for reason, number in dropped.items())
    kept, read = text.number(whole(event.get("kept"))), text.number(whole(event.get("read")))
    return f"data  {event.get('source')}  {kept} of {read} rows read are used{reasons}"


def _table(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _step(event: Event, max_steps: int | None) -> str:
    of = f"/{max_steps}" if max_steps else ""
    parts = [f"step {event.get('step')}{of}", f"loss {text.number(figure(event.get('loss')))}"]
    for name, label in (("learning_rate", "lr"), ("grad_norm", "grad")):
        if (value := figure(event.get(name))) is not None:
            parts.append(f"{label} {text.number(value)}")
    return "  ".join(parts)


def _eval(event: Event, _: int | None) -> str:
    scores = _table(event.get("scores"))
    shown = "".join(f"  {name} {text.share(figure(value))}" for name, value in scores.items())
    return (
        f"held-out  step {event.get('step')}  loss {text.number(figure(event.get('loss')))}{shown}"
    )


def _failed(event: Event, _: int | None) -> str:
    return f"failed  {event.get('summary')} {event.get('hint') or ''}"


def _finished(event: Event, _: int | None) -> str:
    kept = event.get("adapter") or event.get("model") or ""
    return f"{event['kind']} at step {event.get('step')}  {kept}"


_WORDS = {
    "launched": lambda event, _: f"launched  process {event.get('pid')}",
    "started": _started,
    "model": _model,
    "data": _data,
    "step": _step,
    "eval": _eval,
    "checkpoint": lambda event, _: f"saved  step {event.get('step')}",
    "warning": lambda event, _: f"warning  {event.get('text')}",
    "stopping": lambda _, __: "stopping: the step ends, then it saves",
    "paused": lambda event, _: f"paused at step {event.get('step')}",
    "resumed": lambda event, _: f"resumed at step {event.get('step')}",
    "stopped": _finished,
    "finished": _finished,
    "failed": _failed,
}


def moment(seconds: Any, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    """A time in unix seconds as local time; `-` when it is none."""
    known = figure(seconds)
    if known is None:  # to `localtime` that would be now
        return "-"
    try:
        return time.strftime(form, time.localtime(known))
    except (OverflowError, OSError, ValueError):
        return "-"


def facts(document: Mapping[str, Any]) -> Iterator[str]:
    """A document of `show` as lines of text, without the preset."""
    for key, value in document.items():
        if key == "preset" or value in (None, {}, []) or value is False:
            continue
        if key in {"paths", "failure"}:
            for name, said in value.items():
                if said is not None:
                    yield f"{name:<22}{text.one_line(str(said))}"
        else:
            yield f"{key:<22}{_in_words(key, value)}"


def _in_words(key: str, value: Any) -> str:
    if key in {"created", "ended"}:
        return "-" if value is None else moment(value)
    if isinstance(value, list):
        return "  ".join(text.one_line(str(item)) for item in value)
    if isinstance(value, dict):
        return "  ".join(f"{name} {_in_words(name, item)}" for name, item in value.items()) or "-"
    if value is True:
        return "yes"
    if value is None or isinstance(value, int | float):
        return text.size(value) if key.endswith("_bytes") else text.number(value)
    return text.one_line(str(value))
