"""`commerce payments`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.cluster.options import HomeOption, OutputOption, group, home_at, mistakes_in_a_line, screen
from services.cluster.output import Output

payments_group = group("Payments that do not move: what was asked of providers, and asking now.")


@payments_group.command()
def unsettled(
    gateway: Annotated[str, typer.Option(help="Only of this provider: sandbox, stripe, paypal.")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """List what providers were asked and have not answered, and what waits; the longest waiting first."""
    with mistakes_in_a_line():
        from services.cluster.commands import payments

        asyncio.run(payments.unsettled(home_at(home), gateway, output, screen()))


@payments_group.command("show")
def show_payment(
    payment_or_order_id: Annotated[str, typer.Argument(metavar="PAYMENT_OR_ORDER_ID")],
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Print a payment: its state and sums, all that was done with references and traces, what is asked next."""
    with mistakes_in_a_line():
        from services.cluster.commands import payments

        asyncio.run(payments.show(home_at(home), payment_or_order_id, output, screen()))


@payments_group.command("settle")
def settle_payment(payment_id: str, output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """Ask the provider at once what became of a payment's open operation."""
    with mistakes_in_a_line():
        from services.cluster.commands import payments

        asyncio.run(payments.settle(home_at(home), payment_id, output, screen()))
