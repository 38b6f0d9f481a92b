"""The order service: names the parts and runs them."""

from commerce.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from commerce.catalog.v1.stock_service_pb2_grpc import StockServiceStub
from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceStub
from commerce.payment.v1.payment_method_service_pb2_grpc import PaymentMethodServiceStub
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.order import life, placing, queries
from services.order.baskets import Baskets
from services.order.clients import Payments, Stock
from services.order.coupon_handlers import CouponService
from services.order.definition import DEFINITION
from services.order.driver import Driver
from services.order.feed import Feeds
from services.order.hand import Hand
from services.order.handlers import OrderService
from services.order.operation_handlers import OperationsService
from services.order.payment_methods import PaymentMethods
from services.order.reactions import reactions
from services.order.records import Records
from services.order.settings import OrderLimits
from services.order.settings_handlers import SettingsService
from services.order.transitions import Transitions
from services.runtime.database import Row
from services.runtime.hub import Update
from services.runtime.service import Parts, Runtime, run


def build(runtime: Runtime) -> Parts:
    """Name the parts."""

    async def source(order_id: str, after: int) -> list[Update]:
        rows = await runtime.database.rows(queries.EVENTS, order_id=order_id, after=after)
        return [
            Update(row["sequence"], queries.update_of(row).SerializeToString(), _is_last(row)) for row in rows
        ]

    async def latest(order_ids: list[str]) -> dict[str, int]:
        rows = await runtime.database.rows(queries.LATEST, order_ids=order_ids)
        return {str(row["order_id"]): row["sequence"] for row in rows}

    catalog = runtime.channel("catalog")
    hub = runtime.hub("order", source, latest)
    feeds = Feeds(runtime)
    transitions = Transitions(hub, feeds.ring)
    limits = OrderLimits.load()
    payment = runtime.channel("payment")
    payments = PaymentServiceStub(payment)
    payment_methods = PaymentMethods(payments, PaymentMethodServiceStub(payment))
    hand = Hand(
        lease_seconds=limits.order_lease_seconds,
        undriven_orders=limits.order_undriven_orders,
        undriven_of_customer=limits.order_undriven_of_customer,
    )
    driver = Driver(
        hand,
        Records(runtime, transitions),
        # Shorter than the lease: whoever still asks still holds the order.
        Stock(StockServiceStub(catalog), 0.5 * limits.order_lease_seconds),
        Payments(payments, 0.8 * limits.order_lease_seconds),
    )
    baskets = Baskets(
        runtime.database, CustomerServiceStub(runtime.channel("customer")), CatalogServiceStub(catalog)
    )
    return Parts(
        handlers=[
            OrderService(
                baskets,
                hand,
                transitions,
                hub,
                feeds,
                runtime.pages,
                payment_methods,
                placing.Writer(runtime),
            ),
            CouponService(runtime.pages),
            SettingsService(),
            OperationsService(driver),
        ],
        reactions=reactions(transitions),
        workers=[driver, payment_methods],
        hubs=[hub, feeds],
        gates={"CreateOrder": hand.admit},
    )


def _is_last(row: Row) -> bool:
    """Tell whether a watch ends with a transition: units may still have come back after the order was DELIVERED."""
    return row["sequence"] == row["latest"] and row["state"] in life.ENDS


if __name__ == "__main__":
    run(DEFINITION, build)
