"""Which processes a cluster runs: services, their replicas and companions, with addresses and environment."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cluster import readiness, tokens
from services.cluster.home import Home
from services.cluster.ports import Ports
from services.cluster.processes import Spec
from services.runtime.definition import Companion, Definition

REPOSITORY = Path(__file__).parent.parent.parent
# What belongs to the cluster and is no business of a service.
OWN_SETTINGS = {"COMMERCE_HOME", "COMMERCE_DATABASE_URL", "COMMERCE_NATS_URL", "COMMERCE_JWKS_FILE"}
TEMPLATE = re.compile(r"\{(?:secret:(\w+)|(\w+))\}")
DRAIN_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What runs, where. Addresses are "127.0.0.1:port" by code; a service has one for each replica."""

    chosen: Sequence[Definition]
    addresses: Mapping[str, Sequence[str]]
    companions: Mapping[str, str]
    gateway: str

    def names(self, definition: Definition) -> list[str]:
        """The processes of a service: order, order-2, …"""
        count = len(self.addresses[definition.code])
        return [definition.code] + [f"{definition.code}-{number}" for number in range(2, count + 1)]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What every process of the services is told."""

    home: Home
    databases: Mapping[str, str]
    nats_url: str
    jwks: Path
    environment: str
    extra: Mapping[str, str]


def lay_out(
    chosen: Sequence[Definition], replicas: Mapping[str, int], ports: Ports, gateway_port: int
) -> Plan:
    """Claims a port for every process, the first replicas first so that they get the known ones."""
    if unknown := replicas.keys() - {definition.code for definition in chosen}:
        raise ValueError(f"replicas for a service that does not run: {', '.join(sorted(unknown))}")
    if few := [code for code, count in replicas.items() if count < 1]:
        raise ValueError(f"at least one replica of {', '.join(few)}")
    gateway = f"http://{_local(ports.claim(gateway_port))}"
    addresses = {item.code: [_local(ports.claim(item.port))] for item in chosen}
    companions = {
        companion.code: _local(ports.claim(companion.port))
        for item in chosen
        for companion in item.companions
    }
    for item in chosen:
        more = replicas.get(item.code, 1) - 1
        addresses[item.code] += [_local(ports.claim(item.port)) for _ in range(more)]
    return Plan(chosen=chosen, addresses=addresses, companions=companions, gateway=gateway)


def service_specs(plan: Plan, definition: Definition, around: Surroundings) -> list[Spec]:
    """One spec for each replica of a service."""
    shared = _shared(around) | {
        "COMMERCE_SERVICE": definition.code,
        "COMMERCE_DATABASE_URL": around.databases[definition.code],
        "COMMERCE_NATS_URL": around.nats_url,
        "COMMERCE_JWKS_FILE": str(around.jwks),
        "COMMERCE_SERVICE_TOKEN": tokens.for_service(around.home, definition.code),
        "COMMERCE_PAGE_KEY": around.home.secret(f"page_{definition.code}"),
        "COMMERCE_ENVIRONMENT": around.environment,
        "OTEL_SERVICE_NAME": definition.code,
    }
    for code in definition.requires:
        shared[f"COMMERCE_{code.upper()}_ADDRESS"] = ",".join(plan.addresses[code])
    for companion in definition.companions:
        shared |= _filled(companion.owner_environment, plan, companion, around.home)
    return [
        Spec(
            name=name,
            command=[sys.executable, "-m", definition.main],
            environment=shared | {"COMMERCE_LISTEN": address},
            directory=around.home.path,
            log=around.home.log(name),
            ready=readiness.grpc_health(address),
            alive=readiness.grpc_alive(address),
            address=address,
            grace_seconds=DRAIN_SECONDS,
        )
        for name, address in zip(plan.names(definition), plan.addresses[definition.code], strict=True)
    ]


def companion_spec(plan: Plan, companion: Companion, around: Surroundings) -> Spec:
    address = plan.companions[companion.code]
    path = companion.ready_path
    return Spec(
        name=companion.code,
        command=[sys.executable, "-m", companion.module],
        environment=_shared(around)
        | {"OTEL_SERVICE_NAME": companion.code}
        | _filled(companion.environment, plan, companion, around.home),
        directory=around.home.path,
        log=around.home.log(companion.code),
        ready=readiness.http(address, path) if path else readiness.tcp(address),
        alive=readiness.http_alive(address) if path else None,
        address=address,
    )


def _shared(around: Surroundings) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
    paths = [str(REPOSITORY), str(REPOSITORY / "generated"), ours.get("PYTHONPATH", "")]
    return (
        ours
        | {
            "PYTHONPATH": os.pathsep.join(path for path in paths if path),
            # The home is the working directory, and no place for modules.
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
            # Memory: glibc would keep an arena for each of gRPC's threads.
            "MALLOC_ARENA_MAX": "2",
        }
        | dict(around.extra)
    )


def _filled(templates: Mapping[str, str], plan: Plan, companion: Companion, home: Home) -> dict[str, str]:
    words = {"listen": plan.companions[companion.code], "gateway": plan.gateway, "home": str(home.path)}

    def word(match: re.Match[str]) -> str:
        secret, name = match.groups()
        return home.secret(secret) if secret else words[name]

    return {name: TEMPLATE.sub(word, value) for name, value in templates.items()}


def _local(port: int) -> str:
    return f"127.0.0.1:{port}"
