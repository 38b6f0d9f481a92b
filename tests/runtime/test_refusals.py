"""What the runtime says to a call that it refuses by itself, and what it does not say."""

import json
import uuid

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1.customer_service_pb2 import ListCustomersRequest

from tests.runtime.conftest import ask, write
from tests.shop import refused

SECRET = "the-word-of-a-caller"


@pytest.mark.parametrize("call", [ask, write])
async def test_an_unexpected_fault_says_nothing_but_its_trace_id(toy, call):
    trace_id = uuid.uuid4().hex
    metadata = (("traceparent", f"00-{trace_id}-00f067aa0ba902b7-01"),)

    with refused(ErrorReason.ERROR_REASON_INTERNAL) as said:
        await call(toy, f"fail {SECRET}", metadata=metadata)

    assert said.trace_id == trace_id
    assert said.metadata == {}
    assert SECRET not in said.message
    assert "RuntimeError" not in said.message


async def test_an_unexpected_fault_is_in_the_log_under_its_trace_id(toy):
    with refused(ErrorReason.ERROR_REASON_INTERNAL) as said:
        await ask(toy, "fail anyhow")

    log = toy.clients.cluster.home.log("toy").read_text().splitlines()
    lines = [json.loads(line) for line in log if line.startswith("{") and said.trace_id in line]
    assert any(line["level"] == "error" and "RuntimeError" in str(line["exception"]) for line in lines)


async def test_a_fault_undoes_what_the_call_had_done(toy):
    with refused(ErrorReason.ERROR_REASON_INTERNAL):
        await write(toy, "fail anyhow")

    assert await toy.published() == []


async def test_bytes_that_are_no_request_are_refused_in_our_words(toy):
    channel = toy.clients.channel(toy.clients.cluster.address("toy"))
    call = channel.unary_unary("/commerce.customer.v1.CustomerService/ListCustomers")

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT):
        await call(b"\xff\xff\xff", metadata=(("authorization", f"Bearer {toy.token}"),))


async def test_every_field_that_breaks_its_rule_is_named(toy):
    request = ListCustomersRequest(store_id="mine", page_size=-1, query="x" * 201)

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await toy.as_service.customers.ListCustomers(request)

    assert said.violations.keys() == {"store_id", "page_size", "query"}


async def test_an_rpc_that_nobody_offers_is_unimplemented(toy):
    channel = toy.clients.channel(toy.clients.cluster.address("toy"))

    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await channel.unary_unary("/commerce.customer.v1.CustomerService/Guess")(b"")

    assert refusal.value.code() is grpc.StatusCode.UNIMPLEMENTED
