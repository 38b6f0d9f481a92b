"""`commerce import`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from services.cluster.options import HomeOption, OutputOption, home_at, mistakes_in_a_line, screen
from services.cluster.output import Output


def import_(
    store_id: str,
    file: Annotated[
        Path,
        typer.Argument(help="CSV: sku,name,price,currency, then quantity,category_id,tax_class if you like."),
    ],
    import_id: Annotated[str, typer.Option(help="Go on with an import that broke off.")] = "",
    encoding: Annotated[str, typer.Option(help="What the file is in, where it is no UTF-8: cp1252 …")] = "",
    all_or_none: Annotated[
        bool, typer.Option("--all-or-none", help="Take nothing in unless all can be.")
    ] = False,
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Bring a store's products from a CSV file, prices in minor units. Exit code 1 when a row was refused."""
    with mistakes_in_a_line():
        from services.cluster.commands import imports

        console = screen(quiet=output is Output.JSON)
        whole = asyncio.run(
            imports.bring(home_at(home), store_id, file, import_id, console, encoding, all_or_none, output)
        )
    raise typer.Exit(not whole)
