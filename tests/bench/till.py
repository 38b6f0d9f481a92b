"""The payment service by itself, what asks it, and the SQL that it runs for that as pgbench scripts.

Nobody else is there: who hears of a payment would have to know its order.
"""

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.payment_pb2 import Payment, PaymentLine
from commerce.payment.v1.payment_service_pb2 import (
    AuthorizePaymentRequest,
    AuthorizePaymentResponse,
    CapturePaymentRequest,
    CapturePaymentResponse,
)

from services.cluster.cluster import Cluster
from services.payment.payments import records
from tests.bench.house import House
from tests.bench.recorded import Unit, only, recorded, schemas, script
from tests.bench.replay import Connection, head, once

AUTHORIZE = "commerce.payment.v1.PaymentService/AuthorizePayment"
CAPTURE = "commerce.payment.v1.PaymentService/CapturePayment"
STORE = "01890000-0000-7000-8000-00000000710e"
LINES = 3
# Of each line, in minor units.
GROSS, DISCOUNT, TAX = 1999, 199, 342
PRICE = LINES * (GROSS - DISCOUNT + TAX)
# The order, the customer and the request of an authorization: each has its own.
_MARKS = [f"00000000-0000-0000-0000-{number:012}" for number in range(3)]
# What there is to capture: captures.py writes it.
_CAPTURES = """
CREATE SCHEMA bench;
CREATE SEQUENCE bench.captured;
CREATE TABLE bench.captures (number bigserial PRIMARY KEY, payment uuid, operation uuid)
"""
_NEXT = "bench.captures WHERE number = (SELECT nextval('bench.captured'))"


@dataclass
class Till:
    """`original` is a payment that the service has captured. `scripts` by name: "authorize" and "capture"."""

    cluster: Cluster
    database: asyncpg.Connection
    connection: Connection
    scripts: dict[str, Path] = field(default_factory=dict)
    original: Payment = field(default_factory=Payment)
    _order: bytes = field(default_factory=lambda: _asked().SerializeToString())

    def head(self, method: str) -> bytes:
        """The headers of a call."""
        return head(self.cluster.address("payment"), method, self.cluster.token("service"))

    def order(self) -> bytes:
        """What asks for the payment of an order, which is new."""
        order = self._order
        for mark in _MARKS:
            order = order.replace(mark.encode(), str(uuid.uuid4()).encode())
        return order

    async def authorize(self) -> None:
        """Have the payment of an order authorized; it is the original from here on."""
        request = AuthorizePaymentRequest.FromString(self.order())
        reply = await once(self.connection, self.head(AUTHORIZE), request)
        self.original = AuthorizePaymentResponse.FromString(reply).payment

    async def capture(self) -> None:
        """Have the original captured."""
        request = CapturePaymentRequest(payment_id=self.original.payment_id, request_id=str(uuid.uuid4()))
        reply = await once(self.connection, self.head(CAPTURE), request)
        self.original = CapturePaymentResponse.FromString(reply).payment


async def till(house: House) -> Till:
    """Set it up, with an authorization and a capture recorded. The second time it is the same."""
    if isinstance(house.till, Till):
        return house.till
    cluster = await house.start("till", "payment")
    stand = Till(cluster, await house.connect(cluster), await Connection.to(cluster.address("payment")))
    await stand.database.execute(_CAPTURES)
    tables = await schemas(stand.database)
    await stand.authorize()  # What comes first reads the store's settings.

    authorizing = await _ran(stand, stand.authorize, records.PAYMENT_RECORDED.sql, _CHANGED)
    # What the provider was asked for is on record before; this is what has come of it.
    capturing = await _ran(stand, stand.capture, _CHANGED)
    operation = stand.original.operations[-1]
    known = {STORE: "", stand.original.payment_id: "payment", operation.operation_id: "operation"}
    texts = {
        "authorize": script(authorizing, tables, {STORE: ""}),
        "capture": script(capturing, tables, known, _NEXT),
    }
    for name, text in texts.items():
        stand.scripts[name] = house.folder / f"{name}.sql"
        stand.scripts[name].write_text(text)
    house.till = stand
    return stand


_CHANGED = records.PAYMENT_CHANGED_AND_CLOSED.sql


async def _ran(stand: Till, body: Callable[[], Awaitable[None]], *wanted: str) -> list[Unit]:
    """Return the statements that were wanted, as a body ran them."""
    units = only(await recorded(stand.database, stand.cluster.home.log("postgres"), body), set(wanted))
    if len(units) != len(wanted):
        raise RuntimeError("PostgreSQL's log does not tell what an authorization and a capture run")
    return units


def _asked() -> AuthorizePaymentRequest:
    """What the order service asks for."""
    lines = [
        PaymentLine(
            product_id=str(uuid.uuid4()), gross=_euros(GROSS), discount=_euros(DISCOUNT), tax=_euros(TAX)
        )
        for _ in range(LINES)
    ]
    order, customer, request = _MARKS
    return AuthorizePaymentRequest(
        order_id=order,
        store_id=STORE,
        customer_id=customer,
        amount=_euros(PRICE),
        payment_method="pm_sandbox_ok",
        request_id=request,
        lines=lines,
    )


def _euros(minor_units: int) -> Money:
    return Money(currency_code="EUR", minor_units=minor_units)
