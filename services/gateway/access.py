"""Who may pass: the token is checked here first, and again by each service."""

from __future__ import annotations

from collections.abc import Iterable

from services.gateway import cel, keys
from services.gateway.contract import Rpc
from services.gateway.values import ORIGINAL_PATH, Json, extension, typed

ISSUER = AUDIENCE = "commerce"
CLOCK_SKEW_SECONDS = 5
TOKEN_CACHE = 1_000
CLAIMS = "token"
JWT = "envoy.filters.http.jwt_authn"
RBAC = "filters.http.rbac.v3.RBAC"
ROUTE = "commerce.route"
STORE_FIELD = "{store_id}"


def token_filter(rpcs: Iterable[Rpc]) -> Json:
    """Wants a valid token (ES256, RFC 7519) for everything but the contract's public RPCs.

    The keys are still to be filled in (keys.py).
    """
    provider = {
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": keys.WITHIN,
        # Whatever its case: headers.py lets no other scheme come here.
        "from_headers": [{"name": "authorization", "value_prefix": " "}],
        "forward": True,
        "payload_in_metadata": CLAIMS,
        "clock_skew_seconds": CLOCK_SKEW_SECONDS,
        "require_expiration": True,
        "jwt_cache_config": {"jwt_cache_size": TOKEN_CACHE},
    }
    public = [{"match": {"path": rpc.path}} for rpc in rpcs if rpc.public]
    return extension(
        JWT,
        "filters.http.jwt_authn.v3.JwtAuthentication",
        providers={"commerce": provider},
        rules=[*public, {"match": {"prefix": "/"}, "requires": {"provider_name": "commerce"}}],
        bypass_cors_preflight=True,
    )


def route_filter() -> Json:
    """Refuses what a route says; idle on a route without `route_check`."""
    return extension(ROUTE, RBAC)


def route_check(policies: Json) -> Json:
    """The filter's part of a route, which may be empty."""
    if not policies:
        return {}
    return {ROUTE: typed(f"{RBAC}PerRoute", rbac={"rules": {"action": "DENY", "policies": policies}})}


def another_store(rpc: Rpc) -> Json:
    """Policies against a token of one store on another store's paths.

    What the path says is compared as it stands: another spelling of the same id is refused, too.
    """
    return {
        f"another_store_{number}": _another_store(template)
        for number, template in enumerate(binding.template for binding in rpc.bindings)
        if STORE_FIELD in template
    }


def _another_store(template: str) -> Json:
    before = template[: template.index(STORE_FIELD)]
    claim = {"filter": JWT, "path": [{"key": CLAIMS}, {"key": "store_id"}], "value": {"present_match": True}}
    path = cel.call("_[_]", cel.select("request", "headers"), cel.text(ORIGINAL_PATH))
    without_query = cel.item(cel.split(path, "?"), 0)
    segment = cel.item(cel.split(without_query, "/"), before.count("/"))
    named = cel.call("lowerAscii", target=cel.item(cel.split(segment, ":"), 0))
    metadata = cel.select("metadata", "filter_metadata")
    allowed = cel.item(cel.item(cel.item(metadata, JWT), CLAIMS), "store_id")
    return {
        "permissions": [{"header": {"name": ORIGINAL_PATH, "string_match": {"prefix": before}}}],
        "principals": [{"sourced_metadata": {"metadata_matcher": claim}}],
        "condition": cel.call("_!=_", named, allowed),
        "cel_config": {"enable_string_functions": True},
    }
