"""What a call was answered, by REST or by gRPC, and the one shape that every refusal has."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.options.v1 import options_pb2
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2

from tests.edge.contract import Rpc
from tests.shop import WAIT_SECONDS, Reply, Shop

TRACE_ID = re.compile(r"[0-9a-f]{32}")
NEVER = re.compile(r"Traceback|File \"|asyncpg|sqlalchemy|Exception|\.py\b")
# What any client can take.
MOST_BYTES = 4096
# google.rpc.Code as HTTP (https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto).
HTTP = {
    "INVALID_ARGUMENT": {400, 413, 415, 431},
    "UNAUTHENTICATED": {401},
    "PERMISSION_DENIED": {403},
    "NOT_FOUND": {404},
    "UNIMPLEMENTED": {404, 405, 501, 505},
    "ALREADY_EXISTS": {409},
    "FAILED_PRECONDITION": {400},
    "OUT_OF_RANGE": {400},
    "RESOURCE_EXHAUSTED": {429},
    "UNAVAILABLE": {503},
}
# Told to come back: by us, or because of a provider.
LATER = ("OVERLOADED", "GATEWAY_UNAVAILABLE")


@dataclass
class Answer:
    """`reason` is "OK", or the refusal's with what it said beside it."""

    reason: str = "OK"
    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)
    trace_id: str = ""
    body: Any = None

    def names(self, path: str) -> bool:
        """Whether it names a field, as JSON does when it came by REST."""
        return path in self.violations or in_json(path) in self.violations

    def __str__(self) -> str:
        return f"{self.reason} {self.metadata} {self.violations} {self.message}"


def in_json(path: str) -> str:
    """A field's path as REST names it."""
    return re.sub("_([a-z0-9])", lambda letter: letter[1].upper(), path)


def of_rest(reply: Reply) -> Answer:
    """An answer of the gateway to REST. Its refusal has the one shape, its own trace id, and is no fault of ours."""
    trace_id = reply.headers.get("x-trace-id", "")
    assert TRACE_ID.fullmatch(trace_id), (reply.status, reply.body)
    if reply.status == 200:
        return Answer(trace_id=trace_id, body=reply.body)
    assert set(reply.body) == {"code", "message", "details"}, reply.body
    answer = _read(json_format.ParseDict(reply.body, status_pb2.Status()), trace_id)
    code = _contract(answer.reason)
    assert reply.status < 500 or answer.reason in LATER, (reply.status, reply.body)
    assert reply.status in HTTP[code], (reply.status, code)
    return answer


def of_grpc(error: grpc.aio.AioRpcError) -> Answer:
    """A refusal by gRPC, which has the same shape."""
    trailers = dict(error.trailing_metadata() or ())
    assert _size(error) < MOST_BYTES, f"a refusal of {_size(error)} bytes"
    assert "grpc-status-details-bin" in trailers, f"without details: {error.code()} {error.details()}"
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    assert (error.code().value[0], error.details()) == (status.code, status.message)
    answer = _read(status, str(trailers.get("x-trace-id", "")))
    is_fault = error.code().name in ("INTERNAL", "UNKNOWN", "UNAVAILABLE")
    assert not is_fault or answer.reason in LATER, error
    assert error.code().name == _contract(answer.reason)
    return answer


async def ask(shop: Shop, rpc: Rpc, request: bytes, metadata: tuple[tuple[str, str], ...] = ()) -> Answer:
    """Call an RPC with a message as bytes, at the shop's address or at its service; the first reply of a stream."""
    channel: Any = shop.clients.channel(shop.address or shop.clients.cluster.address(rpc.code))
    if shop.token and not any(key == "authorization" for key, _ in metadata):
        metadata = (("authorization", f"Bearer {shop.token}"), *metadata)
    try:
        if not rpc.method.server_streaming:
            return Answer(
                body=await channel.unary_unary(rpc.path)(request, metadata=metadata, timeout=WAIT_SECONDS)
            )
        call = channel.unary_stream(rpc.path)(request, metadata=metadata, timeout=WAIT_SECONDS)
        first = await call.read()
        call.cancel()
        return Answer(body=first)
    except grpc.aio.AioRpcError as error:
        return of_grpc(error)


async def rest(shop: Shop, rpc: Rpc, request: Any, **more: Any) -> Answer:
    """The same by REST."""
    verb, path, body = rpc.rest(request)
    if rpc.method.server_streaming:
        more["timeout"] = more.get("timeout")
    return of_rest(await shop.rest(verb, path, json=body, **more))


def _size(error: grpc.aio.AioRpcError) -> int:
    """The bytes of a refusal on the wire, at the most: texts are escaped, bytes are sent in base64."""
    size = len(quote(error.details() or ""))
    for key, value in error.trailing_metadata() or ():
        size += len(key) + (len(value) if isinstance(value, str) else len(base64.b64encode(value)))
    return size


def _read(status: status_pb2.Status, trace_id: str) -> Answer:
    infos = [info for detail in status.details if (info := _unpacked(detail, error_details_pb2.ErrorInfo))]
    (info,) = infos
    assert info.domain == "commerce"
    assert status.message, info.reason
    assert not NEVER.search(str(status)), status
    answer = Answer(info.reason, status.message, dict(info.metadata), trace_id=trace_id)
    for detail in status.details:
        if bad := _unpacked(detail, error_details_pb2.BadRequest):
            assert all(each.description for each in bad.field_violations), bad
            answer.violations |= {each.field: each.description for each in bad.field_violations}
    return answer


def _contract(reason: str) -> str:
    """The name of the status that the contract gives a reason."""
    value = ErrorReason.DESCRIPTOR.values_by_name[f"ERROR_REASON_{reason}"]
    number = value.GetOptions().Extensions[options_pb2.status]
    return next(code.name for code in grpc.StatusCode if code.value[0] == number)


def _unpacked(detail: Any, kind: Any) -> Any:
    message = kind()
    return message if detail.Unpack(message) else None
