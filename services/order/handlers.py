"""OrderService: one method per RPC, in the order of the contract."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_events_pb2 import OrderCreated
from commerce.order.v1.order_pb2 import Order, OrderLine, OrderUpdate
from commerce.order.v1.order_service_pb2_grpc import OrderServiceServicer

from services.order import queries, rules
from services.order.baskets import Baskets
from services.order.driver import Driver
from services.order.transitions import Move, Transitions
from services.runtime import telemetry
from services.runtime.hub import Hub
from services.runtime.ids import new_id
from services.runtime.pages import Pages
from services.runtime.refusals import Refusal
from services.runtime.statements import Statement
from services.runtime.work import Call


class OrderService(OrderServiceServicer):
    """Orders from the click to the door."""

    def __init__(
        self, baskets: Baskets, driver: Driver, transitions: Transitions, hub: Hub, pages: Pages
    ) -> None:
        self._baskets, self._driver, self._transitions = baskets, driver, transitions
        self._hub, self._pages = hub, pages

    async def CreateOrder(self, request: rpc.CreateOrderRequest, call: Call) -> rpc.CreateOrderResponse:
        if not call.caller.may_see(request.store_id, request.customer_id):
            raise Refusal(ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND, customer_id=request.customer_id)
        products = await self._baskets.products(request)
        order = _placed(request, rules.lines(request.lines, products))
        reply = rpc.CreateOrderResponse(order=order)
        trace = telemetry.current()

        call.publish(OrderCreated(order=rules.reference(order), lines=order.lines))
        call.after_commit(lambda: self._driver.take(order, trace))
        await call.commit(
            queries.ORDER_PLACED,
            reply,
            actor=call.caller.actor,
            trace_id=trace.trace_id if trace else "",
            order_traceparent=trace.traceparent if trace else "",
            due_time=self._driver.due_time(),
            **queries.placed(order, order.lines),
        )
        return reply

    async def GetOrder(self, request: rpc.GetOrderRequest, call: Call) -> rpc.GetOrderResponse:
        return rpc.GetOrderResponse(order=await _visible(call, queries.ORDER, request.order_id))

    async def ListOrders(self, request: rpc.ListOrdersRequest, call: Call) -> rpc.ListOrdersResponse:
        size, position = self._pages.size(request), self._pages.position(request)
        customer_id = call.caller.customer_id if call.caller.role == "CUSTOMER" else ""
        rows = await call.db.rows(
            queries.ORDERS[bool(customer_id), bool(request.state)],
            store_id=request.store_id,
            customer_id=customer_id,
            state=request.state,
            before=position[0] if position else queries.NEWEST,
            size=size + 1,
        )
        orders = queries.orders_of(rows)
        token = self._pages.token(request, [orders[size - 1].order_id]) if len(orders) > size else ""
        return rpc.ListOrdersResponse(orders=orders[:size], next_page_token=token)

    async def AcceptOrder(self, request: rpc.AcceptOrderRequest, call: Call) -> rpc.AcceptOrderResponse:
        return rpc.AcceptOrderResponse(order=await self._step("accept", request.order_id, call))

    async def ShipOrder(self, request: rpc.ShipOrderRequest, call: Call) -> rpc.ShipOrderResponse:
        return rpc.ShipOrderResponse(order=await self._step("ship", request.order_id, call))

    async def DeliverOrder(self, request: rpc.DeliverOrderRequest, call: Call) -> rpc.DeliverOrderResponse:
        return rpc.DeliverOrderResponse(order=await self._step("deliver", request.order_id, call))

    async def CancelOrder(self, request: rpc.CancelOrderRequest, call: Call) -> rpc.CancelOrderResponse:
        return rpc.CancelOrderResponse(
            order=await self._step("cancel", request.order_id, call, request.reason)
        )

    async def ListOrderEvents(
        self, request: rpc.ListOrderEventsRequest, call: Call
    ) -> rpc.ListOrderEventsResponse:
        await _visible(call, queries.ORDER, request.order_id)
        rows = await call.db.rows(queries.EVENTS, order_id=request.order_id, after=0)
        return rpc.ListOrderEventsResponse(events=[queries.event_of(row) for row in rows])

    async def WatchOrder(
        self, request: rpc.WatchOrderRequest, call: Call
    ) -> AsyncIterator[OrderUpdate | bytes]:
        order = await _visible(call, queries.ORDER, request.order_id)
        after = request.after_sequence
        if after > order.sequence:
            raise Refusal(
                ErrorReason.ERROR_REASON_ORDER_SEQUENCE_UNKNOWN,
                f"The order has come to sequence {order.sequence} only: watch it after that, or from 0",
                sequence=order.sequence,
            )
        if after == 0:
            after = order.sequence
            yield await _snapshot(call, order)
        if after == order.sequence and order.state in rules.ENDS:
            return
        async for update in self._hub.follow(order.order_id, after):
            if update is None:
                yield OrderUpdate(order_id=order.order_id, sequence=after, bookmark=True)
            else:
                after = update.sequence
                yield update.message

    async def _step(self, step: str, order_id: str, call: Call, reason: str = "") -> Order:
        order = await _visible(call, queries.ORDER_LOCKED, order_id)
        state = rules.step(step, order.state)
        assert state is not None  # Only the news of other services comes late.
        move = Move(order, step, state, call.caller.actor, telemetry.current(), reason)
        await self._transitions.record(call, [move])
        return order


async def _visible(call: Call, statement: Statement, order_id: str) -> Order:
    """Return an order that the caller may see; another's is answered like one that does not exist."""
    orders = queries.orders_of(await call.db.rows(statement, order_id=order_id))
    if not orders or not call.caller.may_see(orders[0].store_id, orders[0].customer_id):
        raise Refusal(
            ErrorReason.ERROR_REASON_ORDER_NOT_FOUND, f"There is no order {order_id}", order_id=order_id
        )
    return orders[0]


async def _snapshot(call: Call, order: Order) -> OrderUpdate:
    # The order may have moved since it was read: its own transition is the first of those, the others come after.
    row, *_ = await call.db.rows(queries.EVENTS, order_id=order.order_id, after=order.sequence - 1)
    snapshot = queries.update_of(row)
    snapshot.order.CopyFrom(order)
    return snapshot


def _placed(request: rpc.CreateOrderRequest, lines: list[OrderLine]) -> Order:
    order = Order(
        order_id=str(new_id()),
        store_id=request.store_id.lower(),
        customer_id=request.customer_id.lower(),
        state=rules.START,
        lines=lines,
        total=rules.total(lines),
        subtotal=rules.total(lines),
        sequence=1,
        payment_method=request.payment_method,
    )
    if request.HasField("delivery_address"):
        order.delivery_address.CopyFrom(request.delivery_address)
    order.create_time.FromDatetime(datetime.now(UTC))
    order.update_time.CopyFrom(order.create_time)
    order.expire_time.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    return order
