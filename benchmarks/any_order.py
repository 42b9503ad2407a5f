"""Two clients start, pause, stop, kill, resume and delete runs in any order, many times.

    python -m benchmarks.any_order --examples 30

Hypothesis makes the orders (tests/any_order.py); real engines, the real command line. It ends with
an order that breaks something, or with the counts of what was done.
"""

import argparse
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from benchmarks.tables import SURVIVAL, Line, section
from tests.any_order import TALLY, AnyOrder


def main() -> None:
    """Make the examples and write the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=30)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--out", type=Path, default=SURVIVAL)
    arguments = parser.parse_args()
    command = f"benchmarks.any_order --examples {arguments.examples} --steps {arguments.steps}"
    with section(arguments.out, "any-order", command) as lines:
        many = settings(
            max_examples=arguments.examples,
            stateful_step_count=arguments.steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
            phases=[Phase.generate],  # making a failure shorter would take hours
        )
        run_state_machine_as_test(AnyOrder, settings=many)
        lines.append(Line("orders without a fault", [arguments.examples], ""))
        lines.extend(Line(what, [number], "") for what, number in sorted(TALLY.items()))


if __name__ == "__main__":
    main()
