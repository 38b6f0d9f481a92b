"""What a service says about itself, and the graph of all services.

Importing this module or a definition is cheap: no handlers, no gRPC.
"""

from __future__ import annotations

import enum
import importlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})


class Tier(enum.Enum):
    """CORE runs always, OPTIONAL when chosen, INTERNAL is a tool of the cluster and never a process of its own."""

    CORE = "core"
    OPTIONAL = "optional"
    INTERNAL = "internal"


@dataclass(frozen=True, kw_only=True)
class Companion:
    """A process that belongs to a service: one for all its replicas, started before them.

    `environment` is for the companion, `owner_environment` for the service. Their values are templates:
    `{listen}` is the companion's address, `{gateway}` the gateway's URL, `{home}` the cluster's home
    directory, `{secret:name}` a random secret that the home keeps.
    """

    code: str
    module: str
    port: int
    environment: Mapping[str, str] = field(default_factory=lambda: NOTHING, hash=False)
    owner_environment: Mapping[str, str] = field(default_factory=lambda: NOTHING, hash=False)
    # A path that answers 200 when the companion is ready; empty: an open port is enough.
    ready_path: str = ""
    # The variable that asks for it ("yes") or does without it ("no"). Left empty, it runs in development only.
    asked_by: str = ""

    def is_wanted(self, told: Mapping[str, str]) -> bool:
        """Tell whether it runs in an environment; without a variable that asks for it, always."""
        if not self.asked_by:
            return True
        asked = told.get(self.asked_by, "")
        return asked == "yes" if asked else told.get("COMMERCE_ENVIRONMENT", "development") == "development"


@dataclass(frozen=True, kw_only=True)
class Definition:
    """One service. `proto_services` are full names, `requires` codes of other services."""

    code: str
    tier: Tier
    port: int
    proto_services: tuple[str, ...]
    requires: tuple[str, ...] = ()
    version: str = "0.1.0"
    permissions: tuple[str, ...] = ()
    companions: tuple[Companion, ...] = ()
    # PostgreSQL extensions that its schema needs, e.g. "pg_trgm".
    extensions: tuple[str, ...] = ()
    # Payment providers, on the internet: in containers a service has no way out unless it says so.
    asks_providers: bool = False
    module: str = ""

    @property
    def main(self) -> str:
        """The module that `python -m` runs."""
        return self.module or f"services.{self.code}"


class Unsatisfied(ValueError):
    """The chosen services cannot run together; the text says why and what to do."""


def definitions() -> tuple[Definition, ...]:
    """Every service of the repository, by port: whatever package has a definition.py."""
    packages = sorted(path.parent.name for path in Path(__file__).parent.parent.glob("*/definition.py"))
    found = [
        importlib.import_module(f"services.{package}.definition").DEFINITION
        for package in packages
        if package != Path(__file__).parent.name
    ]
    return tuple(sorted(found, key=lambda definition: definition.port))


def with_wanted_companions(services: Iterable[Definition], told: Mapping[str, str]) -> tuple[Definition, ...]:
    """Return the services with those companions only that run in an environment."""
    return tuple(
        replace(item, companions=tuple(each for each in item.companions if each.is_wanted(told)))
        for item in services
    )


def chosen(
    codes: Iterable[str] | None = None, available: Sequence[Definition] | None = None
) -> tuple[Definition, ...]:
    """The services to run, each after those that it requires; None chooses all.

    CORE services are always among them. Raises Unsatisfied for an unknown code, a requirement that was
    not chosen, or a circle of requirements.
    """
    known = {
        definition.code: definition
        for definition in (definitions() if available is None else available)
        if definition.tier is not Tier.INTERNAL
    }
    wanted = set(known) if codes is None else set(codes)
    if unknown := wanted - known.keys():
        raise Unsatisfied(f"no service is called {_words(unknown)}; there are {_words(known)}")
    wanted |= {code for code, definition in known.items() if definition.tier is Tier.CORE}
    for code in sorted(wanted):
        if missing := set(known[code].requires) - wanted:
            raise Unsatisfied(f"{code} requires {_words(missing)}: choose that too, or leave {code} out")
    graph = {code: sorted(known[code].requires) for code in sorted(wanted, key=lambda code: known[code].port)}
    try:
        return tuple(known[code] for code in TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise Unsatisfied(f"services require each other in a circle: {' → '.join(error.args[1])}") from error


def _words(codes: Iterable[str]) -> str:
    return ", ".join(sorted(codes))
