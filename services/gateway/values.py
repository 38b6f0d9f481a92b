"""The vocabulary of Envoy's configuration."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Of a path's template.
PARAMETER = re.compile(r"\{([^}]*)\}")
Json = dict[str, Any]
# Where the transcoder leaves the REST path; a client's own header of this name is removed.
ORIGINAL_PATH = "x-envoy-original-path"
# Marks a reply about a request that could not be read; it does not leave the gateway.
UNREAD = "x-commerce-unread"


def typed(message: str, **fields: Any) -> Json:
    """A typed_config: `message` is the full name below envoy.extensions."""
    return {"@type": f"type.googleapis.com/envoy.extensions.{message}", **fields}


def extension(name: str, message: str, **fields: Any) -> Json:
    """A named extension with its typed_config."""
    return {"name": name, "typed_config": typed(message, **fields)}


def enabled() -> Json:
    """A route's part of a filter that is left out elsewhere."""
    return {"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}}


def seconds(value: float) -> str:
    """A duration."""
    return f"{value:g}s"


def socket_address(address: str) -> Json:
    """ "host:port" as an address."""
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def set_header(key: str, value: str) -> Json:
    """A header that replaces one of its name."""
    return {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def denial(*rules: Json) -> Json:
    """An RBAC policy for requests that all the rules fit, whoever sends them."""
    permission = rules[0] if len(rules) == 1 else {"and_rules": {"rules": list(rules)}}
    return {"permissions": [permission], "principals": [{"any": True}]}


def header_filter(name: str, **fields: Any) -> Json:
    """An access log filter, as local replies have them too: a header of the request fits."""
    return {"header_filter": {"header": {"name": name, **fields}}}


def lua(value: object) -> str:
    """A value as Lua writes it."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"[{lua(key)}]={lua(item)}" for key, item in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return "{" + ",".join(lua(item) for item in value) + "}"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
