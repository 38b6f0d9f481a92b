"""`commerce webhooks`."""

from __future__ import annotations

import asyncio

import typer

from services.cluster.options import HomeOption, OutputOption, group, home_at, mistakes_in_a_line, screen
from services.cluster.output import Output

webhooks_group = group("Providers' messages that could not be applied.")


@webhooks_group.command()
def parked(output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """List the messages that could not be applied, with the reason; the newest first."""
    with mistakes_in_a_line():
        from services.cluster.commands import webhooks

        asyncio.run(webhooks.parked(home_at(home), output, screen()))


@webhooks_group.command()
def replay(gateway: str, event: str, output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """Apply a parked message anew. Exit code 1 when it stays parked."""
    with mistakes_in_a_line():
        from services.cluster.commands import webhooks

        applied = asyncio.run(webhooks.replay(home_at(home), gateway, event, output, screen()))
    raise typer.Exit(not applied)
