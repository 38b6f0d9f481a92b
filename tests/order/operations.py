"""What operators ask, short to write; and orders that do not move, for them to ask about."""

from contextlib import contextmanager
from signal import SIGCONT, SIGSTOP

from commerce.order.v1 import operations_service_pb2 as rpc

from tests.shop import new_id

# What makes an order impossible to drive: it cannot be read, or the catalog refuses the whole call that it is part of.
POISONS = {
    "an address that cannot be read": """UPDATE "order".orders SET delivery_address = '\\xff' WHERE order_id = $1""",
    "no lines": """DELETE FROM "order".order_lines WHERE order_id = $1""",
    "more units than an order may have": """UPDATE "order".order_lines SET quantity = 20000 WHERE order_id = $1""",
}


def stuck(page_size=500):
    return rpc.ListStuckOrdersRequest(page_size=page_size)


def explain(order_id):
    return rpc.ExplainOrderRequest(order_id=order_id)


def retry(order_id, request_id=""):
    return rpc.RetryOrderRequest(order_id=order_id, request_id=request_id or new_id())


async def situation_of(shop, order_id):
    return (await shop.operations.ExplainOrder(explain(order_id))).situation


async def is_parked(shop, order_id):
    return (await situation_of(shop, order_id)).parked


@contextmanager
def stopped(shop, code):
    """While this block lasts, a service takes calls and answers none."""
    cluster = shop.clients.cluster
    cluster.kill(code, SIGSTOP)
    try:
        yield
    finally:
        cluster.kill(code, SIGCONT)


async def parked(shop, error="ValueError: the order has no lines", attempts=8, **given):
    """An order that the driver has given up, as it stands in the database."""
    order_id = await shop.order(method="pm_sandbox_requires_action", until="AWAITING_CUSTOMER", **given)
    await shop.clients.rows(
        """UPDATE "order".orders SET parked = true, due_time = NULL, attempts = $2, last_error = $3
        WHERE order_id = $1""",
        order_id,
        attempts,
        error,
    )
    return order_id
