"""The public keys, read again while the gateway runs.

jwt_authn reads a file once, but fetches from an HTTP server again and again, and keeps what it had when that fails.
So the gateway serves the file to itself, on a socket without a port.
"""

from __future__ import annotations

import json
from pathlib import Path

from services.gateway.values import Json, extension, seconds

NAME = "keys"
PATH = "/jwks.json"
# A key that was added is taken within five seconds, with one attempt in vain.
INTERVAL_SECONDS = 2
FAILED_INTERVAL_SECONDS = 0.5
TIMEOUT_SECONDS = 1


def remote() -> Json:
    """Where the token filter gets the keys from. It asks beforehand: no call waits for them but the first ones."""
    return {
        "http_uri": {"uri": f"http://{NAME}{PATH}", "cluster": NAME, "timeout": seconds(TIMEOUT_SECONDS)},
        "cache_duration": seconds(INTERVAL_SECONDS),
        "async_fetch": {"fast_listener": True, "failed_refetch_duration": seconds(FAILED_INTERVAL_SECONDS)},
    }


def cluster(gateway: str) -> Json:
    """The gateway itself, which listens on "host:port" for others."""
    endpoint = {"endpoint": {"address": _socket(gateway)}}
    return {
        "name": NAME,
        "type": "STATIC",
        "connect_timeout": seconds(TIMEOUT_SECONDS),
        "load_assignment": {"cluster_name": NAME, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def listener(gateway: str, jwks: Path) -> Json:
    """Serves the file as it is at each moment."""
    code = (Path(__file__).parent / "keys.lua").read_text()
    files = extension(
        "envoy.filters.http.lua",
        "filters.http.lua.v3.Lua",
        default_source_code={"inline_string": f"local FILE = {json.dumps(str(jwks.absolute()))}\n{code}"},
    )
    router = extension("envoy.filters.http.router", "filters.http.router.v3.Router")
    manager = extension(
        "http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=NAME,
        route_config={"virtual_hosts": [{"name": NAME, "domains": ["*"]}]},
        http_filters=[files, router],
    )
    return {"name": NAME, "address": _socket(gateway), "filter_chains": [{"filters": [manager]}]}


def _socket(gateway: str) -> Json:
    """An abstract socket: it needs no file, and whoever can reach it reads what is public."""
    return {"pipe": {"path": f"@commerce-{NAME}-{gateway}"}}
