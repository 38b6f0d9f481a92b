"""The same by gRPC, through the gateway and at the services: every RPC of the contract, whatever the bytes are."""

import asyncio
import random

import grpc
import pytest
from commerce.catalog.v1.stock_service_pb2 import SetStockRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_pb2 import OrderState
from commerce.order.v1.order_service_pb2 import ListOrdersRequest

from tests.edge.answers import ask, of_rest
from tests.edge.contract import closed, rpcs
from tests.shop import WAIT_SECONDS, new_id, refused

pytestmark = pytest.mark.usefixtures("unchanged")
MILLION = 1_000_000
# Field 1 is a string in every request of the contract that asks for something.
MALFORMED = {
    "a field number of zero": b"\x00",
    "a varint without an end": b"\xff" * 11,
    "a length without its bytes": b"\x0a\x7f",
    "a length beyond any": b"\x0a\xff\xff\xff\xff\x0f",
    "a wire type that is none": b"\x0f",
    "a group that never ends": b"\x0b",
    "a text that is no UTF-8": b"\x0a\x02\xff\xfe",
    "a text of a surrogate": b"\x0a\x03\xed\xa0\x80",
    "JSON": b'{"order_id": "x"}',
}
# What is read, but says nothing: fields of no message, or nothing at all.
EMPTY = {
    "nothing": b"",
    "a field that does not exist": b"\xfa\xff\x03\x01x",
    "a number for a text": b"\x08\x01",
}


@pytest.mark.parametrize("case", MALFORMED | EMPTY)
async def test_every_rpc_refuses_as_a_message(shop, gateway, case):
    body = (MALFORMED | EMPTY)[case]
    for at in (shop.as_service, shop.as_("platform_admin"), shop.as_service.at(gateway)):
        allowed = [rpc for rpc in rpcs() if rpc.public or _role(at) in rpc.allow]
        answers = await asyncio.gather(*(ask(at, rpc, body) for rpc in allowed))
        for rpc, answer in zip(allowed, answers, strict=True):
            if rpc.asks_for_nothing and answer.reason == "OK":
                continue
            # A webhook is a text in field 1 and a body; a gateway that has no name is none.
            assert answer.reason in ("INVALID_ARGUMENT", "GATEWAY_UNKNOWN"), (rpc.path, str(answer))
            assert case not in EMPTY or answer.violations, (rpc.path, str(answer))


async def test_every_rpc_refuses_noise(shop):
    chance = random.Random(1)
    service = shop.as_service
    asked = [rpc for rpc in closed() for _ in range(10)]
    calls = [ask(service, rpc, chance.randbytes(chance.randint(1, 200))) for rpc in asked]
    answers = await asyncio.gather(*calls)
    for rpc, answer in zip(asked, answers, strict=True):
        # What is noise may be fields that are not known, beside nothing.
        fine = answer.reason == "OK" and rpc.asks_for_nothing
        assert fine or answer.reason in ("INVALID_ARGUMENT", "PERMISSION_DENIED"), (rpc.path, str(answer))


async def test_every_text_has_a_bound(shop, gateway):
    """A request with a text of almost a million characters, in each text field that it has."""
    service = shop.as_service
    for rpc in closed():
        for field in rpc.method.input_type.fields:
            if field.type != field.TYPE_STRING or field.is_repeated or "SERVICE" not in rpc.allow:
                continue
            request = rpc.request(store_id=shop.store_id)
            setattr(request, field.name, "x" * (MILLION - 1000))
            for at in (service, service.at(gateway)):
                answer = await ask(at, rpc, request.SerializeToString())
                assert (answer.reason, list(answer.violations)) == ("INVALID_ARGUMENT", [field.name])


async def test_no_text_takes_a_nul(shop):
    service = shop.as_service
    for rpc in closed():
        for field in rpc.method.input_type.fields:
            if field.type != field.TYPE_STRING or field.is_repeated or "SERVICE" not in rpc.allow:
                continue
            request = rpc.request(store_id=shop.store_id)
            setattr(request, field.name, "a\0b")
            answer = await ask(service, rpc, request.SerializeToString())
            assert (answer.reason, next(iter(answer.violations))) == ("INVALID_ARGUMENT", field.name), (
                rpc.path
            )


async def test_a_message_over_the_limit_is_refused(shop, gateway):
    """By the gateway in our words; what comes past it is refused by gRPC itself, before it is read.

    A stream of requests is not held up at the gateway to be measured.
    """
    service = shop.as_service
    body = b"\xfa\xff\x03\xff\xff\x7f" + 2 * MILLION * b"x"
    for rpc in closed():
        if rpc.method.client_streaming:
            continue
        answer = await ask(service.at(gateway), rpc, body)
        assert answer.reason == "INVALID_ARGUMENT", (rpc.path, str(answer))
    streaming = [rpc for rpc in closed() if rpc.method.client_streaming]
    one_each = {rpc.code: rpc for rpc in closed() if not rpc.method.server_streaming}.values()
    past_it = [(shop.clients.cluster.address(rpc.code), rpc) for rpc in one_each]
    metadata = (("authorization", f"Bearer {service.token}"),)
    for address, rpc in past_it + [(gateway, rpc) for rpc in streaming]:
        channel = shop.clients.channel(address)
        with pytest.raises(grpc.aio.AioRpcError) as past:
            await channel.unary_unary(rpc.path)(body, metadata=metadata, timeout=WAIT_SECONDS)
        assert past.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_what_is_not_offered_is_refused_in_our_words(shop, gateway):
    for at in (shop, shop.at(gateway)):
        for rpc in rpcs()[:1]:
            channel = at.clients.channel(at.address or at.clients.cluster.address(rpc.code))
            for path in (f"{rpc.path}s", "/commerce.no.v1.Service/Call", "/"):
                with refused(ErrorReason.ERROR_REASON_UNIMPLEMENTED):
                    metadata = (("authorization", f"Bearer {at.token}"),)
                    await channel.unary_unary(path)(b"", metadata=metadata, timeout=WAIT_SECONDS)


async def test_an_enum_that_has_no_name_is_refused(shop, gateway):
    for at in (shop, shop.at(gateway)):
        for state in (99, -1, 2**31 - 1):
            with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
                await at.orders.ListOrders(
                    ListOrdersRequest(store_id=shop.store_id, state=OrderState.ValueType(state))
                )
            assert list(said.violations) == ["state"]


async def test_a_negative_number_is_refused(shop, gateway):
    for at in (shop, shop.at(gateway)):
        with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
            await at.stock.SetStock(SetStockRequest(product_id=new_id(), quantity=-1, request_id=new_id()))
        assert list(said.violations) == ["quantity"]


async def test_webhooks_that_nobody_sent_are_refused(shop):
    for headers in (
        {},
        {"sandbox-signature": ""},
        {"sandbox-signature": "t=1,v1=ab"},
        {"sandbox-signature": "t=x,v1=" + 64 * "0"},
        {"sandbox-signature": "t=99999999999999999999,v1=" + 64 * "0"},
        {"sandbox-signature": "\xff"},
        {"sandbox-signature": "t=1" * 1000},
    ):
        for body in (b"", b"{}", b"\x00\xff", b"[" * 100_000):
            reply = await shop.rest("POST", "/v1/webhooks/sandbox", token="", data=body, headers=headers)
            assert of_rest(reply).reason in ("WEBHOOK_SIGNATURE_INVALID", "INVALID_ARGUMENT"), headers
    answer = of_rest(await shop.rest("POST", "/v1/webhooks/nobody", token="", data=b"{}"))
    assert answer.reason == "GATEWAY_UNKNOWN"


def _role(shop):
    return "SERVICE" if shop.token == shop.as_service.token else "PLATFORM_ADMIN"
