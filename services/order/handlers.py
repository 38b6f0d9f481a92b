"""OrderService: one method per RPC, in the order of the contract."""

from collections.abc import AsyncIterator
from typing import Any

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_events_pb2 import OrderCreated, OrderParcelDelivered, OrderReturned, OrderShipped
from commerce.order.v1.order_pb2 import Order, OrderReturn, OrderUpdate, Shipment
from commerce.order.v1.order_service_pb2_grpc import OrderServiceServicer
from commerce.order.v1.settings_service_pb2 import OrderSettings
from google.protobuf.message import Message

from services.order import (
    coupons,
    fulfilment_queries,
    fulfilment_rules,
    life,
    lists,
    payment_news,
    placing,
    prices,
    queries,
    rules,
    statistics,
)
from services.order.baskets import Baskets, Wish
from services.order.feed import Feeds
from services.order.hand import Hand
from services.order.payment_methods import PaymentMethods
from services.order.transitions import Move, Transitions
from services.runtime import telemetry
from services.runtime.callers import customer_not_found
from services.runtime.hub import Hub
from services.runtime.ids import new_id
from services.runtime.pages import Pages
from services.runtime.refusals import Refusal
from services.runtime.statements import Statement
from services.runtime.times import now, timestamp
from services.runtime.work import Call


class OrderService(OrderServiceServicer):
    """Orders from the click to the door."""

    def __init__(
        self,
        baskets: Baskets,
        hand: Hand,
        transitions: Transitions,
        hub: Hub,
        feeds: Feeds,
        pages: Pages,
        payment_methods: PaymentMethods,
        writer: placing.Writer,
    ) -> None:
        self._baskets, self._hand, self._transitions = baskets, hand, transitions
        self._payment_methods, self._writer = payment_methods, writer
        self._hub, self._feeds, self._pages = hub, feeds, pages

    async def CreateOrder(self, request: rpc.CreateOrderRequest, call: Call) -> rpc.CreateOrderResponse:
        order, settings = await self._basket(request, call)
        currency_code = order.lines[0].unit_price.currency_code
        await self._payment_methods.check(request, currency_code)
        _place(order, request.payment_method, settings)
        coupon = await coupons.use(call.db, order, request.coupon_code) if request.coupon_code else None
        prices.price(order, settings.shipping_rates, coupon)
        if request.HasField("expected_total"):
            prices.check_total(order, request.expected_total)
        reply = rpc.CreateOrderResponse(order=order)
        trace = telemetry.current()

        call.publish(OrderCreated(order=rules.reference(order, order.sequence), lines=order.lines))
        call.after_commit(lambda: self._hand.take(order, trace))
        call.after_commit(lambda: self._feeds.ring(order.store_id))
        of_call = {
            "order_request_id": request.request_id,
            "order_actor": call.caller.actor,
            "order_trace_id": trace.trace_id if trace else "",
            "order_traceparent": trace.traceparent if trace else "",
            "order_due_time": self._hand.due_time(order),
        }
        await self._writer.place(call, reply, placing.placed(order) | of_call)
        return reply

    async def PreviewOrder(self, request: rpc.PreviewOrderRequest, call: Call) -> rpc.PreviewOrderResponse:
        order, settings = await self._basket(request, call)
        coupon = await coupons.found(call.db, order, request.coupon_code) if request.coupon_code else None
        prices.price(order, settings.shipping_rates, coupon)
        return rpc.PreviewOrderResponse(order=order)

    async def GetOrder(self, request: rpc.GetOrderRequest, call: Call) -> rpc.GetOrderResponse:
        return rpc.GetOrderResponse(order=await _complete(call, queries.ORDER, request.order_id))

    async def ListOrders(self, request: rpc.ListOrdersRequest, call: Call) -> rpc.ListOrdersResponse:
        asked = rpc.ListOrdersRequest()
        asked.CopyFrom(request)
        asked.customer_id = call.caller.own_customer(request.customer_id)
        found, token = await self._page(request, asked, call)
        return rpc.ListOrdersResponse(orders=found, next_page_token=token)

    async def ListCustomerOrders(
        self, request: rpc.ListCustomerOrdersRequest, call: Call
    ) -> rpc.ListCustomerOrdersResponse:
        asked = rpc.ListOrdersRequest(
            store_id=call.caller.store_id,
            customer_id=call.caller.own_customer(request.customer_id),
            state=request.state,
        )
        found, token = await self._page(request, asked, call)
        return rpc.ListCustomerOrdersResponse(orders=found, next_page_token=token)

    async def GetCustomerOrderStats(
        self, request: rpc.GetCustomerOrderStatsRequest, call: Call
    ) -> rpc.GetCustomerOrderStatsResponse:
        customer_id = call.caller.own_customer(request.customer_id)
        rows = await statistics.of_customer(call.db, customer_id)
        visible = [row for row in rows if call.caller.may_see(str(row["store_id"]), customer_id)]
        return statistics.stats_of(customer_id, visible)

    async def AcceptOrder(self, request: rpc.AcceptOrderRequest, call: Call) -> rpc.AcceptOrderResponse:
        order = await _visible(call, queries.ORDER_LOCKED, request.order_id)
        life.step("accept", order.state)
        await _check_paid(call, order)
        await self._move(call, order, "accept")
        return rpc.AcceptOrderResponse(order=order)

    async def ShipOrder(self, request: rpc.ShipOrderRequest, call: Call) -> rpc.ShipOrderResponse:
        order = await _complete(call, queries.ORDER_LOCKED, request.order_id)
        life.step("ship", order.state)
        await _check_paid(call, order)
        parcel = Shipment(
            shipment_id=str(new_id()),
            lines=request.lines,
            carrier=request.carrier,
            tracking_number=request.tracking_number,
            courier_id=request.courier_id,
            ship_time=timestamp(now()),
        )

        amounts = fulfilment_rules.send(order, parcel)

        await call.db.rows(fulfilment_queries.SHIPPED, **fulfilment_queries.shipped(order, parcel))
        await self._move(call, order, "ship", events=[OrderShipped(shipment=parcel, amounts=amounts)])
        return rpc.ShipOrderResponse(order=order)

    async def AssignCourier(self, request: rpc.AssignCourierRequest, call: Call) -> rpc.AssignCourierResponse:
        order = await _complete(call, queries.ORDER_LOCKED, request.order_id)
        life.step("assign_courier", order.state)

        fulfilment_rules.assign(order, request.shipment_id, request.courier_id)

        await call.db.rows(
            fulfilment_queries.ASSIGNED, shipment_id=request.shipment_id, courier_id=request.courier_id
        )
        await self._move(call, order, "assign_courier")
        return rpc.AssignCourierResponse(order=order)

    async def DeliverOrder(self, request: rpc.DeliverOrderRequest, call: Call) -> rpc.DeliverOrderResponse:
        order = await _complete(call, queries.ORDER_LOCKED, request.order_id)
        life.step("deliver", order.state)
        courier_id = call.caller.subject if call.caller.role == "COURIER" else None
        time = now()

        step, parcels = fulfilment_rules.deliver(order, request.shipment_id, courier_id, timestamp(time))

        await call.db.rows(fulfilment_queries.DELIVERED, shipment_ids=parcels, time=time)
        events = [OrderParcelDelivered(shipment_id=parcel) for parcel in parcels]
        await self._move(call, order, step, events=events)
        return rpc.DeliverOrderResponse(order=order)

    async def CancelOrder(self, request: rpc.CancelOrderRequest, call: Call) -> rpc.CancelOrderResponse:
        order = await _visible(call, queries.ORDER_LOCKED, request.order_id)
        await self._move(call, order, "cancel", reason=request.reason)
        return rpc.CancelOrderResponse(order=order)

    async def ReturnOrder(self, request: rpc.ReturnOrderRequest, call: Call) -> rpc.ReturnOrderResponse:
        order = await _complete(call, queries.ORDER_LOCKED, request.order_id)
        life.step("return", order.state)
        returned = OrderReturn(
            return_id=str(new_id()), lines=request.lines, reason=request.reason, create_time=timestamp(now())
        )

        step, amounts = fulfilment_rules.take_back(order, returned)

        await call.db.rows(fulfilment_queries.RETURNED, **fulfilment_queries.returned(order, returned))
        await self._move(
            call,
            order,
            step,
            reason=request.reason,
            events=[
                OrderReturned(
                    returned=returned, amounts=amounts, shipped=fulfilment_rules.shipped_worth(order)
                )
            ],
        )
        return rpc.ReturnOrderResponse(order=order)

    async def ApplyCoupon(self, request: rpc.ApplyCouponRequest, call: Call) -> rpc.ApplyCouponResponse:
        order = await _visible(call, queries.ORDER_LOCKED, request.order_id)
        life.step("apply_coupon", order.state)
        if order.coupon_code:
            raise Refusal(ErrorReason.ERROR_REASON_ORDER_HAS_COUPON, code=order.coupon_code)
        settings = rules.settings_of(await queries.SETTINGS.read(call.db, order.store_id))
        coupon = await coupons.use(call.db, order, request.coupon_code)

        prices.price(order, settings.shipping_rates, coupon)

        await call.db.rows(queries.REPRICED, **queries.repriced(order))
        await self._move(call, order, "apply_coupon", due_time=now())
        return rpc.ApplyCouponResponse(order=order)

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
        if after == order.sequence and order.state in life.ENDS:
            return
        async for update in self._hub.follow(order.order_id, after):
            if update is None:
                yield OrderUpdate(order_id=order.order_id, sequence=after, bookmark=True)
            else:
                after = update.sequence
                yield update.message

    async def WatchStoreOrders(
        self, request: rpc.WatchStoreOrdersRequest, call: Call
    ) -> AsyncIterator[OrderUpdate | bytes]:
        async for message in self._feeds.follow(request.store_id.lower(), request.resume_token):
            yield message

    async def _basket(self, request: Wish, call: Call) -> tuple[Order, OrderSettings]:
        if not call.caller.may_see(request.store_id, request.customer_id):
            raise customer_not_found(request.customer_id)
        return await self._baskets.basket(request)

    async def _move(self, call: Call, order: Order, step: str, **more: Any) -> None:
        """Move an order that is locked, and bring it up to date in place."""
        state = life.step(step, order.state)
        assert state is not None  # Only the news of other services comes late.
        move = Move(order, step, state, call.caller.actor, telemetry.current(), **more)
        await self._transitions.record(call, [move])

    async def _page(
        self, request: Message, asked: rpc.ListOrdersRequest, call: Call
    ) -> tuple[list[Order], str]:
        statement, values = lists.question(asked, self._pages.position(request))
        rows = await call.db.rows(statement, **values, size=self._pages.size(request) + 1)
        return self._pages.cut(request, queries.orders_of(rows), lists.position)


async def _visible(call: Call, statement: Statement, order_id: str) -> Order:
    """Return an order that the caller may see; another's is answered like one that does not exist."""
    (order,) = queries.orders_of(await call.visible(statement, rules.not_found, order_id=order_id))
    return order


async def _check_paid(call: Call, order: Order) -> None:
    """Refuse to accept or send what is not paid for. What was taken counts also after the promise has ended."""
    cause = order.unpaid_reason
    if not cause and rules.is_promise_over(order, now()):
        (row,) = await call.db.rows(payment_news.CAPTURED, order_id=order.order_id)
        cause = "" if row["captured_minor_units"] >= order.total.minor_units else "expired"
    rules.check_paid(cause)


async def _complete(call: Call, statement: Statement, order_id: str) -> Order:
    """Return an order that the caller may see, with its shipments and returns; a courier sees those they carry."""
    order = await _visible(call, statement, order_id)
    while not await fulfilment_queries.complete(call.db, order):
        order = await _visible(call, statement, order_id)
    if call.caller.role == "COURIER":
        if not fulfilment_rules.carries(order, call.caller.subject):
            raise rules.not_found(order_id)
        fulfilment_rules.hide_payment(order)
    return order


async def _snapshot(call: Call, order: Order) -> OrderUpdate:
    # The order may have moved since it was read: its own transition is the first of those, the others come after.
    row, *_ = await call.db.rows(queries.EVENTS, order_id=order.order_id, after=order.sequence - 1)
    snapshot = queries.update_of(row)
    snapshot.order.CopyFrom(order)
    return snapshot


def _place(order: Order, payment_method: str, settings: OrderSettings) -> None:
    moment = now()
    order.order_id = str(new_id())
    order.state = life.START
    order.sequence = 1
    order.payment_method = payment_method
    order.create_time.CopyFrom(timestamp(moment))
    order.update_time.CopyFrom(order.create_time)
    order.expire_time.CopyFrom(timestamp(moment + rules.payment_wait(settings)))
