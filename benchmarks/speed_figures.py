"""What benchmarks/speed.py makes of its measurements: one table of figures, one of ratios."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.tables import Line, short

STOCK_TRL, STOCK_UNSLOTH = "TRL", "Unsloth"
WIDE_TRL, WIDE_UNSLOTH = "TRL, 8 × 1", "Unsloth, 8 × 1"
OWN, OWN_UNSLOTH = "lora-tui, transformers", "lora-tui, unsloth"
FULL_TRL, FULL_OWN = "TRL, full", "lora-tui, full"
BARE = "bare limit"
LORA = (STOCK_TRL, STOCK_UNSLOTH, WIDE_TRL, WIDE_UNSLOTH, OWN, OWN_UNSLOTH)
FULL = (FULL_TRL, FULL_OWN)
COLUMNS = (*LORA, BARE, *FULL)
HELD_OUT = 32  # rows
OPERATORS = 12  # of a profile, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One process: seconds and tokens of every step, and what was measured besides."""

    seconds: Sequence[float]
    tokens: Sequence[int]
    trained: Sequence[int]
    losses: tuple[float, float, float] | None = None
    """Held-out: of the base, after half of the steps, after all of them."""
    to_first_step: float | None = None
    peak: float | None = None
    evaluation: float | None = None
    saved: float | None = None

    @property
    def step(self) -> float:
        """Seconds of the median step; the first one warms up."""
        return median(self.seconds[1:])

    @property
    def pace(self) -> float:
        """Real tokens a second of the median step: padding counts for nothing."""
        return self._a_second(self.tokens)

    @property
    def trained_pace(self) -> float:
        """Trained tokens a second of the median step."""
        return self._a_second(self.trained)

    def _a_second(self, tokens: Sequence[int]) -> float:
        return median(n / s for n, s in zip(tokens[1:], self.seconds[1:], strict=True))

    @property
    def loss(self) -> float | None:
        """Held-out, after all steps."""
        return self.losses[-1] if self.losses else None

    def seconds_to(self, target: float) -> float | None:
        """Seconds of training until a held-out loss, on lines between the three known ones."""
        if not self.losses:
            return None
        half = sum(self.seconds[: len(self.seconds) // 2])
        return crossing((0.0, half, sum(self.seconds)), self.losses, target)


Repeat = Mapping[str, Measured]
"""What each script did in one round."""


def crossing(times: Sequence[float], losses: Sequence[float], target: float) -> float | None:
    """When the line through the points first comes down to `target`; None where it never does."""
    if losses[0] <= target:
        return times[0]
    for at in range(1, len(times)):
        if losses[at] <= target:
            fallen = (losses[at - 1] - target) / (losses[at - 1] - losses[at])
            return times[at - 1] + fallen * (times[at] - times[at - 1])
    return None


def target_of(repeat: Repeat, names: Sequence[str]) -> float:
    """The worst final loss among the scripts: each of them got there."""
    return max(loss for name in names if (loss := repeat[name].loss) is not None)


def seconds_to_target(repeat: Repeat, name: str) -> float | None:
    """Seconds of training until the loss that all scripts of its kind reached."""
    kind = FULL if name in FULL else LORA
    return repeat[name].seconds_to(target_of(repeat, kind)) if name != BARE else None


Figure = Callable[[Repeat, str], float | None]
ROWS: Sequence[tuple[str, Figure, Callable[[float], str]]] = (
    ("real tokens/s", lambda repeat, name: repeat[name].pace, short),
    ("trained tokens/s", lambda repeat, name: repeat[name].trained_pace, short),
    ("seconds a step", lambda repeat, name: repeat[name].step, short),
    ("held-out loss after all steps", lambda repeat, name: repeat[name].loss, "{:.4f}".format),
    ("seconds of training to the common loss", seconds_to_target, short),
    ("seconds from start to first step", lambda repeat, name: repeat[name].to_first_step, short),
    ("peak memory, GB", lambda repeat, name: _scaled(repeat[name].peak, 1e9), short),
    (f"seconds to evaluate {HELD_OUT} rows", lambda repeat, name: repeat[name].evaluation, short),
    ("saved, MB", lambda repeat, name: _scaled(repeat[name].saved, 1e6), short),
)


def _scaled(value: float | None, unit: float) -> float | None:
    return None if value is None else value / unit


def figures_table(repeats: Sequence[Repeat]) -> list[str]:
    """Every figure of every script: the median, and the range where there are several."""
    lines = [f"| | {' | '.join(COLUMNS)} |", f"|---|{'--:|' * len(COLUMNS)}"]
    for name, figure, shown in ROWS:
        cells = [spread([figure(one, column) for one in repeats], shown) for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def spread(values: Sequence[float | None], shown: Callable[[float], str] = short) -> str:
    """The median with its range; nothing where nothing was measured."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    middle, least, most = (shown(pick(known)) for pick in (median, min, max))
    return middle if least == most else f"{middle} ({least} to {most})"


def limited(
    name: str,
    values: Sequence[float],
    unit: str,
    *,
    least: float | None = None,
    most: float | None = None,
) -> Line:
    """A figure beside what it has to reach; the last cell says so where its median misses that."""
    middle = median(values)
    is_met = (least is None or middle >= least) and (most is None or middle <= most)
    bounds = [
        f"{word} {short(bound)}"
        for word, bound in (("at least", least), ("at most", most))
        if bound is not None
    ]
    verdict = "" if is_met else ": **MISSED**"
    return Line(name, values, unit, " and ".join(bounds) + verdict)


def ratios(repeats: Sequence[Repeat], loading: Sequence[float], *, on_gpu: bool) -> list[Line]:
    """What the project set out to reach, as ratios within each round.

    Args:
        repeats: The rounds.
        loading: Seconds of Unsloth's import, model and adapter in each of them.
        on_gpu: Whether the limits are those of a GPU, where Unsloth's own kernels are at work.
    """

    def over(one: str, other: str, figure: Callable[[Measured], float | None]) -> list[float]:
        pairs = [(figure(repeat[one]), figure(repeat[other])) for repeat in repeats]
        return [a / b for a, b in pairs if a is not None and b is not None]

    speeds = {STOCK_TRL: 1.8 if on_gpu else 2.0, STOCK_UNSLOTH: 1.0 if on_gpu else 1.3}
    wide = {WIDE_TRL: speeds[STOCK_TRL], WIDE_UNSLOTH: speeds[STOCK_UNSLOTH]}
    lines = []
    for own in (OWN, OWN_UNSLOTH):
        for stock, least in (speeds | wide).items():
            pace = over(own, stock, lambda one: one.pace)
            lines.append(limited(f"{own}: tokens/s over {stock}'s", pace, "times", least=least))
        for stock in speeds:
            apart = [100 * (one - 1) for one in over(own, stock, lambda one: one.loss)]
            lines.append(limited(f"… loss above {stock}'s", apart, "%", least=-0.5, most=0.5))
        for stock in speeds:
            sooner = [
                theirs / ours
                for repeat in repeats
                if (ours := seconds_to_target(repeat, own))
                and (theirs := seconds_to_target(repeat, stock))
            ]
            if sooner:  # else it learnt nothing, and its loss says so
                lines.append(
                    limited(f"… to the common loss sooner than {stock}", sooner, "times", least=1)
                )
        bare = over(own, BARE, lambda one: one.pace)
        lines.append(limited("… tokens/s over the bare limit's", bare, "times", least=0.9))
        begun = [
            (repeat[own].to_first_step or 0.0) / one
            for repeat, one in zip(repeats, loading, strict=True)
        ]
        lines.append(
            limited(
                "… start to first step over Unsloth's import and loading", begun, "times", most=1.3
            )
        )
        for stock in speeds:
            peak = over(own, stock, lambda one: one.peak)
            lines.append(limited(f"… peak memory over {stock}'s", peak, "times", most=1))
        quicker = over(STOCK_TRL, own, lambda one: one.evaluation)
        lines.append(limited(f"… evaluation faster than {STOCK_TRL}'s", quicker, "times", least=2))
        saved = [(repeat[own].saved or 0.0) / 1e6 for repeat in repeats]
        lines.append(limited("… adapter", saved, "MB", most=9.8))
    step = over(OWN, FULL_OWN, lambda one: one.step)
    lines.append(limited("LoRA's step over full fine-tuning's, lora-tui", step, "times", most=0.65))
    peak = over(OWN, FULL_OWN, lambda one: one.peak)
    lines.append(limited("… peak memory", peak, "times", most=0.7))
    return lines


def profile_table(found: Sequence[tuple[float, int, str]], steps: int) -> list[str]:
    """The costliest operators of a step by the time spent in themselves."""
    total = sum(seconds for seconds, _, _ in found)
    return [
        f"Where a step of `{OWN}` spends its time, by torch's profiler over {steps} steps;",
        f"watched, a step takes {short(total / steps)} s; what is called most often grows most.",
        "",
        "| operator | own seconds a step | share | calls a step |",
        "|---|--:|--:|--:|",
        *(
            f"| `{name}` | {short(seconds / steps)} | {seconds / total:.1%} | {calls / steps:.0f} |"
            for seconds, calls, name in found[:OPERATORS]
        ),
    ]


def heap_table(found: Sequence[tuple[int, int]]) -> list[str]:
    """What the heap held at the end of each forward pass."""
    return [
        f"What the heap of `{OWN}` holds at the end of each forward pass, in GB; holes are",
        "free, and still the process's.",
        "",
        "| step | in use | holes |",
        "|--:|--:|--:|",
        *(
            f"| {step} | {used / 1e9:.2f} | {free / 1e9:.2f} |"
            for step, (used, free) in enumerate(found, 1)
        ),
    ]
