"""Limits against what is too large, too many, too slow or not meant for us."""

from __future__ import annotations

from services.gateway import headers
from services.gateway.values import Json, extension, seconds, set_header

MAX_BODY_BYTES = 1024 * 1024
# A page of a list, as JSON.
MAX_REPLY_BYTES = 16 * 1024 * 1024
# Beyond this a connection or stream is cut; headers.py refuses in words what is less, but still too much.
MAX_HEADERS_KIB = 64
MAX_HEADERS = 100
MAX_CONNECTIONS = 20_000
MAX_HEAP_BYTES = 1024 * 1024 * 1024
CONCURRENT_STREAMS = 100
STREAM_WINDOW_BYTES = 64 * 1024
CONNECTION_WINDOW_BYTES = 1024 * 1024
IDLE_CONNECTION_SECONDS = 300
IDLE_STREAM_SECONDS = 30
HEADERS_SECONDS = 10
REQUEST_SECONDS = 30
# What only Envoy or a service may say. Traces start here: a client's trace id could collide with another's, or have
# recorded what is not to be. Under this name services have it, to link their trace to.
CLIENT_TRACE = "x-commerce-client-traceparent"
INTERNAL_PREFIXES = ("x-commerce-", "x-envoy-", "x-forwarded-", "x-b3-", "grpc-previous-")
INTERNAL_HEADERS = (
    "baggage",
    "b3",
    "forwarded",
    "traceparent",
    "tracestate",
    "true-client-ip",
    # Spans would hold it, whatever it says.
    "user-agent",
    "x-client-trace-id",
    "x-real-ip",
    "x-request-id",
    "x-trace-id",
)


def http_limits() -> Json:
    """Fields of the HTTP connection manager."""
    return {
        "use_remote_address": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "max_request_headers_kb": MAX_HEADERS_KIB,
        "common_http_protocol_options": {
            "idle_timeout": seconds(IDLE_CONNECTION_SECONDS),
            "max_headers_count": MAX_HEADERS,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        # RFC 9110 (7.8): a server may ignore an upgrade. Envoy would refuse the call.
        "http_protocol_options": {"ignore_http_11_upgrade": [{"safe_regex": {"regex": ".*"}}]},
        "http2_protocol_options": {
            "max_concurrent_streams": CONCURRENT_STREAMS,
            "initial_stream_window_size": STREAM_WINDOW_BYTES,
            "initial_connection_window_size": CONNECTION_WINDOW_BYTES,
        },
        "stream_idle_timeout": seconds(IDLE_STREAM_SECONDS),
        "request_headers_timeout": seconds(HEADERS_SECONDS),
        "request_timeout": seconds(REQUEST_SECONDS),
        "server_name": "commerce",
        "early_header_mutation_extensions": [_strip()],
    }


def overload_manager() -> Json:
    """Refuses connections and requests before memory or sockets run out."""
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=MAX_CONNECTIONS,
            ),
            extension(
                "envoy.resource_monitors.fixed_heap",
                "resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=MAX_HEAP_BYTES,
            ),
        ],
        "actions": [
            _action("shrink_heap", 0.90),
            _action("stop_accepting_requests", 0.95),
            _action("stop_accepting_connections", 0.98),
        ],
    }


def _action(name: str, threshold: float) -> Json:
    trigger = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}
    return {"name": f"envoy.overload_actions.{name}", "triggers": [trigger]}


def _strip() -> Json:
    """Removes internal headers before anything reads them, and counts what is left."""
    by_prefix = [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in INTERNAL_PREFIXES]
    client_trace = {"append": set_header(CLIENT_TRACE, "%REQ(TRACEPARENT)%")}
    by_name = [{"remove": name} for name in INTERNAL_HEADERS]
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            *by_prefix,
            client_trace,
            *by_name,
            {"append": set_header(headers.BYTES, "%REQUEST_HEADERS_BYTES%")},
        ],
    )
