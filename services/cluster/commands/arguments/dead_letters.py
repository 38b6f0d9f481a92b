"""`commerce dead-letters`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.cluster.options import HomeOption, OutputOption, home_at, mistakes_in_a_line, screen
from services.cluster.output import Output


def dead_letters(
    replay: Annotated[str, typer.Option(help="Send this event, by its id, or all of them again.")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Show the events that could not take effect, with the reason; or give them another chance."""
    with mistakes_in_a_line():
        from services.cluster.commands import dead_letters

        work = (
            dead_letters.replay(home_at(home), replay, output, screen())
            if replay
            else dead_letters.show(home_at(home), output, screen())
        )
        asyncio.run(work)
