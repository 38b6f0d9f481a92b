"""`python -m tests.bench [row …] [--seconds N] [--full] [--json FILE]`: what the system costs."""

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
from rich.table import Table

from tests.bench import calls, h2load, idle, streams, volume, writes
from tests.bench.figures import Figure
from tests.bench.house import House

Row = Callable[[House], Awaitable[list[Figure]]]
ROWS: dict[str, Row] = {
    "idle": idle.rest,
    "runtime": calls.runtime,
    "get": calls.get_order,
    "rest": calls.rest,
    "create": writes.create_order,
    "checkouts": writes.whole_checkouts,
    "latency": streams.latency,
    "streams": streams.many_streams,
    "volume": volume.volume,
}
LONG = {"volume"}  # More than a minute: only when asked for, or with --full.


async def measure(rows: list[str], seconds: float, console: Console) -> list[Figure]:
    """Measure the rows one after the other. One that fails is told, and the others go on."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="commerce-bench-") as folder:
        Path(folder).chmod(0o711)
        async with AsyncExitStack() as stack:
            house = House(Path(folder), seconds, stack)
            for row in rows:
                began = time.monotonic()
                found = await ROWS[row](house)
                figures += found
                for figure in found:
                    what, value, limit, verdict, _ = figure.shown()
                    console.print(f"{what:<50} {value:>12}  {limit:<16} {verdict}", highlight=False)
                console.print(f"[dim]{row}: {time.monotonic() - began:.0f} s[/]", highlight=False)
    return figures


def show(figures: list[Figure], console: Console) -> None:
    """Print the table."""
    table = Table("figure", "value", "target (stretch)", "", "measured", box=None, pad_edge=False)
    table.columns[1].justify = "right"
    colours = {"stretch": "green", "met": "green", "NOT MET": "red"}
    for figure in figures:
        what, value, limit, verdict, detail = figure.shown()
        colour = colours.get(verdict)
        table.add_row(what, value, limit, f"[{colour}]{verdict}[/]" if colour else "", detail)
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
    """Run the rows that were asked for, or all; exit code 2 when the load's program is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="row", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each round of each run")
    parser.add_argument("--full", action="store_true", help=f"with the long rows: {', '.join(sorted(LONG))}")
    parser.add_argument("--json", type=Path, default=Path("bench.json"))
    options = parser.parse_args()
    if unknown := set(options.rows) - ROWS.keys():
        parser.error(f"there is no row {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    if not h2load.is_there():
        print(h2load.MISSING, file=sys.stderr)
        return 2
    console = Console()
    rows = options.rows or [row for row in ROWS if options.full or row not in LONG]
    figures = asyncio.run(measure(rows, options.seconds, console))
    show(figures, console)
    write(figures, options.json)
    console.print(f"written to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
