"""Request headers that are refused: a service could not read them, or they say two things."""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.gateway.contract import Rpc
from services.gateway.values import Json, denial, extension

FILTER = "commerce.headers"
AUTHORIZATION = "authorization"
# The size of a request's headers, as the gateway counts it.
BYTES = "x-commerce-header-bytes"
# 16,000 and more: no token, path and cookies come near it, and a service takes twice as much.
_MANY_BYTES = "1[6-9][0-9]{3}|[2-9][0-9]{4}|[0-9]{6,}"
TOO_LARGE = "too_large"
ENCODING = "content-encoding"
HOST = "host"
TUNNEL = "tunnel"
NO_BEARER = "no_bearer"
# The first policy by its name answers.
TWICE = "authorization_twice"
_BEARER = r"(?i:bearer) +[^, ]+ *"
_TWO = r"(?i:bearer) .*,.*|.*, *(?i:bearer) .*"
_TOKENS = r"[\w.*+-]*(?: *, *[\w.*+-]*)*"
_BASE64 = "(?:[A-Za-z0-9+/_-]{4})*(?:[A-Za-z0-9+/_-]{2,3}=?=?)?"
# What gRPC's own headers look like (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md), and how to say so.
FORMS = {
    "grpc-accept-encoding": (_TOKENS, "must be names with commas between"),
    "grpc-encoding": ("identity|gzip|deflate", "must be identity, gzip or deflate"),
    "grpc-tags-bin": (_BASE64, "must be base64"),
    "grpc-timeout": ("[0-9]{1,8}[HMSmun]", "must be up to eight digits and one of H, M, S, m, u, n"),
    "grpc-trace-bin": (_BASE64, "must be base64"),
}
TE = "te"
METHOD = "grpc_method"
_GRPC = {"header": {"name": "content-type", "string_match": {"prefix": "application/grpc"}}}
# Envoy removes any other; a service would tear the stream without a word.
_NO_TRAILERS = {"not_rule": {"header": {"name": TE, "string_match": {"exact": "trailers"}}}}
# What servers, proxies and load balancers of gRPC say, and what they count on.
FOREIGN = (
    "endpoint-load-metrics-bin",
    "grpc-internal-encoding-request",
    "grpc-internal-stream-encoding-request",
    "grpc-message",
    "grpc-retry-pushback-ms",
    "grpc-server-stats-bin",
    "grpc-status",
    "grpc-status-details-bin",
    "lb-cost-bin",
    "lb-token",
)


def header_filter(rpcs: Iterable[Rpc]) -> Json:
    """Refuses by name; replies.py has the words. members.lua looks at names that nobody can list."""
    policies = {name: denial(_header(name, form, invert_match=True)) for name, (form, _) in FORMS.items()}
    policies |= {name: denial({"header": {"name": name, "present_match": True}}) for name in FOREIGN}
    policies |= {
        NO_BEARER: denial(_header(AUTHORIZATION, _BEARER, invert_match=True), {"not_rule": _public(rpcs)}),
        TWICE: denial(_header(AUTHORIZATION, _TWO)),
        TOO_LARGE: denial(_header(BYTES, _MANY_BYTES)),
        TE: denial(_GRPC, _NO_TRAILERS),
        # A service could not read it.
        METHOD: denial(
            _GRPC, {"not_rule": {"header": {"name": ":method", "string_match": {"exact": "POST"}}}}
        ),
        ENCODING: denial(_header(ENCODING, "identity", invert_match=True)),
        # Two of them, as Envoy joins them.
        HOST: denial(_header(":authority", ".*,.*")),
        # Envoy would wait for the tunnel's bytes.
        TUNNEL: denial(_header(":method", "CONNECT")),
    }
    return extension(FILTER, "filters.http.rbac.v3.RBAC", rules={"action": "DENY", "policies": policies})


def _header(name: str, form: str, **more: bool) -> Json:
    return {"header": {"name": name, "string_match": {"safe_regex": {"regex": form}}, **more}}


def _public(rpcs: Iterable[Rpc]) -> Json:
    """Whoever needs no token may bring whatever authorization its own protocol has."""
    public = [rpc for rpc in rpcs if rpc.public]
    paths = [re.escape(rpc.path) for rpc in public] + [one.regex for rpc in public for one in rpc.bindings]
    return {"url_path": {"path": {"safe_regex": {"regex": "|".join(paths) or "-"}}}}
