"""The gateway's settings: environment variables."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from services.gateway import collector, rates
from services.gateway.collector import Collector
from services.runtime.definition import Definition

DESCRIPTORS = Path(__file__).parents[2] / "generated" / "commerce" / "descriptors.binpb"


class Missing(LookupError):
    """A setting without a value, or with a wrong one; the text names it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Addresses are "host:port"; names are looked up again and again, and all their addresses are used."""

    listen: str
    admin: str
    jwks: Path
    descriptors: Path
    collector: Collector | None
    sampling: float
    resource: Mapping[str, str]
    cors_origins: tuple[str, ...]
    development: bool
    tokenless_calls_a_second: int
    backends: Mapping[str, Sequence[str]]


def from_environment(environment: Mapping[str, str], definitions: Sequence[Definition]) -> Settings:
    """Reads the settings. A service is offered when COMMERCE_<CODE>_ADDRESS has one address or more. Raises Missing."""
    addresses = {
        item.code: _list(environment.get(f"COMMERCE_{item.code.upper()}_ADDRESS", "")) for item in definitions
    }
    if definitions and not any(addresses.values()):
        raise Missing("COMMERCE_<SERVICE>_ADDRESS: no service to stand before")
    jwks = environment.get("COMMERCE_JWKS_FILE")
    if not jwks:
        raise Missing("COMMERCE_JWKS_FILE: the public keys that tokens are checked with")
    listen = environment.get("COMMERCE_GATEWAY_LISTEN", "127.0.0.1:8080")
    return Settings(
        listen=listen,
        admin=environment.get("COMMERCE_GATEWAY_ADMIN", "127.0.0.1:9901"),
        jwks=Path(jwks),
        descriptors=Path(environment.get("COMMERCE_DESCRIPTORS_FILE", str(DESCRIPTORS))),
        collector=_collector(environment),
        sampling=sampling(environment),
        resource=_resource(environment, f"{socket.gethostname()}:{listen.rpartition(':')[2]}"),
        cors_origins=tuple(_list(environment.get("COMMERCE_CORS_ORIGINS", ""))),
        development=environment.get("COMMERCE_ENVIRONMENT") == "development",
        tokenless_calls_a_second=_positive(
            environment, "COMMERCE_TOKENLESS_CALLS_A_SECOND", rates.CALLS_A_SECOND
        ),
        backends=addresses,
    )


def sampling(environment: Mapping[str, str]) -> float:
    """The share of traces to record, as OTEL_TRACES_SAMPLER and its argument say."""
    sampler = environment.get("OTEL_TRACES_SAMPLER", "parentbased_always_on").removeprefix("parentbased_")
    if sampler == "traceidratio":
        return float(environment.get("OTEL_TRACES_SAMPLER_ARG", "1"))
    return 0.0 if sampler == "always_off" else 1.0


def _collector(environment: Mapping[str, str]) -> Collector | None:
    try:
        return collector.from_environment(environment)
    except collector.Unusable as error:
        raise Missing(str(error)) from None


def _resource(environment: Mapping[str, str], instance: str) -> dict[str, str]:
    """Who the gateway is, to whoever reads its spans; an operator's word goes first."""
    pairs = (pair.partition("=") for pair in _list(environment.get("OTEL_RESOURCE_ATTRIBUTES", "")))
    told = {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}
    return {"service.version": Definition.version, "service.instance.id": instance, **told}


def _positive(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name) or str(default)
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise Missing(f"{name}: must be a whole number of 1 or more")
    return int(value)


def _list(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]
