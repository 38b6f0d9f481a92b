"""What a call passes through, in this order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from services.gateway import access, events, headers, heads, members, rates, telemetry, words
from services.gateway.contract import Rpc
from services.gateway.hardening import MAX_BODY_BYTES, MAX_REPLY_BYTES
from services.gateway.values import Json, extension, typed

HEALTH_PATH = "/healthz"
CORS = "envoy.filters.http.cors"
BUFFER = "envoy.filters.http.buffer"
CORS_AGE_SECONDS = 3600
METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
# What browsers' libraries add to a call; of baggage and traceparent nothing is read.
ALLOWED_HEADERS = (
    "authorization, baggage, connect-protocol-version, content-type, grpc-timeout, last-event-id, traceparent,"
    " tracestate, x-grpc-web, x-user-agent"
)
EXPOSED_HEADERS = (
    "allow, grpc-status, grpc-message, grpc-status-details-bin, retry-after, www-authenticate,"
    f" {telemetry.TRACE_HEADER}"
)
# Where people's own pages are while they are made.
LOCALHOST = r"https?://(?:localhost|[a-z0-9-]+\.localhost|127\.0\.0\.1|\[::1\])(?::[0-9]+)?"


def http_filters(
    rpcs: Sequence[Rpc], tokens: Json, descriptors: Path, tokenless_calls_a_second: int
) -> list[Json]:
    """The chain. From the transcoder on every call is gRPC: one token rule, one route, one error shape for all."""
    return [
        _health(),
        extension(CORS, "filters.http.cors.v3.Cors"),
        extension("envoy.filters.http.grpc_web", "filters.http.grpc_web.v3.GrpcWeb"),
        rates.rate_filter(tokenless_calls_a_second),
        headers.header_filter(rpcs),
        _body_limit(),
        heads.head_filter(rpcs),
        events.event_filter(),
        members.member_filter(rpcs),
        words.word_filter(rpcs),
        telemetry.trace_header_filter(),
        _transcoder(rpcs, descriptors),
        tokens,
        access.route_filter(),
        extension("envoy.filters.http.router", "filters.http.router.v3.Router", suppress_envoy_headers=True),
    ]


def cors(origins: Iterable[str], development: bool) -> Json:
    """The CORS policy for pages of these origins ("https://shop.example"), and in development of localhost."""
    allowed: list[Json] = [{"exact": origin} for origin in origins]
    if development:
        allowed.append({"safe_regex": {"regex": LOCALHOST}})
    if not allowed:
        return {}
    return {
        CORS: typed(
            "filters.http.cors.v3.CorsPolicy",
            filter_enabled={"default_value": {"numerator": 100}},
            allow_origin_string_match=allowed,
            allow_methods=METHODS,
            allow_headers=ALLOWED_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=str(CORS_AGE_SECONDS),
        )
    }


def _health() -> Json:
    """GET /healthz: 200 when the gateway takes calls, 503 while it drains."""
    return extension(
        "envoy.filters.http.health_check",
        "filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[
            {"name": ":path", "string_match": {"exact": HEALTH_PATH}},
            {"name": ":method", "string_match": {"safe_regex": {"regex": "GET|HEAD"}}},
        ],
    )


def _body_limit() -> Json:
    """Takes a request whole before anything else reads it.

    The transcoder's own limit does not count what it has parsed.
    """
    return extension(BUFFER, "filters.http.buffer.v3.Buffer", max_request_bytes=MAX_BODY_BYTES)


def body_check(rpc: Rpc) -> Json:
    """The body limit's part of a route: a stream of requests passes as it comes; its service limits each message."""
    if not rpc.gathers:
        return {}
    return {BUFFER: typed("filters.http.buffer.v3.BufferPerRoute", disabled=True)}


def _transcoder(rpcs: Sequence[Rpc], descriptors: Path) -> Json:
    return extension(
        "envoy.filters.http.grpc_json_transcoder",
        "filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        proto_descriptor=str(descriptors),
        services=sorted({rpc.service for rpc in rpcs}),
        auto_mapping=False,
        convert_grpc_status=True,
        query_param_unescape_plus=True,
        print_options={"always_print_primitive_fields": True, "stream_sse_style_delimited": True},
        request_validation_options={
            "reject_unknown_method": True,
            "reject_unknown_query_parameters": True,
            "reject_binding_body_field_collisions": True,
        },
        max_request_body_size=MAX_BODY_BYTES,
        max_response_body_size=MAX_REPLY_BYTES,
    )
