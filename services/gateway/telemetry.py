"""Where a trace begins, and what is written down of each call."""

from __future__ import annotations

from services.gateway.values import Json, extension, set_header

COLLECTOR = "collector"
TRACE_HEADER = "x-trace-id"
NOT_FOR_CLIENTS = ("grpc-accept-encoding", "x-envoy-upstream-healthchecked-cluster")
# What a REST call was before it became an RPC; its path without the query.
REST_TAG = "commerce.rest"
REST = "%REQ(X-ENVOY-ORIGINAL-METHOD)% %PATH(NQ:ORIG)%"
# Spans leave after this time, so that a trace can be looked at soon after the call.
FLUSH_MILLISECONDS = 500
# Never the query (it may name persons), the authorization, or any other header.
ACCESS_LOG = {
    "time": "%START_TIME%",
    "level": "info",
    "event": "call",
    "service": "gateway",
    "method": "%REQ(X-ENVOY-ORIGINAL-METHOD?:METHOD)%",
    "path": "%PATH(NQ:ORIG_OR_PATH)%",
    "rpc": "%PATH(NQ:PATH)%",
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


def tracing(sampling: float) -> Json:
    """HCM's tracing: a share `sampling` (0 to 1) of calls is recorded; every call has a trace id."""
    return {
        "client_sampling": {"value": 0},
        "random_sampling": {"value": sampling * 100},
        "overall_sampling": {"value": 100},
        # A query may name persons; the span's name says which RPC it was.
        "max_path_tag_length": 1,
        "custom_tags": [{"tag": REST_TAG, "value": REST}],
        "provider": {
            "name": "envoy.tracers.opentelemetry",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
                "service_name": "gateway",
                "grpc_service": {"envoy_grpc": {"cluster_name": COLLECTOR}, "timeout": "1s"},
            },
        },
    }


def runtime_layer() -> Json:
    """Settings of the tracer that Envoy keeps in its runtime."""
    return {"tracing": {"opentelemetry": {"flush_interval_ms": FLUSH_MILLISECONDS, "min_flush_spans": 50}}}


def access_log() -> list[Json]:
    """One JSON line a call, on stderr."""
    return [
        extension(
            "envoy.access_loggers.stderr",
            "access_loggers.stream.v3.StderrAccessLog",
            log_format={"json_format": ACCESS_LOG},
        )
    ]


def trace_header_filter() -> Json:
    """Puts the trace id on every reply, Envoy's own included, and takes off what nobody outside needs."""
    mutations = [
        {"append": set_header(TRACE_HEADER, "%TRACE_ID%")},
        *({"remove": name} for name in NOT_FOR_CLIENTS),
    ]
    return extension(
        "envoy.filters.http.header_mutation",
        "filters.http.header_mutation.v3.HeaderMutation",
        mutations={"response_mutations": mutations},
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
