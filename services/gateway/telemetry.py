"""Where a trace begins, and what is written down of each call."""

from __future__ import annotations

from collections.abc import Mapping

from services.gateway import collector as collectors
from services.gateway import headers
from services.gateway.collector import Collector
from services.gateway.values import ORIGINAL_PATH, Json, extension, header_filter, set_header

TRACE_HEADER = "x-trace-id"
NOT_FOR_CLIENTS = ("grpc-accept-encoding", "x-envoy-upstream-healthchecked-cluster")
# Of a span: the verb of a REST call and its template; a gRPC call has no verb.
REST_TAG = "commerce.rest"
# Of the call, in the words of the semantic conventions. Envoy writes a method that HTTP does not have as _OTHER.
_CALL = {
    REST_TAG: "%REQ(X-ENVOY-ORIGINAL-METHOD)% %METADATA(ROUTE:commerce:rest)%",
    "http.method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "http.response.status_code": "%RESPONSE_CODE%",
    "http.route": "%METADATA(ROUTE:commerce:rest)%",
    "rpc.method": "%ROUTE_NAME%",
    "rpc.response.status_code": "%GRPC_STATUS(SNAKE_STRING)%",
    "rpc.system.name": "grpc",
}
# In place of what a client may write as it likes. An empty value would replace nothing.
_HIDDEN = dict.fromkeys(("grpc.authority", "grpc.content_type", "grpc.timeout", "http.url"), "-")
TAGS = {**_CALL, **_HIDDEN, "grpc.path": "/%ROUTE_NAME%"}
# Spans leave after this time, so that a trace can be looked at soon after the call.
FLUSH_MILLISECONDS = 500
# A path of words and UUIDs, with a query or without one. Any other may be of card numbers, persons or secrets.
_PLAIN_PATH = (
    r"(?:/(?:(?:[A-Za-z_.-]|v[0-9])+|[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12})(?::[A-Za-z]+)?)*"
    r"/?(?:\?.*)?"
)
_PLAIN = {":method": "[A-Z]+", ":path": _PLAIN_PATH, ORIGINAL_PATH: _PLAIN_PATH}
# Never the query (it may name persons), the authorization, or any other header.
ACCESS_LOG = {
    "time": "%START_TIME%",
    "level": "info",
    "event": "call",
    "service": "gateway",
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "rpc": "/%ROUTE_NAME%",
    "protocol": "%PROTOCOL%",
    "status": "%RESPONSE_CODE%",
    "grpc_status": "%GRPC_STATUS(SNAKE_STRING)%",
    "cause": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "duration_ms": "%DURATION%",
    "received_bytes": "%BYTES_RECEIVED%",
    "sent_bytes": "%BYTES_SENT%",
    "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    "upstream": "%UPSTREAM_HOST%",
    "trace_id": "%TRACE_ID%",
}


def tracing(collector: Collector | None, sampling: float, resource: Mapping[str, str]) -> Json:
    """HCM's tracing: a share `sampling` (0 to 1) of calls is recorded; every call has a trace id."""
    return {
        "client_sampling": {"value": 0},
        "random_sampling": {"value": sampling * 100 if collector else 0},
        "overall_sampling": {"value": 100},
        "max_path_tag_length": 1,
        "custom_tags": [{"tag": tag, "value": value} for tag, value in TAGS.items()],
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": resource.get("service.name", "gateway"),
                "resource_detectors": [_detector(resource)],
                **collectors.service(collector),
            },
        },
    }


def _detector(resource: Mapping[str, str]) -> Json:
    return extension(
        "envoy.tracers.opentelemetry.resource_detectors.static_config",
        "tracers.opentelemetry.resource_detectors.v3.StaticConfigResourceDetectorConfig",
        attributes=dict(resource),
    )


def runtime_layer() -> Json:
    """Settings of the tracer that Envoy keeps in its runtime."""
    return {"opentelemetry": {"flush_interval_ms": FLUSH_MILLISECONDS, "min_flush_spans": 50}}


def access_log() -> list[Json]:
    """One JSON line a call, on stderr; without method and path when they are not plain."""
    plain = {"and_filter": {"filters": [_header(name, False) for name in _PLAIN]}}
    hidden = {"or_filter": {"filters": [_header(name, True) for name in _PLAIN]}}
    return [
        {"filter": plain, **_line(ACCESS_LOG)},
        {"filter": hidden, **_line(ACCESS_LOG | {"method": "-", "path": "-"})},
    ]


def _header(name: str, invert: bool) -> Json:
    return header_filter(
        name,
        string_match={"safe_regex": {"regex": _PLAIN[name]}},
        # What was not transcoded has no original path.
        treat_missing_header_as_empty=True,
        invert_match=invert,
    )


def _line(fields: Mapping[str, str]) -> Json:
    return extension(
        "envoy.access_loggers.stderr",
        "access_loggers.stream.v3.StderrAccessLog",
        log_format={"json_format": dict(fields)},
    )


def trace_header_filter() -> Json:
    """Puts the trace id on every reply, Envoy's own included, and takes off what nobody outside needs.

    No service reads a header of bytes, and gRPC tears the connection over one that is malformed. A request's
    trailers mean nothing to gRPC: none goes further.
    """
    last_removals = [{"remove_on_match": {"key_matcher": {"suffix": "-bin"}}}, {"remove": headers.BYTES}]
    mutations = [
        {"append": set_header(TRACE_HEADER, "%TRACE_ID%")},
        *({"remove": name} for name in NOT_FOR_CLIENTS),
    ]
    return extension(
        "envoy.filters.http.header_mutation",
        "filters.http.header_mutation.v3.HeaderMutation",
        mutations={
            "request_mutations": last_removals,
            "request_trailers_mutations": [
                {"remove_on_match": {"key_matcher": {"safe_regex": {"regex": ".+"}}}}
            ],
            "response_mutations": mutations,
        },
    )


def application_log() -> Json:
    """Envoy's own log, in the shape of ours."""
    return {
        "log_format": {
            "json_format": {
                "time": "%Y-%m-%dT%T.%e",
                "level": "%l",
                "service": "gateway",
                "logger": "%n",
                "event": "%j",
            }
        }
    }
