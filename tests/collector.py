"""A collector of OpenTelemetry, on its official protos: it keeps what comes by gRPC or by HTTP, plain or by TLS."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

from services.runtime.telemetry import Recorded

GRPC, HTTP = "grpc", "http/protobuf"


class Sink:
    """Takes ended spans in the exporter's place."""

    def __init__(self) -> None:
        self.spans: list[Recorded] = []

    def offer(self, ended: Recorded) -> None:
        self.spans.append(ended)

    def stop(self, timeout_seconds: float) -> None:
        pass


@dataclass(frozen=True)
class Certificate:
    """One that vouches for itself, for 127.0.0.1: files of PEM."""

    chain: Path
    key: Path

    @staticmethod
    def made(directory: Path) -> Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "collector")])
        now = datetime.datetime.now(datetime.UTC)
        chain = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
            .sign(key, hashes.SHA256())
        )
        made = Certificate(directory / "collector.pem", directory / "collector.key")
        made.chain.write_bytes(chain.public_bytes(serialization.Encoding.PEM))
        made.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return made


@dataclass
class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """What came: spans, the attributes of who sent them, the headers, and the names of metrics."""

    protocol: str = GRPC
    certificate: Certificate | None = None
    address: str = "127.0.0.1:0"
    spans: list[trace_pb2.Span] = field(default_factory=list)
    senders: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    metrics: set[str] = field(default_factory=set)
    _server: grpc.aio.Server | None = None
    _runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://{self.address}"

    @property
    def environment(self) -> dict[str, str]:
        """What an operator sets."""
        told = {"OTEL_EXPORTER_OTLP_ENDPOINT": self.url, "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol}
        if self.certificate:
            told["OTEL_EXPORTER_OTLP_CERTIFICATE"] = str(self.certificate.chain)
        return told

    async def Export(self, request: Any, context: Any) -> Any:
        self._take(request, dict(context.invocation_metadata()))
        return trace_service_pb2.ExportTraceServiceResponse()

    def _take(self, request: trace_service_pb2.ExportTraceServiceRequest, headers: dict[str, str]) -> None:
        self.headers.append(headers)
        for resource in request.resource_spans:
            self.senders.append(attributes_of(resource.resource))
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)

    def _take_metrics(self, request: metrics_service_pb2.ExportMetricsServiceRequest) -> None:
        for resource in request.resource_metrics:
            for scope in resource.scope_metrics:
                self.metrics |= {metric.name for metric in scope.metrics}

    async def start(self) -> None:
        """Listen; at the same address as before, if it did."""
        if self.protocol == HTTP:
            await self._serve_http()
        else:
            await self._serve_grpc()

    async def _serve_grpc(self) -> None:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_Metrics(self), self._server)
        if self.certificate:
            pair = (self.certificate.key.read_bytes(), self.certificate.chain.read_bytes())
            port = self._server.add_secure_port(self.address, grpc.ssl_server_credentials([pair]))
        else:
            port = self._server.add_insecure_port(self.address)
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def _serve_http(self) -> None:
        async def traces(request: web.Request) -> web.Response:
            sent = trace_service_pb2.ExportTraceServiceRequest.FromString(await request.read())
            self._take(sent, {name.lower(): value for name, value in request.headers.items()})
            return web.Response(content_type="application/x-protobuf")

        async def metrics(request: web.Request) -> web.Response:
            self._take_metrics(
                metrics_service_pb2.ExportMetricsServiceRequest.FromString(await request.read())
            )
            return web.Response(content_type="application/x-protobuf")

        application = web.Application()
        application.add_routes([web.post("/v1/traces", traces), web.post("/v1/metrics", metrics)])
        context = None
        if self.certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(self.certificate.chain, self.certificate.key)
        self._runner = web.AppRunner(application)
        await self._runner.setup()
        host, _, port = self.address.rpartition(":")
        await web.TCPSite(self._runner, host, int(port), ssl_context=context).start()
        self.address = f"{host}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
        if self._runner is not None:
            await self._runner.cleanup()


class _Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    async def Export(self, request: Any, _: Any) -> Any:
        self._collector._take_metrics(request)
        return metrics_service_pb2.ExportMetricsServiceResponse()


def attributes_of(holder: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {each.key: getattr(each.value, str(each.value.WhichOneof("value"))) for each in holder.attributes}
