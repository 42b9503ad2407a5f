"""What large pages of memory change in training on a CPU: one run with and one without, in turn.

    python -m benchmarks.large_pages ../shared/data/gsm8k/train.jsonl

The runs are those of benchmarks/speed.py. Linux has to give large pages to who asks for them.
"""

import os
from collections.abc import Iterator

from benchmarks import speed_figures as figures
from benchmarks.real_size import with_model
from benchmarks.speed_figures import Measured
from benchmarks.speed_runs import Bench
from benchmarks.tables import Line, arguments_of, section
from lora_tui.core.platforms import cpu_has_bfloat16

_WITHOUT = "glibc.malloc.hugetlb=0"


def main() -> None:
    """Measure `pairs` of runs, every second pair the other way round, and write the section."""
    parser = arguments_of(__doc__)
    parser.add_argument("--pairs", type=int, default=4)
    arguments = parser.parse_args()
    dtype = "bfloat16" if cpu_has_bfloat16() else "float32"
    command = f"benchmarks.large_pages ROWS.jsonl --pairs {arguments.pairs}"
    with with_model(arguments.rows) as folder, section(arguments.out, "pages", command) as lines:
        bench = Bench(folder, 8, "cpu", dtype)
        bench.write_rows(arguments.rows)
        found = list(pairs(bench, arguments.pairs))
        lines += [
            Line("seconds of the median step, large pages", [one.step for one, _ in found], "s"),
            Line("… without", [other.step for _, other in found], "s"),
            Line("… a pair's ratio", [one.step / other.step for one, other in found], "times"),
            Line(
                "a pair's ratio of training time",
                [sum(one.seconds[1:]) / sum(other.seconds[1:]) for one, other in found],
                "times",
            ),
            Line("… of peak memory", [peak(one) / peak(other) for one, other in found], "times"),
        ]


def pairs(bench: Bench, number: int) -> Iterator[tuple[Measured, Measured]]:
    """Runs with large pages, each beside one without."""
    for at in range(number):
        found = {}
        for tunables in ("", _WITHOUT)[:: -1 if at % 2 else 1]:
            os.environ["GLIBC_TUNABLES"] = tunables
            found[tunables], _ = bench.own(figures.OWN)
        yield found[""], found[_WITHOUT]


def peak(one: Measured) -> float:
    """Bytes at the end of training."""
    assert one.peak
    return one.peak


if __name__ == "__main__":
    main()
