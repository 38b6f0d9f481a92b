"""Steps of the story: each is told in a line when it held, and ends the story when it did not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc.aio
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from services.cluster.traces.waterfall import duration

STEP_SECONDS = 20.0
ASK_AGAIN_SECONDS = 0.05
TITLE_WIDTH = 28
TIME_WIDTH = 8


class ClaimFailed(Exception):
    """Something that the story claims is not so; the text says what is."""


class StepFailed(Exception):
    """A step did not hold. `title` is the step's, the text says why."""

    def __init__(self, title: str, why: str) -> None:
        super().__init__(why)
        self.title = title


@dataclass
class Step:
    """One step while it is being taken: what it has to say, and what it waits for."""

    title: str
    text: str = ""
    more: list[str] = field(default_factory=list)
    waits: Callable[[], str] | None = None

    def says(self, text: str, *more: str) -> None:
        """What happened, in a line; `more` are lines of their own below it."""
        self.text, self.more = text, list(more)

    async def until(self, what: str, ask: Callable[[], Awaitable[object]], wanted: object) -> None:
        """Asks again and again until the answer is the one wanted, as long as the step may take."""
        answer = await ask()
        self.waits = lambda: f"{what} is {answer}, not {wanted}"
        while answer != wanted:
            await asyncio.sleep(ASK_AGAIN_SECONDS)
            answer = await ask()
        self.waits = None


class Teller:
    """Tells steps on a console, one line each, and counts them."""

    def __init__(self, console: Console, is_wanted: Callable[[], bool] = lambda: True) -> None:
        self.console = console
        self._is_wanted = is_wanted
        self.held = 0

    @asynccontextmanager
    async def step(self, title: str, seconds: float = STEP_SECONDS) -> AsyncIterator[Step]:
        """A block that is one step. Raises StepFailed for whatever goes wrong in it, also when it takes too long."""
        # Whoever was interrupted may have swallowed it: what they waited for had come at that moment.
        if not self._is_wanted():
            raise asyncio.CancelledError
        step = Step(title)
        began = time.monotonic()
        try:
            with self.console.status(title):
                async with asyncio.timeout(seconds):
                    yield step
        except Exception as error:
            self.line(False, step, time.monotonic() - began)
            why = _why(error)
            if isinstance(error, TimeoutError):
                why = f"not within {seconds:.0f} s" + (f": {step.waits()}" if step.waits else "")
            raise StepFailed(title, why) from error
        self.held += 1
        self.line(True, step, time.monotonic() - began)

    def line(self, good: bool, step: Step, seconds: float) -> None:
        """Prints a step, wrapped to the console's width."""
        plain = self.console.options.ascii_only
        mark = ("+" if good else "!") if plain else ("✓" if good else "✗")
        row = Table.grid(padding=(0, 1), expand=True)
        row.add_column(width=1)
        row.add_column(width=TITLE_WIDTH)
        row.add_column(ratio=1)
        row.add_column(width=TIME_WIDTH, justify="right")
        row.add_row(
            Text(mark, "green" if good else "red"),
            Text(step.title, "bold"),
            _told(step),
            Text(duration(seconds * 1000), "dim"),
        )
        self.console.print(row)


def expect(what: str, found: object, wanted: object) -> None:
    """Claims that something is as it should be. Raises ClaimFailed."""
    if found != wanted:
        raise ClaimFailed(f"{what}: {found}, not {wanted}")


def _told(step: Step) -> RenderableType:
    lines = Text(step.text)
    for line in step.more:
        lines.append(f"\n{line}", "dim")
    return lines


def _why(error: Exception) -> str:
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    if isinstance(error, ClaimFailed):
        return str(error)
    return f"{type(error).__name__}: {error}"
