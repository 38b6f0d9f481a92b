"""The crash matrix: at each named point of what a service does, each process involved is killed.

Points lie before and after every commit, every call to another service, every question to the provider, and every
publishing of events (services/runtime/failpoints.py). A point of a process that is to die kills it there; for another
victim the process stands still at the point until the victim is dead.

The kills come in an order drawn from a seed, which is printed: COMMERCE_SEED=… repeats it. A run draws two for each
point, one of its own process and one of another's, each before or after it; COMMERCE_WHOLE_MATRIX=1 takes them all.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.cluster import processes
from services.cluster.cluster import Cluster
from tests.saga.checkouts import SETTLE_SECONDS
from tests.shop import eventually

Act = Callable[[], Coroutine[Any, Any, None]]


@asynccontextmanager
async def failing(
    home: Path, failpoints: Path, services: Sequence[str] | None = None
) -> AsyncIterator[Cluster]:
    """A cluster with these points, short leases, and processes that are started again at once."""
    short = {"COMMERCE_ORDER_LEASE_SECONDS": "2", "COMMERCE_PROVIDER_TIMEOUT_SECONDS": "1"}
    environment = {"COMMERCE_FAILPOINTS": str(failpoints), **short}
    with pytest.MonkeyPatch.context() as patch:
        # The supervisor gives a process that keeps dying a rest; here it is us who kill.
        patch.setattr(processes, "BACKOFF_LAST_SECONDS", processes.BACKOFF_FIRST_SECONDS)
        async with Cluster(home, services, environment=environment) as cluster:
            yield cluster


@dataclass(frozen=True)
class Cell:
    """One kill: of whom, and when."""

    when: str
    point: str
    victim: str

    @property
    def file(self) -> str:
        service, _, point = self.point.partition(" ")
        return f"{service} {self.when} {point}"

    @property
    def own(self) -> bool:
        return self.point.startswith(f"{self.victim} ")

    def __str__(self) -> str:
        return f"{self.victim} killed {self.when} {self.point}"


def drawn(points: Sequence[str], victims: Sequence[str], seed: random.Random) -> list[Cell]:
    """The kills of a run."""
    cells = []
    for point in points:
        every = [Cell(when, point, victim) for victim in victims for when in ("before", "after")]
        if not os.environ.get("COMMERCE_WHOLE_MATRIX"):
            every = [seed.choice([cell for cell in every if cell.own == own]) for own in (True, False)]
        cells += every
    seed.shuffle(cells)
    return cells


class Matrix:
    """Goes through kills; what earlier ones have hindered goes on beside the next."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self._folder = cluster, folder
        self._going: list[asyncio.Task[None]] = []

    async def run(self, points: Sequence[str], victims: Sequence[str], act: Act) -> None:
        """Kill at each point; `act` is what passes them."""
        seed = int(os.environ.get("COMMERCE_SEED", "0")) or random.randrange(1, 1 << 32)
        cells = drawn(points, victims, random.Random(seed))
        print(f"COMMERCE_SEED={seed}: {len(cells)} kills")
        for cell in cells:
            await self._kill(cell, act)
        async with asyncio.timeout(2 * SETTLE_SECONDS):
            await asyncio.gather(*self._going)

    async def _kill(self, cell: Cell, act: Act) -> None:
        point = self._folder / cell.file
        reached = point.with_name(f"{point.name}.reached")
        process = self.cluster.process(cell.victim)
        restarts = process.restarts
        point.write_text("die" if cell.own else "hold")
        self._going.append(asyncio.create_task(act()))
        try:
            await eventually(lambda: _exists(reached), SETTLE_SECONDS)
        except TimeoutError:
            raise AssertionError(f"nobody came to the point: {cell}") from None
        if not cell.own:
            self.cluster.kill(cell.victim)
            point.with_name(f"{point.name}.go").touch()

        async def back() -> bool:
            return process.restarts > restarts

        await eventually(back)
        await self.cluster.wait_ready(cell.victim)
        reached.unlink()
        point.with_name(f"{point.name}.go").unlink(missing_ok=True)


async def _exists(path: Path) -> bool:
    return path.exists()
