"""Measuring in turns: A B, B A, A B … so that what else the machine does falls on both alike."""

import statistics
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Run = Callable[[], Awaitable[float]]


@dataclass(frozen=True)
class Compared:
    """The values of two runs, round by round."""

    ours: list[float]
    theirs: list[float]

    @property
    def ratios(self) -> list[float]:
        """Ours as a share of theirs, round by round."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)


async def compared(ours: Run, theirs: Run, rounds: int = 5) -> Compared:
    """Run both in turns, after one round that does not count."""
    await theirs()
    await ours()
    found = Compared([], [])
    for number in range(rounds):
        turns = [(theirs, found.theirs), (ours, found.ours)]
        for run, values in turns if number % 2 else reversed(turns):
            values.append(await run())
    return found
