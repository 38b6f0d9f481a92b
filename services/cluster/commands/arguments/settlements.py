"""`commerce settlements` and `commerce discrepancies`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from services.cluster.options import HomeOption, OutputOption, group, home_at, mistakes_in_a_line, screen
from services.cluster.output import Output

settlements_group = group("Providers' reports against the books.")


@settlements_group.command()
def fetch(
    gateway: Annotated[str, typer.Argument(help="The provider: sandbox, stripe, paypal.")],
    day: Annotated[str, typer.Option(help="As in 2026-11-30, UTC; default: yesterday.")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Fetch a day's report from the provider and compare it. Exit code 1 when something differs."""
    with mistakes_in_a_line():
        from services.cluster.commands import settlements

        whole = asyncio.run(settlements.fetch(home_at(home), gateway, day, output, screen()))
    raise typer.Exit(not whole)


@settlements_group.command("import")
def import_settlement(
    gateway: Annotated[str, typer.Argument(help="The provider: sandbox, stripe, paypal.")],
    file: Annotated[Path, typer.Argument(help="CSV, as the sandbox's /v1/settlement.csv has it.")],
    day: Annotated[str, typer.Option(help="As in 2026-11-30, UTC; default: all that have lines.")] = "",
    settlement_id: Annotated[str, typer.Option(help="Go on with one that broke off.")] = "",
    encoding: Annotated[str, typer.Option(help="What the file is in, where it is no UTF-8: cp1252 …")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Compare a report in a CSV file. Exit code 1 when something differs."""
    with mistakes_in_a_line():
        from services.cluster.commands import settlements

        console = screen()
        whole = asyncio.run(
            settlements.bring(home_at(home), gateway, file, day, settlement_id, output, console, encoding)
        )
    raise typer.Exit(not whole)


@settlements_group.command("list")
def list_settlements(output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """List the reports taken in, the newest first."""
    with mistakes_in_a_line():
        from services.cluster.commands import settlements

        asyncio.run(settlements.show(home_at(home), output, screen()))


def discrepancies(
    store: Annotated[str, typer.Option(help="Only of this store, a UUID.")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """List what differs between the books and the providers' reports. Exit code 1 when something does."""
    with mistakes_in_a_line():
        from services.cluster.commands import settlements

        none = asyncio.run(settlements.differences(home_at(home), store, output, screen()))
    raise typer.Exit(not none)
