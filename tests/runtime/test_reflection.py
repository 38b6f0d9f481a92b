"""Reflection is for developers: a production server does not describe itself."""

from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.runtime.conftest import toy_cluster
from tests.runtime.toy import DEFINITION


async def described(clients):
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(clients.channel(clients.cluster.address("toy")))
    call = stub.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=5
    )
    return {service.name async for reply in call for service in reply.list_services_response.service}


async def test_a_development_server_describes_its_services(toy_clients):
    assert set(DEFINITION.proto_services) <= await described(toy_clients)


async def test_a_production_server_does_not(tmp_path):
    async with toy_cluster(tmp_path, COMMERCE_ENVIRONMENT="production") as clients:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await described(clients)

    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED
