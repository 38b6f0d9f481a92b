"""What a refusal looks like, to REST and to gRPC."""

from __future__ import annotations

from typing import Any

import aiohttp

import services.runtime  # noqa: F401  (before grpc)

import grpc.aio  # isort: skip
from google.rpc import code_pb2, error_details_pb2
from grpc_status import rpc_status

TYPE = "type.googleapis.com/google.rpc."


async def refusal(reply: aiohttp.ClientResponse) -> dict[str, Any]:
    """The google.rpc.Status of a REST reply, after its shape was checked."""
    assert reply.content_type == "application/json", await reply.text()
    status: dict[str, Any] = await reply.json()
    assert set(status) == {"code", "message", "details"}
    assert code_pb2.Code.Name(status["code"])
    assert status["message"]
    infos = [detail for detail in status["details"] if detail["@type"] == f"{TYPE}ErrorInfo"]
    assert [info["domain"] for info in infos] == ["commerce"]
    return status


def reason(status: dict[str, Any]) -> str:
    found: str = detail(status, "ErrorInfo")["reason"]
    return found


def detail(status: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [each for each in status["details"] if each["@type"] == f"{TYPE}{kind}"]
    return dict(found)


def grpc_reason(error: grpc.aio.AioRpcError) -> str:
    """The reason of a gRPC refusal."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    assert status is not None, error
    info = error_details_pb2.ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "commerce"
    return str(info.reason)
