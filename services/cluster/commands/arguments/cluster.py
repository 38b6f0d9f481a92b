"""The commands about the cluster itself."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from services.cluster.options import HomeOption, OutputOption, home_at, mistakes_in_a_line, screen
from services.cluster.output import Output

DOWN_SECONDS = 60.0


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
    with mistakes_in_a_line():
        from services.cluster.commands.up import run

        counts = dict(_count(one) for text in replicas or () for one in text.split(","))
        codes = None if services is None else [code.strip() for code in services.split(",") if code.strip()]
        code = asyncio.run(run(home_at(home), codes, counts, screen()))
    raise typer.Exit(code)


def down(home: HomeOption = None) -> None:
    """Stop the cluster that runs in this home."""
    with mistakes_in_a_line():
        from services.cluster.commands.up import end

        place = home_at(home)
        if not end(place, DOWN_SECONDS):
            print(f"no cluster runs in {place.path}")


def status(output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """Tell where everything is. Exit code 1 when no cluster runs."""
    with mistakes_in_a_line():
        from services.cluster.commands.status import show

        show(home_at(home), output, screen())


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
    with mistakes_in_a_line():
        from services.cluster import tokens
        from services.cluster.output import print_json

        if lacking := tokens.lacking(role, store=store, customer=customer):
            raise typer.BadParameter(f"a token of the role {role} needs {lacking}")
        place = home_at(home)
        tokens.check_development(tokens.environment(place))
        minted = tokens.mint(place, role, store, customer, subject, lifetime)
        if output is Output.JSON:
            print_json({"token": minted, "expiresInSeconds": lifetime})
        else:
            print(minted)


def psql(
    statement: Annotated[
        str, typer.Option("-c", "--command", metavar="SQL", help="Carry this out and end.")
    ] = "",
    role: Annotated[str, typer.Option(help="A service: order, payment …; default: the administrator.")] = "",
    write: Annotated[bool, typer.Option("--write", help="Allow changes; without it nothing can be.")] = False,
    home: HomeOption = None,
) -> None:
    """Open PostgreSQL's own client at the cluster's database, to read."""
    with mistakes_in_a_line():
        from services.cluster.commands.psql import become

        become(home_at(home), role, statement, write)


def doctor(output: OutputOption = Output.TEXT, home: HomeOption = None) -> None:
    """Look at everything that can be wrong. Exit code 1 when something is, or when no cluster runs."""
    with mistakes_in_a_line():
        from services.cluster.commands.doctor import report

        well = asyncio.run(report(home_at(home), output, screen()))
    raise typer.Exit(not well)


def reset(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, home: HomeOption = None
) -> None:
    """Delete this home's data, keys and logs. The cluster must be stopped."""
    with mistakes_in_a_line():
        place = home_at(home)
        if not place.path.exists():
            raise ValueError(f"there is nothing in {place.path}")
        if place.supervisor() is not None:
            raise ValueError(f"a cluster runs in {place.path}; stop it with: commerce down")
        if not yes and not typer.confirm(f"Delete everything in {place.path}?"):
            raise typer.Exit(1)
        place.delete()
        print(f"deleted {place.path}")


def _count(text: str) -> tuple[str, int]:
    code, equals, count = text.partition("=")
    if not equals or not count.isdigit():
        raise ValueError(f"replicas are written as in order=2, not {text}")
    return code, int(count)
