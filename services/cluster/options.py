"""What commands share as they are typed: --home, -o, and that a mistake is one line.

The modules of arguments import what does the work inside their functions, so that --help answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from services.cluster.output import Output, visible

if TYPE_CHECKING:
    from rich.console import Console

    from services.cluster.home import Home


class Group(TyperGroup):
    """Its help tells each command's purpose whole, on as many lines as that takes; click's own cuts it.

    What is typed as empty is a mistake, and never what was left out: most often a variable of the shell has no value.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for before, word in pairwise(["", *args]):
            if not word or (word.startswith("--") and word.endswith("=")):
                after = f" after {before}" if before and not word else ""
                raise typer.BadParameter(f"an argument is empty{after}: {word or repr(word)}", ctx)
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, command.get_short_help_str(1000)) for name, command in commands if command]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def group(help: str) -> typer.Typer:
    """Make a group of commands, which says what there is when nothing else is typed."""
    return typer.Typer(cls=Group, help=help, no_args_is_help=True)


def _output(text: str) -> Output:
    """Read -o. Typer's own words for a wrong one begin with those of the library that it asks."""
    try:
        return Output(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, map(str, Output)))}") from None


HomeOption = Annotated[
    Path | None,
    typer.Option("--home", help="The cluster's directory; default: COMMERCE_HOME, else .commerce"),
]
OutputOption = Annotated[
    Output,
    typer.Option(
        "-o", "--output", help="For people, or for programs.", parser=_output, metavar="[text|json]"
    ),
]


@contextmanager
def mistakes_in_a_line() -> Iterator[None]:
    """Turn what a person can mend into one line on stderr and exit code 1."""
    from services.cluster.home import HomeError

    try:
        yield
    except (HomeError, ValueError, OSError) as error:
        print(f"commerce: {words_of(error)}", file=sys.stderr)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def words_of(error: Exception) -> str:
    """Return what a person is told of a mistake, in a line."""
    if isinstance(error, OSError) and error.strerror:
        return visible(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    return visible(str(error))


def home_at(path: Path | None) -> Home:
    """Return the home that --home names, or else the usual one."""
    from services.cluster.home import Home

    return Home(path)


def screen(quiet: bool = False) -> Console:
    """Return what a command prints on."""
    from services.cluster.screen import Screen

    return Screen(quiet=quiet)
