"""Two orders of two clients' requests; `benchmarks.any_order` makes many."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.any_order import AnyOrder

pytestmark = pytest.mark.xdist_group("survival")


def test_two_clients_in_any_order_lose_nothing() -> None:
    few = settings(
        max_examples=2,
        stateful_step_count=8,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )
    run_state_machine_as_test(AnyOrder, settings=few)
