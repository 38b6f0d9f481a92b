"""One route an RPC. REST calls have been transcoded when they are routed, so all routes are gRPC paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from services.gateway.contract import Rpc
from services.gateway.values import Json, seconds, set_header

# The service keeps the RPC's own deadline; the gateway's is for a service that does not.
GRACE_SECONDS = 5
# Streams send a heartbeat every 15 seconds.
STREAM_IDLE_SECONDS = 60
# Nothing of the request has reached a handler.
NEVER_STARTED = "connect-failure,refused-stream,reset-before-request"
RETRIES = 3
# Answers 404. A REST path has this route until it is transcoded: a preflight finds its CORS policy by a route that
# could lead to a cluster.
NOWHERE = {
    "match": {"prefix": "/"},
    "route": {"cluster": "nowhere", "cluster_not_found_response_code": "NOT_FOUND"},
}
# gRPC and grpc-web; not JSON on a gRPC path.
GRPC = "application/grpc"


@dataclass(frozen=True, kw_only=True)
class Entrances:
    """What REST calls want of the filters before the transcoder: by method, and by a part of the path (":watch")."""

    by_method: Mapping[str, Json]
    by_step: Mapping[str, Json]


def virtual_host(
    clusters: Mapping[Rpc, str], per_filter: Mapping[Rpc, Json], cors: Json, entrances: Entrances
) -> Json:
    """All routes. `clusters` says where each RPC goes, `per_filter` what each wants of the filters."""
    return {
        "name": "commerce",
        "domains": ["*"],
        "typed_per_filter_config": cors,
        "matcher": _by_path(_routes(clusters, per_filter), _nowhere(entrances)),
    }


def _by_path(routes: Iterable[Json], otherwise: Json) -> Json:
    """Finds a route by its whole path at once: one look-up, however many RPCs there are."""
    nowhere = _taken(NOWHERE)
    grpc = {
        route["match"]["path"]: {
            "matcher": {
                "matcher_tree": {
                    "input": _header("content-type"),
                    "prefix_match_map": {"map": {GRPC: _taken(route)}},
                },
                "on_no_match": nowhere,
            }
        }
        for route in routes
    }
    return {
        "matcher_tree": {"input": _header(":path"), "exact_match_map": {"map": grpc}},
        "on_no_match": otherwise,
    }


def _nowhere(entrances: Entrances) -> Json:
    """Which filters there are is decided once, when a call comes in: by what it is before it is transcoded."""
    of_steps = [
        {
            "predicate": {"single_predicate": {"input": _header(":path"), "value_match": {"contains": step}}},
            "on_match": _taken(NOWHERE | {"typed_per_filter_config": config}),
        }
        for step, config in entrances.by_step.items()
    ]
    of_methods = {
        method: _taken(NOWHERE | {"typed_per_filter_config": config})
        for method, config in entrances.by_method.items()
    }
    nowhere = _taken(NOWHERE)
    # A list of no matchers is one that Envoy does not take: there may be services without such steps alone.
    by_step = {"matcher": {"matcher_list": {"matchers": of_steps}, "on_no_match": nowhere}}
    return {
        "matcher": {
            "matcher_tree": {"input": _header(":method"), "exact_match_map": {"map": of_methods}},
            "on_no_match": by_step if of_steps else nowhere,
        }
    }


def _header(name: str) -> Json:
    kind = "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput"
    return {"name": name, "typed_config": {"@type": kind, "header_name": name}}


def _taken(route: Json) -> Json:
    config = {"@type": "type.googleapis.com/envoy.config.route.v3.Route", **route}
    return {"action": {"name": "route", "typed_config": config}}


def _routes(clusters: Mapping[Rpc, str], per_filter: Mapping[Rpc, Json]) -> Iterable[Json]:
    for rpc, cluster in clusters.items():
        yield {
            "name": rpc.path[1:],
            "match": {"path": rpc.path},
            "metadata": {
                "filter_metadata": {"commerce": {"rest": rpc.bindings[0].template if rpc.bindings else ""}}
            },
            "route": {"cluster": cluster, "retry_policy": _retry_policy(rpc), **_timeouts(rpc)},
            "decorator": {"operation": rpc.path[1:], "propagate": False},
            "response_headers_to_add": [
                set_header("cache-control", "no-cache" if rpc.streams else "no-store")
            ],
            "typed_per_filter_config": per_filter.get(rpc, {}),
        }


def _timeouts(rpc: Rpc) -> Json:
    if rpc.streams:
        return {"timeout": "0s", "idle_timeout": seconds(STREAM_IDLE_SECONDS)}
    return {"timeout": seconds(rpc.deadline_seconds + GRACE_SECONDS)}


def _retry_policy(rpc: Rpc) -> Json:
    """A call that may have been handled is sent again only when the contract says that this is safe.

    A server that stops answers CANCELLED to what comes in at that moment (gRPC's own doing).
    """
    lost = ",reset,unavailable,cancelled" if rpc.repeatable and not rpc.streams else ""
    return {
        "retry_on": NEVER_STARTED + lost,
        "num_retries": RETRIES,
        "retry_back_off": {"base_interval": "0.05s", "max_interval": "0.5s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }
