"""`commerce watch` and `commerce orders`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.cluster.options import HomeOption, OutputOption, group, home_at, mistakes_in_a_line, screen
from services.cluster.output import Output

orders_group = group("Orders that do not move: which, why, and another try.")


def watch(
    order_id: str,
    after_sequence: Annotated[
        int, typer.Option(help="Only what came after this transition.", min=0, max=2**63 - 1)
    ] = 0,
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Follow an order live, a line for each transition, until its last."""
    with mistakes_in_a_line():
        from services.cluster.commands import watch

        asyncio.run(watch.watch(home_at(home), order_id, after_sequence, output, screen()))


@orders_group.command()
def stuck(output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """List the orders that the driver has given up, or that fail again and again; the longest waiting first."""
    with mistakes_in_a_line():
        from services.cluster.commands import orders

        asyncio.run(orders.stuck(home_at(home), output, screen()))


@orders_group.command()
def explain(order_id: str, output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """Say what an order waits for, how it failed last, and when it is tried again."""
    with mistakes_in_a_line():
        from services.cluster.commands import orders

        asyncio.run(orders.explain(home_at(home), order_id, output, screen()))


@orders_group.command()
def retry(
    order_id: Annotated[
        str, typer.Argument(help="The order, or all that are stuck.", metavar="ORDER_ID|all")
    ],
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Have the driver try an order again at once."""
    with mistakes_in_a_line():
        from services.cluster.commands import orders

        asyncio.run(orders.retry(home_at(home), order_id, output, screen()))
