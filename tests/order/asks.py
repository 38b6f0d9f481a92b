"""Requests of the order service, short to write."""

from commerce.order.v1 import order_service_pb2 as rpc
from commerce.order.v1.order_pb2 import OrderState

from tests.shop import new_id


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


def ship(order_id):
    return rpc.ShipOrderRequest(order_id=order_id, request_id=new_id())


def deliver(order_id):
    return rpc.DeliverOrderRequest(order_id=order_id, request_id=new_id())


def watch(order_id, after=0):
    return rpc.WatchOrderRequest(order_id=order_id, after_sequence=after)


def timeline(order_id):
    return rpc.ListOrderEventsRequest(order_id=order_id)


async def state_of(shop, order_id):
    return name((await shop.orders.GetOrder(get(order_id))).order.state)
