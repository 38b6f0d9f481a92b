"""Envoy's configuration, made from the contract's descriptors and the running addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from services.gateway import (
    absent,
    access,
    clusters,
    events,
    filters,
    hardening,
    heads,
    keys,
    members,
    parameters,
    rates,
    replies,
    routes,
    telemetry,
)
from services.gateway import collector as collectors
from services.gateway.collector import Collector
from services.gateway.contract import Rpc, rpcs
from services.gateway.values import Json, extension, socket_address
from services.runtime.definition import Definition

BUFFER_BYTES = 64 * 1024
REGEX_SIZE = 2_000


def envoy_config(
    *,
    listen: str,
    admin: str,
    backends: Mapping[str, Sequence[str]],
    definitions: Sequence[Definition],
    jwks: Path,
    descriptors: Path,
    collector: Collector | None,
    resource: Mapping[str, str] = MappingProxyType({}),
    sampling: float = 1.0,
    cors_origins: Sequence[str] = (),
    development: bool = False,
    tokenless_calls_a_second: int = rates.CALLS_A_SECOND,
) -> Json:
    """The bootstrap, as JSON.

    Addresses are "host:port"; `backends` gives each service's replicas by its code, and a service without an entry
    is not offered. The `collector` is told of a share `sampling` (0 to 1) of calls, and of `resource`, which is us.
    Pages of `cors_origins` may call, and in development those of localhost; an address without a token so often.
    Raises contract.UnknownService when a definition and the descriptors do not fit.
    """
    offered = [definition for definition in definitions if backends.get(definition.code)]
    where = {rpc: item.code for item in offered for rpc in rpcs(descriptors, item.proto_services)}
    services = [clusters.service_cluster(item.code, backends[item.code]) for item in offered]
    tokens = access.token_filter(where)
    manager = {
        "stat_prefix": "gateway",
        "codec_type": "AUTO",
        **hardening.http_limits(),
        "tracing": telemetry.tracing(collector, sampling, resource),
        "access_log": telemetry.access_log(),
        "local_reply_config": replies.local_replies(parameters.refusals(where), absent.refusals(where)),
        "route_config": {
            "virtual_hosts": [_virtual_host(where, filters.cors(cors_origins, development))],
            "validate_clusters": False,
        },
        "http_filters": filters.http_filters(
            tuple(where), keys.discovered(tokens, jwks), descriptors, tokenless_calls_a_second
        ),
    }
    return {
        "node": {"id": "gateway", "cluster": "commerce"},
        "admin": {"address": socket_address(admin)},
        "application_log_config": telemetry.application_log(),
        "layered_runtime": {"layers": [{"name": "commerce", "static_layer": _runtime()}]},
        "overload_manager": hardening.overload_manager(),
        "static_resources": {
            "listeners": [_listener(listen, manager), keys.listener(listen, tokens, jwks)],
            "clusters": [*services, collectors.cluster(collector), keys.cluster(listen)],
        },
    }


def _virtual_host(where: Mapping[Rpc, str], cors: Json) -> Json:
    per_filter = {rpc: _route_check(rpc) | filters.body_check(rpc) | events.of_replies(rpc) for rpc in where}
    entrances = routes.Entrances(
        by_method=members.with_bodies(where) | heads.of_requests(),
        by_step=dict.fromkeys(events.steps(where), events.of_requests(where)),
    )
    return routes.virtual_host(where, per_filter, cors, entrances)


def _route_check(rpc: Rpc) -> Json:
    return access.route_check(access.another_store(rpc) | absent.step_check(rpc) | parameters.policies(rpc))


def _runtime() -> Json:
    """Our regular expressions are made from the descriptors; Envoy's bound is for those of strangers."""
    return {
        "tracing": telemetry.runtime_layer(),
        "re2": {"max_program_size": {"error_level": REGEX_SIZE, "warn_level": REGEX_SIZE}},
    }


def _listener(address: str, manager: Json) -> Json:
    """One plaintext port; HTTP/1.1 and HTTP/2 are told apart by their first bytes."""
    network = "filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {
        "name": "gateway",
        "address": socket_address(address),
        "per_connection_buffer_limit_bytes": BUFFER_BYTES,
        "filter_chains": [{"filters": [extension("http_connection_manager", network, **manager)]}],
    }
