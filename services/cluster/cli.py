"""The console script `commerce`. Imports are inside the commands, so that --help answers at once."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from services.cluster.output import Output

if TYPE_CHECKING:
    from rich.console import Console

    from services.cluster.home import Home


class Group(TyperGroup):
    """Its help tells each command's purpose whole, on as many lines as that takes; click's own cuts it."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(1000)) for name, command in commands if command]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


app = typer.Typer(
    cls=Group,
    help="Commerce on one machine: PostgreSQL, NATS JetStream, Envoy and the services, each its own process.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
orders = typer.Typer(
    cls=Group, help="Orders that do not move: which, why, and another try.", no_args_is_help=True
)
app.add_typer(orders, name="orders")
settlements = typer.Typer(cls=Group, help="Providers' reports against the books.", no_args_is_help=True)
app.add_typer(settlements, name="settlements")
payments = typer.Typer(
    cls=Group,
    help="Payments that do not move: what was asked of providers, and asking now.",
    no_args_is_help=True,
)
app.add_typer(payments, name="payments")
webhooks = typer.Typer(cls=Group, help="Providers' messages that could not be applied.", no_args_is_help=True)
app.add_typer(webhooks, name="webhooks")
HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The cluster's directory; default: COMMERCE_HOME, else .commerce"),
]


def _output(text: str) -> Output:
    """Read -o. Typer's own words for a wrong one begin with those of the library that it asks."""
    try:
        return Output(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, map(str, Output)))}") from None


OutputOption = Annotated[
    Output,
    typer.Option(
        "-o", "--output", help="For people, or for programs.", parser=_output, metavar="[text|json]"
    ),
]
DOWN_SECONDS = 60.0


@app.command()
def up(
    replicas: Annotated[
        list[str] | None, typer.Option(help="Processes of a service, as in order=2; may be repeated.")
    ] = None,
    services: Annotated[
        str | None,
        typer.Option(help="Run only these, as in catalog,payment; those that are core run always."),
    ] = None,
    home: HomeOption = None,
) -> None:
    """Start the whole cluster and stay; Ctrl-C stops it all."""
    from services.cluster.commands.up import run

    with told():
        counts = dict(_replica(one) for text in replicas or () for one in text.split(","))
        codes = None if services is None else [code.strip() for code in services.split(",") if code.strip()]
        code = asyncio.run(run(_home(home), codes, counts, _console()))
    raise typer.Exit(code)


@app.command()
def down(home: HomeOption = None) -> None:
    """Stop the cluster that runs in this home."""
    from services.cluster.commands.up import end

    with told():
        place = _home(home)
        if not end(place, DOWN_SECONDS):
            print(f"no cluster runs in {place.path}")


@app.command()
def status(
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Tell where everything is. Exit code 1 when no cluster runs."""
    from services.cluster.output import counted, print_json

    with told():
        state = _home(home).state()
    if output is Output.JSON:
        print_json(state)
        return
    console = _console()
    console.print(
        f"gateway   {state['gateway']}\ndatabase  {state['database']}\nnats      {state['nats']}",
        soft_wrap=True,
    )
    for name, process in state["processes"].items():
        again = f"  restarted {counted(process['restarts'], 'time')}" if process["restarts"] else ""
        line = f"{name:<12} {process['state']:<10} {process['address']}  pid {process['pid']}{again}"
        console.print(line, soft_wrap=True, highlight=False)


@app.command()
def token(
    role: Annotated[
        str, typer.Option(help="As the contract names it: store_admin, customer, platform_admin, …")
    ],
    store: Annotated[str | None, typer.Option(help="The store that it is for, a UUID.")] = None,
    customer: Annotated[str | None, typer.Option(help="The customer that it speaks for, a UUID.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="The user; default: the customer, else a new UUID.")
    ] = None,
    lifetime: Annotated[int, typer.Option(help="Seconds until it expires.", min=1, max=10**9)] = 12 * 3600,
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Print a bearer token. Only for a development cluster."""
    with told():
        from services.cluster import tokens
        from services.cluster.output import print_json

        if lacking := tokens.lacking(role, store=store, customer=customer):
            raise typer.BadParameter(f"a token of the role {role} needs {lacking}")
        place = _home(home)
        tokens.check_development(tokens.environment(place))
        minted = tokens.mint(place, role, store, customer, subject, lifetime)
        if output is Output.JSON:
            print_json({"token": minted, "expiresInSeconds": lifetime})
        else:
            print(minted)


@app.command()
def watch(
    order_id: str,
    after_sequence: Annotated[int, typer.Option(help="Only what came after this transition.", min=0)] = 0,
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Follow an order live, a line for each transition, until its last."""
    with told():
        from services.cluster.commands import watch

        asyncio.run(watch.watch(_home(home), order_id, after_sequence, output, _console()))


@app.command()
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
    with told():
        from services.cluster.traces import tracing

        asyncio.run(tracing.show(_home(home), any_id, output, _console()))


@orders.command()
def stuck(output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """List the orders that the driver has given up, or that fail again and again; the longest waiting first."""
    with told():
        from services.cluster.commands import orders

        asyncio.run(orders.stuck(_home(home), output, _console()))


@orders.command()
def explain(order_id: str, output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """Say what an order waits for, how it failed last, and when it is tried again."""
    with told():
        from services.cluster.commands import orders

        asyncio.run(orders.explain(_home(home), order_id, output, _console()))


@orders.command()
def retry(
    order_id: Annotated[
        str, typer.Argument(help="The order, or all that are stuck.", metavar="ORDER_ID|all")
    ],
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Have the driver try an order again at once."""
    with told():
        from services.cluster.commands import orders

        asyncio.run(orders.retry(_home(home), order_id, output, _console()))


@payments.command()
def unsettled(
    gateway: Annotated[str, typer.Option(help="Only of this provider: sandbox, stripe, paypal.")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """List what providers were asked and have not answered, and what waits; the longest waiting first."""
    with told():
        from services.cluster.commands import payments

        asyncio.run(payments.unsettled(_home(home), gateway, output, _console()))


@payments.command("show")
def show_payment(
    payment_or_order_id: Annotated[str, typer.Argument(metavar="PAYMENT_OR_ORDER_ID")],
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Print a payment: its state and sums, all that was done with references and traces, what is asked next."""
    with told():
        from services.cluster.commands import payments

        asyncio.run(payments.show(_home(home), payment_or_order_id, output, _console()))


@payments.command("settle")
def settle_payment(payment_id: str, output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """Ask the provider at once what became of a payment's open operation."""
    with told():
        from services.cluster.commands import payments

        asyncio.run(payments.settle(_home(home), payment_id, output, _console()))


@webhooks.command()
def parked(output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """List the messages that could not be applied, with the reason; the newest first."""
    with told():
        from services.cluster.commands import payments

        asyncio.run(payments.parked(_home(home), output, _console()))


@webhooks.command()
def replay(gateway: str, event: str, output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """Apply a parked message anew. Exit code 1 when it stays parked."""
    with told():
        from services.cluster.commands import payments

        applied = asyncio.run(payments.replay(_home(home), gateway, event, output, _console()))
    raise typer.Exit(not applied)


@app.command("import")
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
    with told():
        from services.cluster.commands import imports

        console = _console(quiet=output is Output.JSON)
        whole = asyncio.run(
            imports.bring(_home(home), store_id, file, import_id, console, encoding, all_or_none, output)
        )
    raise typer.Exit(not whole)


@settlements.command()
def fetch(
    gateway: Annotated[str, typer.Argument(help="The provider: sandbox, stripe, paypal.")],
    day: Annotated[str, typer.Option(help="As in 2026-11-30, UTC; default: yesterday.")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Fetch a day's report from the provider and compare it. Exit code 1 when something differs."""
    with told():
        from services.cluster.commands import settlements

        whole = asyncio.run(settlements.fetch(_home(home), gateway, day, output, _console()))
    raise typer.Exit(not whole)


@settlements.command("import")
def import_settlement(
    gateway: Annotated[str, typer.Argument(help="The provider: sandbox, stripe, paypal.")],
    file: Annotated[Path, typer.Argument(help="CSV, as the sandbox's /v1/settlement.csv has it.")],
    day: Annotated[str, typer.Option(help="As in 2026-11-30, UTC; default: all that have lines.")] = "",
    settlement_id: Annotated[str, typer.Option(help="Go on with one that broke off.")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Compare a report in a CSV file. Exit code 1 when something differs."""
    with told():
        from services.cluster.commands import settlements

        console = _console()
        whole = asyncio.run(
            settlements.bring(_home(home), gateway, file, day, settlement_id, output, console)
        )
    raise typer.Exit(not whole)


@settlements.command("list")
def list_settlements(output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """List the reports taken in, the newest first."""
    with told():
        from services.cluster.commands import settlements

        asyncio.run(settlements.show(_home(home), output, _console()))


@app.command()
def discrepancies(
    store: Annotated[str, typer.Option(help="Only of this store, a UUID.")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """List what differs between the books and the providers' reports. Exit code 1 when something does."""
    with told():
        from services.cluster.commands import settlements

        none = asyncio.run(settlements.differences(_home(home), store, output, _console()))
    raise typer.Exit(not none)


@app.command()
def dead_letters(
    replay: Annotated[str, typer.Option(help="Send this event, by its id, or all of them again.")] = "",
    output: OutputOption = Output.TEXT,
    home: HomeOption = None,
) -> None:
    """Show the events that could not take effect, with the reason; or give them another chance."""
    with told():
        from services.cluster.commands import dead_letters

        work = (
            dead_letters.replay(_home(home), replay, output, _console())
            if replay
            else dead_letters.show(_home(home), output, _console())
        )
        asyncio.run(work)


@app.command()
def psql(
    statement: Annotated[
        str, typer.Option("-c", "--command", metavar="SQL", help="Carry this out and end.")
    ] = "",
    role: Annotated[str, typer.Option(help="A service: order, payment …; default: the administrator.")] = "",
    write: Annotated[bool, typer.Option("--write", help="Allow changes; without it nothing can be.")] = False,
    home: HomeOption = None,
) -> None:
    """Open PostgreSQL's own client at the cluster's database, to read."""
    with told():
        from services.cluster.commands.psql import become

        become(_home(home), role, statement, write)


@app.command()
def doctor(output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """Look at everything that can be wrong. Exit code 1 when something is, or when no cluster runs."""
    with told():
        from services.cluster.commands.doctor import report

        well = asyncio.run(report(_home(home), output, _console()))
    raise typer.Exit(not well)


@app.command()
def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, home: HomeOption = None
) -> None:
    """Delete this home's data, keys and logs. The cluster must be stopped."""
    with told():
        place = _home(home)
        if not place.path.exists():
            raise ValueError(f"there is nothing in {place.path}")
        if place.supervisor() is not None:
            raise ValueError(f"a cluster runs in {place.path}; stop it with: commerce down")
        if not yes and not typer.confirm(f"Delete everything in {place.path}?"):
            raise typer.Exit(1)
        place.delete()
        print(f"deleted {place.path}")


@app.command()
def demo(
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Its directory; default: demo within COMMERCE_HOME or .commerce"),
    ] = None,
) -> None:
    """Tell the story of some orders on a cluster of its own, then stop it."""
    from services.cluster.demo.story import main as story

    with told():
        code = story(home)
    raise typer.Exit(code)


def main() -> None:
    """The console script's entry."""
    app(prog_name="commerce")


@contextmanager
def told() -> Iterator[None]:
    """Turns what a person can mend into one line on stderr and exit code 1."""
    from services.cluster.home import HomeError

    try:
        yield
    except (HomeError, ValueError, OSError) as error:
        print(f"commerce: {_words(error)}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _home(path: Path | None) -> Home:
    from services.cluster.home import Home

    return Home(path)


def _console(quiet: bool = False) -> Console:
    from rich.console import Console

    return Console(quiet=quiet)


def _replica(text: str) -> tuple[str, int]:
    code, equals, count = text.partition("=")
    if not equals or not count.isdigit():
        raise ValueError(f"replicas are written as in order=2, not {text}")
    return code, int(count)
