"""Whether all agree, once everything is still: people, orders, payments, the provider, the shelf and the books."""

import asyncio
from collections.abc import Iterator, Sequence

import nats
from nats.aio.client import Client
from nats.js.api import ConsumerInfo

from services.runtime.jetstream import STREAM
from tests.oracle import model
from tests.oracle.people import MOVING, STOCK, People
from tests.order.asks import name
from tests.payment.agreement import Account, accounts, complaints, unsettled
from tests.saga.checkouts import stock
from tests.shop import Clients, eventually

STILL_SECONDS = 120.0


async def still(clients: Clients, lived: Sequence[People]) -> None:
    """Wait until nothing is under way any more: no order, no operation, no event."""
    client = await nats.connect(clients.cluster.nats_url)
    try:

        async def nothing_moves() -> bool:
            for _ in range(2):  # What was seen still may have set something off.
                if await _stirs(clients, lived) or await _undelivered(client):
                    return False
            return True

        try:
            await eventually(nothing_moves, STILL_SECONDS)
        except TimeoutError:
            stirring = [*await _stirs(clients, lived), *await _undelivered(client)]
            raise AssertionError(f"not still: {stirring[:5]}") from None
    finally:
        await client.close()


async def _stirs(clients: Clients, lived: Sequence[People]) -> list[str]:
    rows = []
    for definition in clients.cluster.chosen:
        rows += await clients.rows(
            f'SELECT type FROM "{definition.code}".outbox WHERE publish_time IS NULL LIMIT 3'
        )
    found = [str(row["type"]) for row in rows]
    orders = await asyncio.gather(*(each.now() for each in lived))
    for each, order in zip(lived, orders, strict=True):
        each.order = order
        each.expected.state = name(order.state)
        if each.expected.state in MOVING:
            found.append(f"it moves: {each}")
        found += [f"{operation} of {each}" for operation in await unsettled(each.shop)]
    return found


async def _undelivered(client: Client) -> list[str]:
    consumers: list[ConsumerInfo] = await client.jetstream().consumers_info(STREAM)
    return [each.name for each in consumers if each.num_pending or each.num_ack_pending]


async def wrong(each: People) -> list[str]:
    """What is wrong with an order of which everything is still."""
    order, found = each.order, await accounts(each.shop)
    account = found.get(order.order_id)
    return [
        *_goods(each, [await stock(each.shop, product) for product in each.expected.lines]),
        *_money(each, account),
        # A payment that was called off before it was asked for has no life.
        *(complaints(account) if account and account.operations else ()),
        *await _dead_letters(each),
    ]


def _goods(each: People, shelves: Sequence[tuple[int, int]]) -> Iterator[str]:
    for (product, line), (on_hand, reserved) in zip(each.expected.lines.items(), shelves, strict=True):
        gone, set_aside = model.shelf(each.expected, line)
        if (on_hand, reserved) != (STOCK - gone, set_aside):
            yield f"{on_hand} on hand, {reserved} reserved of {product}; {gone} gone, {set_aside} set aside"
    for told in each.order.lines:
        ours = each.expected.lines[told.product_id]
        if (told.shipped_quantity, told.returned_quantity) != (ours.sent, ours.back):
            yield f"{told.shipped_quantity} sent and {told.returned_quantity} back, and people say {ours}"


def _money(each: People, account: Account | None) -> Iterator[str]:
    if account is None:
        if each.expected.state not in model.OVER:
            yield "it has no payment"
        return
    by_hand = {
        kind: sum(
            operation["amount_minor_units"]
            for operation in account.done(kind)
            if str(operation["request_id"]) in each.requests[kind]
        )
        for kind in each.requests
    }
    each.expected.captured, each.expected.refunded = by_hand["capture"], by_hand["refund"]
    sums = account.sums
    yield from model.money(
        each.expected,
        taken=sums["captured"],
        gone_back=sums["refunded"],
        lost=sums["charged_back"],
        not_given=sum(returned.unrefunded.minor_units for returned in each.order.returns),
        unpaid=each.order.unpaid_reason,
    )
    if each.order.refunded.minor_units != sums["refunded"]:
        yield f"the order says {each.order.refunded.minor_units} went back, the payment {sums['refunded']}"
    for returned in each.order.returns:
        if returned.refund.minor_units != returned.refunded.minor_units + returned.unrefunded.minor_units:
            yield f"a return does not add up: {returned}"
        if bool(returned.unrefunded.minor_units) != bool(returned.unrefunded_reason):
            yield f"a return says no reason: {returned}"


async def _dead_letters(each: People) -> list[str]:
    found = []
    for definition in each.shop.clients.cluster.chosen:
        rows = await each.shop.clients.rows(
            f"""SELECT type, reason FROM "{definition.code}".dead_letters
            WHERE position(convert_to($1, 'UTF8') IN payload) > 0""",
            each.order.order_id,
        )
        found += [f"dead letter: {row['type']}: {row['reason']}" for row in rows]
    return found
