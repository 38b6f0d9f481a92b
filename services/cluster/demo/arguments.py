"""`commerce demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.cluster.options import mistakes_in_a_line


def demo(
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Its directory; default: demo within COMMERCE_HOME or .commerce"),
    ] = None,
) -> None:
    """Tell the story of some orders on a cluster of its own, then stop it."""
    with mistakes_in_a_line():
        from services.cluster.demo.story import main

        code = main(home)
    raise typer.Exit(code)
