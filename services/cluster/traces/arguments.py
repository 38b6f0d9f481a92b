"""`commerce trace`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.cluster.options import HomeOption, OutputOption, home_at, mistakes_in_a_line, screen
from services.cluster.output import Output


def trace(
    any_id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="An order's, payment's, event's, request's … or a reply's x-trace-id."
        ),
    ],
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Print each trace of an id as a waterfall, and what the logs say of it."""
    with mistakes_in_a_line():
        from services.cluster.traces import tracing

        asyncio.run(tracing.show(home_at(home), any_id, output, screen()))
