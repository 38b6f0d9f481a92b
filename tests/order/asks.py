"""Requests of the order service, short to write."""

from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import LineQuantity, OrderState, ReturnLine

from tests.shop import eventually, new_id


def name(state):
    return OrderState.Name(state).removeprefix("ORDER_STATE_")


def create(shop, customer, *lines, method="pm_sandbox_ok", **given):
    values = {
        "store_id": shop.store_id,
        "customer_id": customer,
        "lines": [rpc.CreateOrderLine(product_id=product, quantity=quantity) for product, quantity in lines],
        "payment_method": method,
        "request_id": new_id(),
    }
    return rpc.CreateOrderRequest(**(values | given))


def get(order_id):
    return rpc.GetOrderRequest(order_id=order_id)


def cancel(order_id, request_id=""):
    return rpc.CancelOrderRequest(
        order_id=order_id, reason="changed my mind", request_id=request_id or new_id()
    )


def accept(order_id, request_id=""):
    return rpc.AcceptOrderRequest(order_id=order_id, request_id=request_id or new_id())


def ship(order_id, *lines, request_id="", **given):
    units = [LineQuantity(product_id=product, quantity=quantity) for product, quantity in lines]
    return rpc.ShipOrderRequest(order_id=order_id, lines=units, request_id=request_id or new_id(), **given)


def assign(order_id, shipment_id, courier_id, request_id=""):
    return rpc.AssignCourierRequest(
        order_id=order_id,
        shipment_id=shipment_id,
        courier_id=courier_id,
        request_id=request_id or new_id(),
    )


def deliver(order_id, shipment_id="", request_id=""):
    return rpc.DeliverOrderRequest(
        order_id=order_id, shipment_id=shipment_id, request_id=request_id or new_id()
    )


def take_back(order_id, *lines, restock=True, reason="too large", request_id=""):
    units = [
        ReturnLine(product_id=product, quantity=quantity, restock=restock) for product, quantity in lines
    ]
    return rpc.ReturnOrderRequest(
        order_id=order_id, lines=units, reason=reason, request_id=request_id or new_id()
    )


def courier(shop, courier_id):
    """The shop as one of its couriers uses it."""
    return shop.with_token(shop.clients.cluster.token("courier", shop.store_id, subject=courier_id))


def watch(order_id, after=0):
    return rpc.WatchOrderRequest(order_id=order_id, after_sequence=after)


def timeline(order_id):
    return rpc.ListOrderEventsRequest(order_id=order_id)


async def order_of(shop, order_id):
    return (await shop.orders.GetOrder(get(order_id))).order


async def given_back(shop, order_id):
    """The order once each of its returns is settled: its money went back, or what did not is told."""

    async def known():
        order = await order_of(shop, order_id)
        settled = all(
            each.refunded.minor_units + each.unrefunded.minor_units == each.refund.minor_units
            for each in order.returns
        )
        return order if settled else None

    return await eventually(known)


async def steps_of(shop, order_id):
    """What happened to an order, in one word each."""
    return [event.step for event in (await shop.orders.ListOrderEvents(timeline(order_id))).events]


async def state_of(shop, order_id):
    return name((await shop.orders.GetOrder(get(order_id))).order.state)
