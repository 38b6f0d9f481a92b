"""A service that does as its callers say: the runtime is what is tested, on real parts and in a process of its own.

It speaks for CustomerService, OrderService and ImportService. ListCustomers' query, CreateCustomer's full_name, a
watch's id and the name of a batch's first row say what to do.
"""

# mypy: disable-error-code="abstract, override"

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator

import asyncpg
from commerce.catalog.v1.catalog_events_pb2 import ProductCreated, ProductUpdated
from commerce.catalog.v1.catalog_pb2 import Import, Product
from commerce.catalog.v1.catalog_service_pb2 import ImportProductsRequest, ImportProductsResponse
from commerce.catalog.v1.catalog_service_pb2_grpc import ImportServiceServicer
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.customer.v1 import customer_service_pb2 as rpc
from commerce.customer.v1.customer_events_pb2 import CustomerCreated, CustomerUpdated
from commerce.customer.v1.customer_pb2 import Customer
from commerce.customer.v1.customer_service_pb2_grpc import CustomerServiceServicer
from commerce.order.v1.order_pb2 import OrderUpdate
from commerce.order.v1.order_service_pb2 import WatchOrderRequest
from commerce.order.v1.order_service_pb2_grpc import OrderServiceServicer
from sqlalchemy import BigInteger, Float, func, literal_column, select

from services.runtime.database import Overtaken
from services.runtime.definition import Definition, Tier
from services.runtime.hub import Hub, Update
from services.runtime.incoming import Incoming
from services.runtime.refusals import Refusal
from services.runtime.service import Parts, Runtime, run
from services.runtime.statements import param, statement
from services.runtime.work import Call, Work

DEFINITION = Definition(
    code="toy",
    tier=Tier.OPTIONAL,
    port=7492,
    proto_services=(
        "commerce.customer.v1.CustomerService",
        "commerce.order.v1.OrderService",
        "commerce.catalog.v1.ImportService",
    ),
    module="tests.runtime.toy",
)
SLEEP = statement(select(func.pg_sleep(param("seconds", Float))), "sleep")
# What a test holds as long as it likes.
LOCK = statement(
    select(
        func.set_config("lock_timeout", "0", literal_column("true")),
        func.pg_advisory_xact_lock_shared(param("key", BigInteger)),
    ),
    "lock",
)
ONE = statement(select(literal_column("1").label("one")), "one")


class ToyCustomers(CustomerServiceServicer):
    async def ListCustomers(self, request: rpc.ListCustomersRequest, call: Call) -> rpc.ListCustomersResponse:
        verb, _, word = request.query.partition(" ")
        if verb == "sleep":
            await asyncio.sleep(float(word))
        elif verb == "query":
            await call.db.rows(SLEEP, seconds=float(word))
        elif verb == "wait":
            await call.db.rows(LOCK, key=int(word))
        elif verb == "fail":
            raise RuntimeError(word)
        elif verb == "tries":
            return rpc.ListCustomersResponse(next_page_token=str(TRIES[word]))
        return rpc.ListCustomersResponse()

    async def CreateCustomer(
        self, request: rpc.CreateCustomerRequest, call: Call
    ) -> rpc.CreateCustomerResponse:
        customer = Customer(store_id=request.store_id, full_name=request.full_name, email=request.email)
        verb, _, word = request.full_name.partition(" ")
        call.publish(CustomerCreated(customer=customer))
        await call.db.rows(ONE)
        if verb == "sleep":
            await asyncio.sleep(float(word))
        elif verb == "query":
            await call.db.rows(SLEEP, seconds=float(word))
        elif verb == "wait":
            await call.db.rows(LOCK, key=int(word))
        elif verb == "fail":
            raise RuntimeError(word)
        return rpc.CreateCustomerResponse(customer=customer)


class ToyOrders(OrderServiceServicer):
    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def WatchOrder(self, request: WatchOrderRequest, call: Call) -> AsyncIterator[OrderUpdate | bytes]:
        await call.db.rows(ONE)
        yield OrderUpdate(order_id=request.order_id, sequence=1)
        async for update in self._hub.follow(request.order_id, 1):
            yield OrderUpdate(bookmark=True) if update is None else update.message


class ToyImports(ImportServiceServicer):
    """Tells of each batch, then of the end of the stream."""

    def __init__(self) -> None:
        self._tries: dict[str, int] = {}

    async def ImportProducts(
        self, batches: Incoming[ImportProductsRequest], call: Call
    ) -> ImportProductsResponse:
        last = await batches.each(self._take_in)
        call.publish(ProductUpdated(product=Product(store_id=last.store_id, sku="end")))
        await call.db.rows(ONE)
        self._fail(f"end {last.request_id}", last.rows[0].tax_class)
        return ImportProductsResponse(product_import=Import(batches=last.batch))

    async def _take_in(self, batch: ImportProductsRequest, call: Call) -> None:
        call.publish(ProductCreated(product=Product(store_id=batch.store_id, sku=str(batch.batch))))
        await call.db.rows(ONE)
        verb, _, word = batch.rows[0].name.partition(" ")
        if verb == "sleep":
            await asyncio.sleep(float(word))
        elif verb == "query":
            await call.db.rows(SLEEP, seconds=float(word))
        elif verb == "refuse":
            raise Refusal(ErrorReason.ERROR_REASON_IMPORT_OUT_OF_ORDER, "As you wish", expected=word)
        elif verb in ("hinder", "overtake"):
            self._fail(f"{batch.batch} {batch.request_id}", word, verb)

    def _fail(self, what: str, times: str, verb: str = "hinder") -> None:
        """Be hindered, or overtaken, by others so many times, then no more."""
        self._tries[what] = self._tries.get(what, 0) + 1
        if times and self._tries[what] <= int(times):
            raise {"hinder": asyncpg.SerializationError, "overtake": Overtaken}[verb]("as you wish")


# How often the reaction to each address was tried.
TRIES: Counter[str] = Counter()
# What may keep an event from taking effect that is not its own fault.
HINDRANCES = {"deadlock": asyncpg.DeadlockDetectedError, "away": asyncpg.ConnectionDoesNotExistError}


async def on_customer_created(event: CustomerCreated, work: Work) -> None:
    """Tell of each that took effect, unless it is poison.

    "deadlock 4" is hindered so four times, "deadlock 4 2" then fails twice of its own. "ponder 123" takes a process of
    that number very long.
    """
    TRIES[event.customer.email] += 1
    verb, _, words = event.customer.full_name.partition(" ")
    hindered, _, failed = words.partition(" ")
    tries = TRIES[event.customer.email]
    if verb == "poison":
        raise ValueError("it is poison")
    if verb == "ponder" and int(words) == os.getpid():
        await asyncio.sleep(60)
    if verb in HINDRANCES and tries <= int(hindered):
        raise HINDRANCES[verb]("as you wish")
    if verb in HINDRANCES and tries <= int(hindered) + int(failed or 0):
        raise ValueError("as you wish")
    work.publish(CustomerUpdated(customer=event.customer))


def build(runtime: Runtime) -> Parts:
    async def source(_: str, __: int) -> list[Update]:
        return []

    async def latest(_: list[str]) -> dict[str, int]:
        return {}

    hub = runtime.hub("toy", source, latest)
    return Parts(
        handlers=[ToyCustomers(), ToyOrders(hub), ToyImports()],
        reactions={CustomerCreated: on_customer_created},
        hubs=[hub],
    )


if __name__ == "__main__":
    run(DEFINITION, build)
