"""Where the gateway's spans go: OTLP by gRPC or by HTTP, with headers and TLS, as OpenTelemetry's variables say."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from opentelemetry.util.re import parse_env_headers

from services.gateway import clusters
from services.gateway.values import Json, typed

CLUSTER = "collector"
EXPORT_SECONDS = "1s"
_PATH = "/v1/traces"
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Unusable(LookupError):
    """What the variables say cannot be done; the text names the one."""


@dataclass(frozen=True, kw_only=True)
class Tls:
    """Whom the collector must be, and who we are: files of PEM."""

    authorities: Path
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Collector:
    """Takes OTLP at "host:port"; by HTTP below `path`, by gRPC where there is none."""

    address: str
    path: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    tls: Tls | None = None

    @property
    def host(self) -> str:
        return self.address.rpartition(":")[0].strip("[]")


def from_environment(environment: Mapping[str, str]) -> Collector | None:
    """Read OTEL_EXPORTER_OTLP_*, those of traces first; None where no endpoint is given. Raises Unusable."""

    def told(name: str) -> str:
        own = environment.get(f"OTEL_EXPORTER_OTLP_TRACES_{name}", "").strip()
        return own or environment.get(f"OTEL_EXPORTER_OTLP_{name}", "").strip()

    endpoint = told("ENDPOINT")
    if not endpoint:
        return None
    parts = urlsplit(endpoint if "://" in endpoint else f"//{endpoint}")
    if not parts.hostname:
        raise Unusable(f"OTEL_EXPORTER_OTLP_ENDPOINT: {endpoint} is no address")
    is_plain = parts.scheme == "http" or (not parts.scheme and told("INSECURE").lower() == "true")
    port = parts.port or _DEFAULT_PORTS["http" if is_plain else "https"]
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    is_own = bool(environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "").strip())
    return Collector(
        address=f"{host}:{port}",
        path=_path(parts, is_own) if told("PROTOCOL").lower() == "http/protobuf" else "",
        headers=parse_env_headers(told("HEADERS"), liberal=True),
        tls=None if is_plain else _tls(told("CERTIFICATE"), told("CLIENT_CERTIFICATE"), told("CLIENT_KEY")),
    )


def _path(parts: SplitResult, is_own: bool) -> str:
    """The endpoint of traces is taken as it is; below the general one each signal has a path."""
    return (parts.path or "/") if is_own else parts.path.rstrip("/") + _PATH


def _tls(authorities: str, certificate: str, key: str) -> Tls:
    known = authorities or ssl.get_default_verify_paths().cafile
    if not known:
        raise Unusable("OTEL_EXPORTER_OTLP_CERTIFICATE: this machine has no list of authorities; name one")
    return Tls(
        authorities=Path(known),
        certificate=Path(certificate) if certificate else None,
        key=Path(key) if key else None,
    )


def cluster(collector: Collector | None) -> Json:
    """Envoy's cluster; an empty one when there is no collector, for the tracer wants one to make trace ids."""
    if collector is None:
        return clusters.collector_cluster(CLUSTER, None)
    made = clusters.collector_cluster(CLUSTER, collector.address, over_http=bool(collector.path))
    return (
        made
        if collector.tls is None
        else made | {"transport_socket": _secured(collector.host, collector.tls)}
    )


def _secured(host: str, tls: Tls) -> Json:
    kind = "IP_ADDRESS" if clusters.is_ip(host) else "DNS"
    context: Json = {
        "validation_context": {
            "trusted_ca": {"filename": str(tls.authorities)},
            "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": host}}],
        }
    }
    if tls.certificate and tls.key:
        own = {"certificate_chain": str(tls.certificate), "private_key": str(tls.key)}
        context["tls_certificates"] = [{name: {"filename": file} for name, file in own.items()}]
    sni = {} if kind == "IP_ADDRESS" else {"sni": host}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": typed(
            "transport_sockets.tls.v3.UpstreamTlsContext", common_tls_context=context, **sni
        ),
    }


def service(collector: Collector | None) -> Json:
    """The tracer's field that names the collector."""
    headers = {} if collector is None else collector.headers
    if collector is None or not collector.path:
        metadata = [{"key": key, "value": value} for key, value in headers.items()]
        return {
            "grpc_service": {
                "envoy_grpc": {"cluster_name": CLUSTER},
                "timeout": EXPORT_SECONDS,
                "initial_metadata": metadata,
            }
        }
    scheme = "http" if collector.tls is None else "https"
    uri = f"{scheme}://{collector.address}{collector.path}"
    return {
        "http_service": {
            "http_uri": {"uri": uri, "cluster": CLUSTER, "timeout": EXPORT_SECONDS},
            "request_headers_to_add": [
                {"header": {"key": key, "value": value}} for key, value in headers.items()
            ],
        }
    }
