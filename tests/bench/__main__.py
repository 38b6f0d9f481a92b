"""`python -m tests.bench [row …] [--seconds N] [--full] [--json FILE] [--against REV]`: what the system costs."""

import argparse
import asyncio
import json
import platform
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.bench import (
    calls,
    counts,
    fairness,
    few,
    h2load,
    idle,
    ledger,
    overload,
    payments,
    postings,
    settlement,
    streams,
    volume,
    walks,
    writes,
)
from tests.bench.against import against
from tests.bench.figures import Figure
from tests.bench.house import House

Row = Callable[[House], Awaitable[list[Figure]]]
ROWS: dict[str, Row] = {
    "idle": idle.rest,
    "runtime": calls.runtime,
    "traces": calls.traces,
    "get": calls.get_order,
    "rest": calls.rest,
    "create": writes.create_order,
    "checkouts": writes.whole_checkouts,
    "counts": counts.counts,
    "few": few.few,
    "cpu": overload.cost,
    "curve": overload.curve,
    "latency": streams.latency,
    "streams": streams.many_streams,
    "authorize": payments.authorize,
    "postings": postings.postings,
    "volume": volume.volume,
    "books": ledger.books,
    "settlement": settlement.settlement,
    "fairness": fairness.fairness,
    "walks": walks.walks,
}
LONG = {
    "curve",
    "volume",
    "books",
    "settlement",
    "fairness",
}  # More than a minute: only when asked for, or with --full.


async def measure(rows: list[str], seconds: float, console: Console) -> tuple[list[Figure], int]:
    """Measure the rows one after the other; the figures, and how many rows failed."""
    figures: list[Figure] = []
    failed = 0
    with tempfile.TemporaryDirectory(prefix="commerce-bench-") as folder:
        Path(folder).chmod(0o711)
        async with AsyncExitStack() as stack:
            house = House(Path(folder), seconds, stack)
            for row in rows:
                began = time.monotonic()
                try:
                    found = await ROWS[row](house)
                except Exception as error:
                    failed += 1
                    console.print(f"[red]✗[/] {row}: {type(error).__name__}: {escape(str(error)[-2000:])}")
                    continue
                figures += found
                console.print(f"[bold]{row}[/] [dim]{time.monotonic() - began:.0f} s[/]", highlight=False)
                for figure in found:
                    what, value, _, _, detail = figure.shown()
                    console.print(f"  {what}: {value}\n    [dim]{escape(detail)}[/]", highlight=False)
    return figures, failed


def show(figures: list[Figure], console: Console) -> None:
    """Print each figure beside its limit."""
    table = Table("figure", "value", "target (stretch)", "", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    colours = {"stretch": "green", "met": "green", "NOT MET": "red"}
    for figure in figures:
        what, value, limit, verdict, _ = figure.shown()
        colour = colours.get(verdict)
        table.add_row(what, value, limit, f"[{colour}]{verdict}[/]" if colour else "")
    console.print(table)


def write(figures: list[Figure], path: Path) -> None:
    """Write the figures with what they were measured on."""
    machine = {
        "cores": psutil.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }
    report = {"machine": machine, "figures": [figure.as_json() for figure in figures]}
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n")


def main() -> int:
    """Run the rows that were asked for; exit code 1 when one failed, 2 when the load's program is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round of each run")
    parser.add_argument("--full", action="store_true", help=f"with the long rows: {', '.join(sorted(LONG))}")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    parser.add_argument("--against", metavar="REV", help="measure the rows at another commit, too, in turns")
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if not h2load.is_there():
        print(h2load.MISSING, file=sys.stderr)
        return 2
    console = Console()
    rows = options.rows or [row for row in ROWS if options.full or row not in LONG]
    if options.against:
        return against(options.against, rows, options.seconds, console)
    figures, failed = asyncio.run(measure(rows, options.seconds, console))
    show(figures, console)
    write(figures, options.json)
    console.print(f"written to {options.json}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
