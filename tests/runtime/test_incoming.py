"""An RPC that takes many requests: each is a transaction of its own, and what was committed stays."""

import asyncio
import signal
import time

import grpc
import pytest
from commerce.catalog.v1.catalog_service_pb2 import ImportProductsRequest, ImportRow
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.runtime.conftest import LIMITS, ask
from tests.shop import WAIT_SECONDS, eventually, new_id, refused

# A store alone may have three quarters, of imports as of streams.
STREAMS = int(LIMITS["COMMERCE_OPEN_STREAMS"]) * 3 // 4
CONNECTIONS = int(LIMITS["COMMERCE_DATABASE_CONNECTIONS"])
# What grpc.aio's client makes of a refusal that comes while it still sends.
FORGOTTEN = grpc.StatusCode.INTERNAL
TRACE = "0af7651916cd43dd8448eb211c80319c"


def messages(toy, *words, end="", **given):
    """One message for each text that says what the toy is to do; `end` is for the end of the stream."""
    values = {"store_id": toy.store_id, "request_id": new_id()} | given
    return [
        ImportProductsRequest(batch=number, rows=[ImportRow(sku="1", name=each, tax_class=end)], **values)
        for number, each in enumerate(words, 1)
    ]


async def told(toy):
    """What the toy has told of: the numbers of batches, and "end"."""
    return [event.product.sku for event in await toy.published()]


async def sent(toy, *requests, **options):
    reply = await toy.imports.ImportProducts(iter(requests), **options)
    return reply.product_import.batches


async def test_each_message_is_committed_and_told_before_the_next_comes(toy):
    call = toy.imports.ImportProducts()
    for number, message in enumerate(messages(toy, "", "", ""), 1):
        await call.write(message)

        async def committed(number=number):
            return await told(toy) == [str(each) for each in range(1, number + 1)]

        await eventually(committed)
    await call.done_writing()

    assert (await call).product_import.batches == 3
    assert await told(toy) == ["1", "2", "3", "end"]


async def test_the_client_hears_that_it_is_served_before_it_has_sent_anything(toy):
    """A gateway waits for a request's end only until the reply has begun."""
    call = toy.imports.ImportProducts()

    async with asyncio.timeout(WAIT_SECONDS):
        await call.initial_metadata()

    call.cancel()


async def test_a_refusal_in_the_middle_ends_it_and_what_was_committed_stays(toy):
    with refused(ErrorReason.ERROR_REASON_IMPORT_OUT_OF_ORDER, expected="7", message="3") as said:
        await sent(toy, *messages(toy, "", "", "refuse 7"))

    assert said.message == "Message 3: As you wish"
    assert await told(toy) == ["1", "2"]


async def test_each_message_is_validated_and_the_field_and_the_message_are_named(toy):
    good, bad = messages(toy, "", "")
    bad.batch = 0

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message="2") as said:
        await sent(toy, good, bad)

    assert said.violations.keys() == {"batch"}
    assert await told(toy) == ["1"]


async def test_a_message_that_is_none_is_refused(toy):
    call = toy.imports.ImportProducts()
    await call.write(messages(toy, "")[0])
    raw = toy.clients.channel(toy.clients.cluster.address("toy")).stream_unary(
        "/commerce.catalog.v1.ImportService/ImportProducts"
    )

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message="1"):
        await raw(iter([b"\xff"]), metadata=(("authorization", f"Bearer {toy.token}"),))

    call.cancel()


async def test_a_stream_without_messages_is_refused(toy):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT):
        await sent(toy)

    assert await told(toy) == []


@pytest.mark.parametrize("role", ["customer", "courier"])
async def test_who_may_not_call_it_is_refused(toy, role):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role=role.upper()):
        await sent(toy.as_(role, new_id() if role == "customer" else None), *messages(toy, ""))


async def test_without_a_token_it_is_refused(toy):
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await sent(toy.as_nobody, *messages(toy, ""))


async def test_a_message_for_another_store_is_refused(toy):
    (foreign,) = messages(toy, "", store_id=new_id())

    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, message="2"):
        await sent(toy, *messages(toy, ""), foreign)

    assert await told(toy) == ["1"]


@pytest.mark.parametrize("field", ["store_id", "request_id"])
async def test_what_a_stream_is_about_cannot_change_on_its_way(toy, field):
    first, second = messages(toy, "", "")
    setattr(second, field, new_id())

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message="2") as said:
        await sent(toy.as_service, first, second)

    assert said.violations.keys() == {field}
    assert await told(toy) == ["1"]


async def test_a_token_that_expires_on_the_way_ends_it(toy):
    """The server allows five seconds of leeway."""
    token = toy.clients.cluster.token("store_admin", toy.store_id, lifetime=0.0)
    made = time.monotonic()
    call = toy.with_token(token).imports.ImportProducts()
    first, second = messages(toy, "", "")
    await call.write(first)

    async def committed():
        return await told(toy) == ["1"]

    await eventually(committed)
    await asyncio.sleep(made + 6 - time.monotonic())

    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED, message="2"):
        await call.write(second)
        await asyncio.wait_for(call, WAIT_SECONDS)


@pytest.mark.parametrize("hindered", ["hinder 1", "hinder 2", "overtake 30"])
async def test_a_message_that_others_hindered_is_done_again_and_takes_effect_once(toy, hindered):
    assert await sent(toy, *messages(toy, "", hindered, "")) == 3

    assert await told(toy) == ["1", "2", "3", "end"]


async def test_a_message_that_others_hinder_again_and_again_is_refused_and_the_next_is_not_taken_for_it(toy):
    with refused(ErrorReason.ERROR_REASON_UNAVAILABLE, message="2") as said:
        await sent(toy, *messages(toy, "", "hinder 3"))
    assert said.retry_seconds is not None

    other = toy.another()
    with pytest.raises(grpc.aio.AioRpcError) as hindered:
        await sent(other, *messages(other, "", "hinder 3", "", ""))
    assert hindered.value.code() in (grpc.StatusCode.UNAVAILABLE, FORGOTTEN)
    assert await told(toy) == await told(other) == ["1"]


async def test_a_message_that_is_overtaken_without_end_ends_with_its_time(toy):
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await sent(toy, *messages(toy, "overtake 1000000"), timeout=1)

    assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await told(toy) == []


async def test_the_end_that_others_hindered_is_done_again_and_takes_effect_once(toy):
    assert await sent(toy, *messages(toy, "", "", end="2")) == 2

    assert await told(toy) == ["1", "2", "end"]


async def test_a_stream_that_was_broken_off_keeps_what_it_committed_and_has_no_end(toy):
    call = toy.imports.ImportProducts()
    first, second = messages(toy, "", "query 3")
    await call.write(first)
    await call.write(second)

    async def at_work():
        return await toy.clients.rows(
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(%' AND state = 'active' AND usename = 'toy'"
        )

    await eventually(at_work)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call

    async def over():
        return not await at_work()

    await eventually(over)
    assert await told(toy) == ["1"]
    await asyncio.gather(*(ask(toy, "query 0.01") for _ in range(2 * CONNECTIONS)))


async def test_a_message_that_is_too_large_is_not_taken_for_the_end(toy):
    """gRPC ends a broken stream's messages as it ends a whole one's: now and then the difference shows only later."""
    huge = messages(toy, "", "x" * 100_000)

    async def refusal():
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await sent(toy, *huge)
        return error.value.code()

    for _ in range(10):
        codes = await asyncio.gather(*(refusal() for _ in range(5)))
        assert set(codes) <= {grpc.StatusCode.RESOURCE_EXHAUSTED, FORGOTTEN}

    assert set(await told(toy)) <= {"1"}


async def test_the_contract_gives_it_more_time_than_other_calls_have(toy):
    assert await sent(toy, *messages(toy, "sleep 0.7", "sleep 0.7")) == 2


async def test_the_clients_own_deadline_ends_it(toy):
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await sent(toy, *messages(toy, "", "sleep 60"), timeout=3)

    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert await told(toy) == ["1"]


async def test_a_store_has_so_many_open_and_they_hold_no_database_connection(toy):
    calls = [toy.imports.ImportProducts() for _ in range(STREAMS)]
    for call in calls:
        await call.write(messages(toy, "")[0])

    async def all_open():
        return len(await told(toy)) == STREAMS

    await eventually(all_open)
    with refused(ErrorReason.ERROR_REASON_OVERLOADED) as said:
        await sent(toy, *messages(toy, ""))
    assert said.retry_seconds is not None
    await asyncio.gather(*(ask(toy, "query 0") for _ in range(2 * CONNECTIONS)))

    for call in calls:
        await call.done_writing()
    assert [(await call).product_import.batches for call in calls] == [1] * STREAMS


async def test_its_request_id_is_not_the_key_of_a_first_reply(toy):
    request_id = new_id()

    for _ in range(2):
        assert await sent(toy, *messages(toy, "", request_id=request_id)) == 1

    assert await told(toy) == ["1", "end"] * 2
    assert await toy.clients.rows("SELECT 1 FROM toy.first_replies WHERE request_id = $1", request_id) == []


async def test_all_of_it_is_one_trace(toy):
    traceparent = f"00-{TRACE}-b7ad6b7169203331-01"

    await sent(toy, *messages(toy, "", ""), metadata=(("traceparent", traceparent),))

    rows = await toy.clients.rows(
        "SELECT traceparent FROM toy.outbox WHERE position($1::bytea in payload) > 0", toy.store_id.encode()
    )
    assert [row["traceparent"].split("-")[1] for row in rows] == [TRACE] * 3
    # Each message has a span of its own.
    assert len({row["traceparent"] for row in rows}) == 3


async def test_a_server_that_stops_takes_no_more_of_it(toy):
    call = toy.imports.ImportProducts()
    first, second = messages(toy, "sleep 0.7", "")
    await call.write(first)
    await call.initial_metadata()
    await asyncio.sleep(0.2)

    toy.clients.cluster.kill("toy", signal.SIGTERM)
    await asyncio.sleep(0.2)

    with refused(ErrorReason.ERROR_REASON_UNAVAILABLE, message="2") as said:
        await call.write(second)
        await asyncio.wait_for(call, WAIT_SECONDS)
    assert said.retry_seconds is not None
    await toy.clients.cluster.wait_ready("toy")
    assert await told(toy) == ["1"]
