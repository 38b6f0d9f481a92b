"""Calls from service to service keep to the time that is left, and find a replica that lives."""

import asyncio
import time

import grpc
import pytest
from commerce.customer.v1.customer_service_pb2 import ListCustomersRequest
from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceStub

from services.cluster.ports import Ports
from services.runtime.channels import channel
from services.runtime.pipeline import DEADLINE
from services.runtime.refusals import reason_of


@pytest.fixture
async def stub(toy):
    open_channel = channel(toy.clients.cluster.address("toy"), toy.token)
    yield CustomerServiceStub(open_channel)
    await open_channel.close()


def ask(toy, words):
    return ListCustomersRequest(store_id=toy.store_id, query=words)


async def test_a_call_for_another_call_has_only_the_time_that_one_has_left(toy, stub):
    begun = time.monotonic()
    left = DEADLINE.set(asyncio.get_running_loop().time() + 0.3)
    try:
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await stub.ListCustomers(ask(toy, "sleep 5"))
    finally:
        DEADLINE.reset(left)

    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert time.monotonic() - begun < 0.9


async def test_a_refusal_of_another_service_is_known_by_its_reason(toy, stub):
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await stub.ListCustomers(ask(toy, "x" * 201))

    assert reason_of(refusal.value) == "INVALID_ARGUMENT"


async def test_a_replica_that_is_down_is_passed_over(toy):
    ports = Ports()
    dead = ports.claim(7493)
    both = channel(f"127.0.0.1:{dead},{toy.clients.cluster.address('toy')}", toy.token)
    try:
        replies = [await CustomerServiceStub(both).ListCustomers(ask(toy, "")) for _ in range(10)]
    finally:
        await both.close()
        ports.release()

    assert len(replies) == 10
