"""What the order service asks of the catalog's stock, and what the database holds afterwards."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

from commerce.catalog.v1.catalog_pb2 import ReservationState, StockChangeKind
from commerce.catalog.v1.stock_service_pb2 import (
    AdjustStockRequest,
    CommitReservationsRequest,
    GetStockRequest,
    ListStockChangesRequest,
    ReleaseReservationsRequest,
    ReservationLine,
    ReservationRequest,
    ReserveStockRequest,
)
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money

PRICE = 1999
# What an order may be late without the sweeper taking its units back.
GRACE = timedelta(minutes=10)


def new_id() -> str:
    return str(uuid.uuid4())


def wants(shop, *lines, order_id="", price=PRICE, currency="EUR", **given):
    """One order's wish; lines are pairs of product and quantity."""
    unit_price = Money(currency_code=currency, minor_units=price)
    values = {
        "order_id": order_id or new_id(),
        "store_id": shop.store_id,
        "customer_id": new_id(),
        "expire_time": datetime.now(UTC) + timedelta(hours=1),
        "lines": [
            ReservationLine(product_id=product_id, quantity=quantity, unit_price=unit_price)
            for product_id, quantity in lines
        ],
    }
    return ReservationRequest(**(values | given))


async def reserve(shop, *wanted):
    """The batch's answers, in words: HELD, or the reason of a refusal."""
    request = ReserveStockRequest(reservations=wanted, request_id=new_id())
    return said((await shop.as_service.stock.ReserveStock(request)).results)


async def commit(shop, *order_ids):
    request = CommitReservationsRequest(order_ids=order_ids, request_id=new_id())
    return said((await shop.as_service.stock.CommitReservations(request)).results)


async def release(shop, *order_ids):
    request = ReleaseReservationsRequest(order_ids=order_ids, request_id=new_id())
    return said((await shop.as_service.stock.ReleaseReservations(request)).results)


async def held(shop, *lines, **given):
    """The id of an order that has its units set aside."""
    order_id = new_id()
    assert await reserve(shop, wants(shop, *lines, order_id=order_id, **given)) == ["HELD"]
    return order_id


def too_late():
    """An order's expire_time with which its reservation is overdue from the start."""
    return datetime.now(UTC) - GRACE


async def adjust(shop, product_id, delta, reason="delivery"):
    request = AdjustStockRequest(product_id=product_id, delta=delta, reason=reason, request_id=new_id())
    return await shop.stock.AdjustStock(request)


async def changes(shop, product_id, page_size=500):
    """What happened to a product's units on hand, the oldest first: the whole history, page by page."""
    found, token = [], ""
    while True:
        request = ListStockChangesRequest(product_id=product_id, page_size=page_size, page_token=token)
        reply = await shop.stock.ListStockChanges(request)
        found += reply.changes
        token = reply.next_page_token
        if not token:
            return found[::-1]


def kind(change):
    return StockChangeKind.Name(change.kind).removeprefix("STOCK_CHANGE_KIND_")


async def stock(shop, product_id):
    """A product's units on hand, reserved, and free."""
    reply = await shop.stock.GetStock(GetStockRequest(product_id=product_id))
    return reply.on_hand, reply.reserved, reply.available


async def promised(shop, product_id):
    """The units of a product in HELD and in COMMITTED reservations, as the database's rows add up."""
    rows = await shop.clients.rows(
        "SELECT state, sum(line.quantity) AS units FROM catalog.reservations, "
        "unnest(product_ids, quantities) AS line(product_id, quantity) "
        "WHERE line.product_id = $1 GROUP BY state",
        product_id,
    )
    units = {row["state"]: row["units"] for row in rows}
    return units.get(ReservationState.RESERVATION_STATE_HELD, 0), units.get(
        ReservationState.RESERVATION_STATE_COMMITTED, 0
    )


async def at_once(*calls):
    return list(await asyncio.gather(*calls))


def deadlocks(shop):
    """How many deadlocks PostgreSQL has broken so far."""
    return shop.clients.cluster.home.log("postgres").read_text().count("deadlock detected")


def said(results):
    return [
        ErrorReason.Name(result.reason).removeprefix("ERROR_REASON_")
        if result.reason
        else ReservationState.Name(result.state).removeprefix("RESERVATION_STATE_")
        for result in results
    ]
