"""Buyers without a customer, a basket or a driver: orders as CreateOrder ends with them, put on record by hand."""

from datetime import timedelta
from uuid import UUID

from commerce.common.v1.money_pb2 import Money
from commerce.order.v1.order_events_pb2 import OrderCreated
from commerce.order.v1.order_pb2 import Order, OrderLine
from commerce.order.v1.order_service_pb2 import CreateOrderResponse

from services.order import life, placing, rules
from services.runtime import times
from services.runtime.telemetry import Trace
from services.runtime.work import Key, Work
from tests.shop import new_id

PRICE = 1999
HASH = b"#" * 40
# Of the database of the test's own process.
CONNECTIONS, PATIENT_SECONDS = 8, 60


class Buyer:
    """An order of a customer, as CreateOrder ends with it; no driver looks at it for days."""

    def __init__(self, store_id, quantities=(1,), customer=None, request_id=None, actor="a test"):
        now = times.now()
        self.request_id = request_id or new_id()
        trace = Trace.parse(f"00-{new_id().replace('-', '')}-{'a' * 16}-00")
        assert trace
        self.trace = trace
        price = Money(currency_code="EUR", minor_units=PRICE)
        total = Money(currency_code="EUR", minor_units=PRICE * sum(quantities))
        nothing = Money(currency_code="EUR")
        self.order = Order(
            order_id=new_id(),
            store_id=store_id,
            customer_id=customer or new_id(),
            lines=[
                OrderLine(product_id=new_id(), sku="S", name="N", quantity=each, unit_price=price)
                for each in quantities
            ],
            total=total,
            subtotal=total,
            discount=nothing,
            tax=nothing,
            shipping=nothing,
            shipping_tax=nothing,
            state=life.START,
            sequence=1,
            payment_method="pm_sandbox_ok",
            create_time=times.timestamp(now),
            expire_time=times.timestamp(now + timedelta(days=9)),
        )
        self.values = placing.placed(self.order) | {
            "order_request_id": self.request_id,
            "order_actor": actor,
            "order_trace_id": self.trace.trace_id,
            "order_traceparent": self.trace.traceparent,
            "order_due_time": now + timedelta(days=9),
        }

    async def place(self, writer, runtime, *before):
        work = Work(runtime.database, Key(self.request_id, HASH))
        event = OrderCreated(order=rules.reference(self.order, self.order.sequence), lines=self.order.lines)
        work.publish(event, self.trace)
        try:
            for do in before:
                await do(work)
            await writer.place(work, CreateOrderResponse(order=self.order), self.values)
        except BaseException as error:
            await work.roll_back(error)
            raise

    async def agrees(self, shop):
        """What is on record is this very order: its lines, first event, first reply and the event that goes out."""
        rows = await shop.clients.rows(
            'SELECT quantity FROM "order".order_lines WHERE order_id = $1 ORDER BY position', self.id
        )
        assert [row["quantity"] for row in rows] == [line.quantity for line in self.order.lines]
        (event,) = await shop.clients.rows(
            'SELECT * FROM "order".orders JOIN "order".order_events USING (order_id) WHERE order_id = $1',
            self.id,
        )
        assert event["placed"] == self.values["order_placed"]
        assert event["total_minor_units"] == self.order.total.minor_units
        assert (event["step"], event["trace_id"]) == ("create", self.trace.trace_id)
        (reply,) = await shop.clients.rows(
            'SELECT * FROM "order".first_replies WHERE request_id = $1', UUID(self.request_id)
        )
        assert CreateOrderResponse.FromString(reply["reply"]).order == self.order
        (published,) = await self.published(shop)
        assert OrderCreated.FromString(published["payload"]).lines == self.order.lines
        assert published["traceparent"] == self.trace.traceparent

    @property
    def id(self):
        return UUID(self.order.order_id)

    async def published(self, shop):
        sql = 'SELECT payload, traceparent FROM "order".outbox WHERE type = $1 AND create_time >= $2'
        rows = await shop.clients.rows(
            sql, OrderCreated.DESCRIPTOR.full_name, times.time_of(self.order.create_time)
        )
        return [
            row
            for row in rows
            if OrderCreated.FromString(row["payload"]).order.order_id == self.order.order_id
        ]
