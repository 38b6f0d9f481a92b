"""All commands, in the order in which --help names them."""

import typer

from services.cluster.commands.arguments import (
    cluster,
    dead_letters,
    imports,
    orders,
    payments,
    settlements,
    webhooks,
)
from services.cluster.demo.arguments import demo
from services.cluster.options import Group
from services.cluster.traces.arguments import trace

app = typer.Typer(
    cls=Group,
    help="Commerce on one machine: PostgreSQL, NATS JetStream, Envoy and the services, each its own process.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(cluster.up)
app.command()(cluster.down)
app.command()(cluster.status)
app.command()(cluster.token)
app.command()(orders.watch)
app.command()(trace)
app.command("import")(imports.import_)
app.command()(settlements.discrepancies)
app.command()(dead_letters.dead_letters)
app.command()(cluster.psql)
app.command()(cluster.doctor)
app.command()(cluster.reset)
app.command()(demo)
app.add_typer(orders.orders_group, name="orders")
app.add_typer(settlements.settlements_group, name="settlements")
app.add_typer(payments.payments_group, name="payments")
app.add_typer(webhooks.webhooks_group, name="webhooks")
