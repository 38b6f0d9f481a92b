"""Which worlds are simulated: COMMERCE_SEEDS of them, or COMMERCE_SEED alone. A test holds some of them."""

import os
from collections.abc import Callable

SEEDS = int(os.environ.get("COMMERCE_SEEDS", "1000"))
ONE = os.environ.get("COMMERCE_SEED")
WORLDS_A_TEST = 50
BATCHES = 1 if ONE else (SEEDS + WORLDS_A_TEST - 1) // WORLDS_A_TEST


def hold(simulate: Callable[[int], object], batch: int) -> None:
    """Simulate the worlds of a batch. One whose promises do not hold is named by its seed."""
    worlds = [int(ONE)] if ONE else range(batch * WORLDS_A_TEST, min(SEEDS, (batch + 1) * WORLDS_A_TEST))
    for number in worlds:
        try:
            simulate(number)
        except Exception as error:
            raise AssertionError(f"COMMERCE_SEED={number} repeats it: {error}") from error
