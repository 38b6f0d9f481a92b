"""The services behind the gateway: where they are, who of them is well, how much they may be given."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from services.gateway.values import Json, seconds, socket_address, typed

CONNECT_SECONDS = 1.0
HEALTH_INTERVAL_SECONDS = 1.0
# A busy replica may answer late; it must not be taken for a dead one.
HEALTH_TIMEOUT_SECONDS = 3.0
EJECTION_SECONDS = 5.0
# An open stream is a request, too.
MAX_REQUESTS = 30_000
MAX_PENDING = 4_096
RETRY_SHARE_PERCENT = 25.0
# Half of what a service takes on one connection and refuses past that: more connections are opened before.
STREAMS_PER_CONNECTION = 500
STREAM_WINDOW_BYTES = 64 * 1024
# Larger ones tear the connection with every stream on it, and a call that may be repeated tears the next. No service
# means to send any of more than 4 KiB.
MAX_TRAILERS_KIB = 4 * 1024
MAX_TRAILERS = 4 * 1024
# Far above the stream's window: many readers who stopped reading must not hold up the others on the connection.
CONNECTION_WINDOW_BYTES = 64 * 1024 * 1024


def service_cluster(code: str, addresses: Sequence[str]) -> Json:
    """A service's replicas: round robin over those whose gRPC health is SERVING."""
    return {
        **_cluster(code, addresses),
        "lb_policy": "ROUND_ROBIN",
        # When none is well, all are tried: a service that is slow to answer a health check is better than none.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "health_checks": [
            {
                "timeout": seconds(HEALTH_TIMEOUT_SECONDS),
                "interval": seconds(HEALTH_INTERVAL_SECONDS),
                "no_traffic_interval": seconds(HEALTH_INTERVAL_SECONDS),
                "unhealthy_interval": seconds(HEALTH_INTERVAL_SECONDS / 2),
                "initial_jitter": seconds(0.1),
                "unhealthy_threshold": 2,
                "healthy_threshold": 1,
                "grpc_health_check": {"service_name": ""},
            }
        ],
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_gateway_failure": 5,
            "enforcing_consecutive_gateway_failure": 100,
            "consecutive_local_origin_failure": 3,
            # INTERNAL is a fault of one request, not of a replica.
            "enforcing_consecutive_5xx": 0,
            "enforcing_success_rate": 0,
            "enforcing_local_origin_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": seconds(EJECTION_SECONDS),
            "max_ejection_percent": 50,
        },
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 1_024,
                    "max_pending_requests": MAX_PENDING,
                    "max_requests": MAX_REQUESTS,
                    "retry_budget": {
                        "budget_percent": {"value": RETRY_SHARE_PERCENT},
                        "min_retry_concurrency": 50,
                    },
                }
            ]
        },
    }


def collector_cluster(name: str, address: str | None, over_http: bool = False) -> Json:
    """A collector of spans, or none, by gRPC or by HTTP/1.1."""
    addresses = [address] if address else []
    return _endpoints(name, addresses) if over_http else _cluster(name, addresses)


def _endpoints(name: str, addresses: Sequence[str]) -> Json:
    plain = [address.removeprefix("dns:///") for address in addresses]
    endpoints = [{"endpoint": {"address": socket_address(address)}} for address in plain]
    hosts = [address.rpartition(":")[0].strip("[]") for address in plain]
    return {
        "name": name,
        "type": "STATIC" if all(is_ip(host) for host in hosts) else "STRICT_DNS",
        "connect_timeout": seconds(CONNECT_SECONDS),
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }


def _cluster(name: str, addresses: Sequence[str]) -> Json:
    return {
        **_endpoints(name, addresses),
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": typed(
                "upstreams.http.v3.HttpProtocolOptions",
                common_http_protocol_options={
                    "max_response_headers_kb": MAX_TRAILERS_KIB,
                    "max_headers_count": MAX_TRAILERS,
                },
                explicit_http_config={
                    "http2_protocol_options": {
                        "initial_stream_window_size": STREAM_WINDOW_BYTES,
                        "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
                        "max_concurrent_streams": STREAMS_PER_CONNECTION,
                        # gRPC keeps what it could not read of a header in this table, and fails all who use the entry.
                        "hpack_table_size": 0,
                    }
                },
            )
        },
    }


def is_ip(host: str) -> bool:
    """Tell whether a host is an address, and no name that is to be looked up."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
