"""The order service: names the parts and runs them."""

from commerce.catalog.v1.catalog_service_pb2_grpc import CatalogServiceStub
from commerce.catalog.v1.stock_service_pb2_grpc import StockServiceStub
from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceStub
from commerce.payment.v1.payment_service_pb2_grpc import PaymentServiceStub

from services.order import queries, rules
from services.order.baskets import Baskets
from services.order.definition import DEFINITION
from services.order.driver import Driver
from services.order.handlers import OrderService
from services.order.reactions import reactions
from services.order.transitions import Transitions
from services.runtime.hub import Update
from services.runtime.service import Parts, Runtime, run


def build(runtime: Runtime) -> Parts:
    """Name the parts."""

    async def source(order_id: str, after: int) -> list[Update]:
        rows = await runtime.database.rows(queries.EVENTS, order_id=order_id, after=after)
        return [
            Update(row["sequence"], queries.update_of(row).SerializeToString(), row["state"] in rules.ENDS)
            for row in rows
        ]

    async def latest(order_ids: list[str]) -> dict[str, int]:
        rows = await runtime.database.rows(queries.LATEST, order_ids=order_ids)
        return {str(row["order_id"]): row["sequence"] for row in rows}

    catalog = runtime.channel("catalog")
    hub = runtime.hub("order", source, latest)
    transitions = Transitions(hub)
    driver = Driver(
        runtime, transitions, StockServiceStub(catalog), PaymentServiceStub(runtime.channel("payment"))
    )
    baskets = Baskets(
        runtime.database, CustomerServiceStub(runtime.channel("customer")), CatalogServiceStub(catalog)
    )
    return Parts(
        handlers=[OrderService(baskets, driver, transitions, hub, runtime.pages)],
        reactions=reactions(transitions),
        workers=[driver],
        hubs=[hub],
    )


if __name__ == "__main__":
    run(DEFINITION, build)
