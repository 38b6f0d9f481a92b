"""What a person sees while the cluster starts and runs: a live table, or plain lines without a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from services.cluster.processes import Process, State

COLOURS = {
    State.READY: "green",
    State.STARTING: "yellow",
    State.RESTARTING: "yellow",
    State.STOPPING: "yellow",
    State.FAILED: "red",
}


class Progress:
    """Shows processes as they change. `update` is cheap and may be called often."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.monotonic()
        self._seen: dict[str, tuple[State, float]] = {}
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._live = None

    def update(self, processes: Iterable[Process]) -> None:
        """Takes the processes as they are now."""
        now = time.monotonic() - self._began
        rows = list(processes)
        for process in rows:
            before, since = self._seen.get(process.name, (None, now))
            if process.state is not before:
                begun = since if process.state is State.READY and before is not None else now
                self._seen[process.name] = (process.state, begun)
                if self._live is None and process.state is not State.STOPPED:
                    self._line(process, now)
        if self._live is not None:
            self._live.update(table(rows), refresh=True)

    def _line(self, process: Process, seconds: float) -> None:
        if process.state in (State.READY, State.RESTARTING, State.FAILED):
            where = (
                f"  {process.spec.address}" if process.state is State.READY else f"  log {process.spec.log}"
            )
            self._console.print(
                f"{seconds:7.2f} s  {process.name:<12} {process.state.value:<10}{where}", soft_wrap=True
            )


def table(processes: Iterable[Process]) -> Table:
    """One row a process."""
    shown = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("process", "state", "address", "pid"):
        shown.add_column(heading, style="bold" if heading == "process" else None, no_wrap=True)
    for process in processes:
        colour = COLOURS.get(process.state, "dim")
        state = Text(process.state.value, style=colour)
        shown.add_row(process.name, state, process.spec.address, str(process.pid or ""))
    return shown
