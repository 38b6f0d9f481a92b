"""The public keys, read again while the gateway runs.

jwt_authn reads a file once, and remembers tokens longer than their keys. But a filter whose configuration is discovered
is replaced whole when that changes, with all that it remembers, and kept when what comes is no configuration. So the
gateway serves the filter with the keys in it to itself, on a socket without a port.
"""

from __future__ import annotations

import json
from pathlib import Path

from services.gateway.values import Json, extension, lua, seconds

NAME = "keys"
# A change counts within five seconds, with one attempt in vain: Envoy waits up to a second more.
INTERVAL_SECONDS = 1
TIMEOUT_SECONDS = 1
# Where the keys and their version are put; nothing else in a filter is called so.
KEYS, VERSION = "commerce.keys", "commerce.keys.version"
WITHIN = {"inline_string": KEYS}


def discovered(kept: Json, jwks: Path) -> Json:
    """A filter that has WITHIN in it, as one that changes with the file, which Envoy needs to start."""
    return {
        "name": kept["name"],
        "config_discovery": {
            "config_source": {
                "resource_api_version": "V3",
                "api_config_source": {
                    "api_type": "REST",
                    "transport_api_version": "V3",
                    "cluster_names": [NAME],
                    "refresh_delay": seconds(INTERVAL_SECONDS),
                    "request_timeout": seconds(TIMEOUT_SECONDS),
                },
            },
            "default_config": _reading(kept["typed_config"], jwks),
            "apply_default_config_without_warming": True,
            "type_urls": [kept["typed_config"]["@type"]],
        },
    }


def _reading(config: Json, jwks: Path) -> Json:
    from_file = json.dumps({"filename": str(jwks.absolute())})
    reading: Json = json.loads(json.dumps(config).replace(json.dumps(WITHIN), from_file))
    return reading


def cluster(gateway: str) -> Json:
    """The gateway itself, which listens on "host:port" for others."""
    endpoint = {"endpoint": {"address": _socket(gateway)}}
    return {
        "name": NAME,
        "type": "STATIC",
        "connect_timeout": seconds(TIMEOUT_SECONDS),
        "load_assignment": {"cluster_name": NAME, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def listener(gateway: str, kept: Json, jwks: Path) -> Json:
    """Serves the filter with the file as it is at each moment: a DiscoveryResponse, of Envoy's API."""
    answer = {
        "version_info": VERSION,
        "resources": [{"@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", **kept}],
    }
    before, rest = json.dumps(answer).split(json.dumps(VERSION))
    between, after = rest.split(json.dumps(KEYS))
    texts = ", ".join(lua(text) for text in (jwks.absolute(), before, between, after))
    tables = f"local FILE, BEFORE, BETWEEN, AFTER = {texts}\n"
    code = tables + (Path(__file__).parent / "keys.lua").read_text()
    files = extension(
        "envoy.filters.http.lua",
        "filters.http.lua.v3.Lua",
        default_source_code={"inline_string": code},
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
