"""A shop: a store of its own on the running cluster, and whoever uses it, as clients do.

shop.customers, shop.catalog, shop.stock, shop.orders, … are the generated stubs of every service that the definitions
name: CustomerService is `customers` (or `customer`), PaymentMethodService is `payment_methods`.
"""

from __future__ import annotations

import asyncio
import importlib
import re
import sqlite3
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import aiohttp
import asyncpg
import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from commerce.options.v1 import options_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor_pool import Default as pool
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from services.cluster.cluster import Cluster
from services.runtime.contract import files

# Generous: it costs nothing when all is well, and a machine may be busy.
WAIT_SECONDS = 60.0
# What a client calls to bring a confirmed order to a state.
STEPS = {"ACCEPTED": "AcceptOrder", "SHIPPED": "ShipOrder", "DELIVERED": "DeliverOrder"}
# How the sandbox makes an order end elsewhere.
METHODS = {
    "PAYMENT_FAILED": "pm_sandbox_declined",
    "AWAITING_CUSTOMER": "pm_sandbox_requires_action",
    "PAYMENT_UNKNOWN": "pm_sandbox_silent_before",
}


def new_id() -> str:
    return str(uuid.uuid4())


class Clients:
    """Channels to the cluster's services, an HTTP client for its gateway and an administrator's eye on its database."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._http: aiohttp.ClientSession | None = None
        self._database: asyncpg.Pool | None = None

    def channel(self, address: str) -> grpc.aio.Channel:
        if address not in self._channels:
            options = [("grpc.max_reconnect_backoff_ms", 200), ("grpc.initial_reconnect_backoff_ms", 50)]
            self._channels[address] = grpc.aio.insecure_channel(address, options=options)
        return self._channels[address]

    @property
    def http(self) -> aiohttp.ClientSession:
        if self._http is None:
            self._http = aiohttp.ClientSession(self.cluster.gateway_url)
        return self._http

    async def rows(self, sql: str, *values: object) -> list[asyncpg.Record]:
        """What the database holds, as its administrator sees it."""
        if self._database is None:
            self._database = await asyncpg.create_pool(self.cluster.admin_dsn, min_size=0, max_size=2)
        rows: list[asyncpg.Record] = await self._database.fetch(sql, *values)
        return rows

    def spans_kept(self) -> bytes:
        """All that the spans' file holds, its journal included, read by SQLite.

        Whoever opens and closes that file in the writer's own process takes the writer's locks away; another process
        that reads it then thinks that it is the last, and deletes the journal that is in use.
        """
        with closing(sqlite3.connect(self.cluster.spans_file)) as store:
            return store.serialize()

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()
        if self._http is not None:
            await self._http.close()
        if self._database is not None:
            await self._database.close()


class Bearer:
    """Stands where a generated stub expects a channel, and adds a token to each call."""

    def __init__(self, channel: grpc.aio.Channel, token: str) -> None:
        self._channel = channel
        self._metadata = (("authorization", f"Bearer {token}"),) if token else ()

    def unary_unary(self, path: str, **codec: Any) -> Callable[..., Any]:
        return self._with_token(self._channel.unary_unary(path, **codec))

    def unary_stream(self, path: str, **codec: Any) -> Callable[..., Any]:
        return self._with_token(self._channel.unary_stream(path, **codec))

    def stream_unary(self, path: str, **codec: Any) -> Callable[..., Any]:
        return self._with_token(self._channel.stream_unary(path, **codec))

    def _with_token(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def called(request: Any = None, metadata: Sequence[tuple[str, str]] = (), **options: Any) -> Any:
            return call(request, metadata=(*self._metadata, *metadata), **options)

        return called


@cache
def modules() -> dict[str, str]:
    """The generated module of each service's stub, by the service's full name."""
    return {
        f"{file.package}.{service.name}": file.name.removesuffix(".proto").replace("/", ".") + "_pb2_grpc"
        for file in files().file
        for service in file.service
    }


@dataclass(frozen=True)
class Reply:
    """An answer of the gateway."""

    status: int
    headers: Any
    body: Any


@dataclass
class Shop:
    """A store, seen by the bearer of a token: its administrator unless `as_` says otherwise."""

    clients: Clients
    store_id: str = field(default_factory=new_id)
    token: str | None = None
    address: str = ""
    _mark: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.token is None:
            self.token = self.clients.cluster.token("store_admin", self.store_id)

    def __getattr__(self, name: str) -> Any:
        for definition in self.clients.cluster.chosen:
            for service in definition.proto_services:
                kind = service.rpartition(".")[2]
                stem = re.sub("(?<!^)(?=[A-Z])", "_", kind.removesuffix("Service")).lower()
                if name in (stem, f"{stem}s"):
                    stub = getattr(importlib.import_module(modules()[service]), f"{kind}Stub")
                    address = self.address or self.clients.cluster.address(definition.code)
                    found = self.__dict__[name] = stub(
                        Bearer(self.clients.channel(address), self.token or "")
                    )
                    return found
        raise AttributeError(f"no running service is called {name}")

    # Others who use it.

    def as_(self, role: str, customer_id: str | None = None) -> Shop:
        """The same store for the bearer of another token."""
        store = None if role.upper() in ("SERVICE", "PLATFORM_ADMIN") else self.store_id
        return self._with(self.clients.cluster.token(role, store, customer_id))

    @property
    def as_service(self) -> Shop:
        return self.as_("service")

    @property
    def as_nobody(self) -> Shop:
        return self._with("")

    def with_token(self, token: str) -> Shop:
        return self._with(token)

    def at(self, address: str) -> Shop:
        """The same, with every stub at one address: a replica's, or the gateway's."""
        return Shop(self.clients, self.store_id, self.token, address, self._mark)

    def another(self) -> Shop:
        """Another store with its own administrator."""
        return Shop(self.clients)

    def _with(self, token: str) -> Shop:
        return Shop(self.clients, self.store_id, token, self.address, self._mark)

    # What tests need before they begin.

    async def customer(self, **given: Any) -> str:
        """A new customer's id."""
        from commerce.customer.v1.customer_service_pb2 import CreateCustomerRequest

        values: dict[str, Any] = {
            "store_id": self.store_id,
            "full_name": "Ada Lovelace",
            "email": f"{uuid.uuid4().hex}@example.org",
            "request_id": new_id(),
        }
        reply = await self.customers.CreateCustomer(CreateCustomerRequest(**(values | given)))
        await self.mark()
        return str(reply.customer.customer_id)

    async def product(self, stock: int = 5, price: int = 1999, currency: str = "EUR", **given: Any) -> str:
        """A new product's id; so many units on hand, for a price in minor units."""
        from commerce.catalog.v1.catalog_service_pb2 import CreateProductRequest
        from commerce.catalog.v1.stock_service_pb2 import SetStockRequest

        values: dict[str, Any] = {
            "store_id": self.store_id,
            "sku": f"SKU-{uuid.uuid4().hex[:12]}",
            "name": "Analytical engine",
            "price": Money(currency_code=currency, minor_units=price),
            "request_id": new_id(),
        }
        reply = await self.catalog.CreateProduct(CreateProductRequest(**(values | given)))
        product_id = str(reply.product.product_id)
        if stock:
            await self.stock.SetStock(
                SetStockRequest(product_id=product_id, quantity=stock, request_id=new_id())
            )
        await self.mark()
        return product_id

    async def order(
        self,
        lines: Sequence[tuple[str, int]] = (),
        method: str = "",
        customer: str = "",
        until: str = "",
        state: str = "",
        **given: Any,
    ) -> str:
        """A new order's id. `until` waits for a state that comes by itself, `state` also takes the steps to it.

        `lines` are pairs of product and quantity; without them one unit of a new product.
        """
        from commerce.order.v1.order_service_pb2 import CreateOrderLine, CreateOrderRequest

        lines = lines or [(await self.product(stock=0 if state == "REJECTED" else 5), 1)]
        values = {
            "store_id": self.store_id,
            "customer_id": customer or await self.customer(),
            "lines": [CreateOrderLine(product_id=product, quantity=quantity) for product, quantity in lines],
            "payment_method": method or METHODS.get(state, "pm_sandbox_ok"),
            "request_id": new_id(),
        }
        reply = await self.orders.CreateOrder(CreateOrderRequest(**(values | given)))
        order_id = str(reply.order.order_id)
        await self._bring(order_id, until, state)
        await self.mark()
        return order_id

    async def _bring(self, order_id: str, until: str, state: str) -> None:
        from commerce.order.v1 import order_service_pb2 as rpc

        own = list(STEPS)[: list(STEPS).index(state) + 1] if state in STEPS else []
        waited = "CONFIRMED" if own or state == "CANCELLED" else state or until
        if waited not in ("", "PENDING"):
            await self.until(order_id, waited)
        for verb in (STEPS[each] for each in own):
            request = getattr(rpc, f"{verb}Request")(order_id=order_id, request_id=new_id())
            await getattr(self.orders, verb)(request)
        if state == "CANCELLED":
            await self.orders.CancelOrder(
                rpc.CancelOrderRequest(order_id=order_id, reason="changed my mind", request_id=new_id())
            )

    async def until(self, order_id: str, state: str) -> None:
        """Watch an order from its beginning until it has come to a state."""
        from commerce.order.v1.order_pb2 import OrderState
        from commerce.order.v1.order_service_pb2 import WatchOrderRequest

        wanted = OrderState.Value(f"ORDER_STATE_{state}")
        seen = ["PENDING"]
        watch = self.orders.WatchOrder(
            WatchOrderRequest(order_id=order_id, after_sequence=1), timeout=WAIT_SECONDS
        )
        async for update in watch:
            if not update.bookmark:
                seen.append(OrderState.Name(update.state).removeprefix("ORDER_STATE_"))
            if update.state == wanted:
                watch.cancel()
                return
        raise AssertionError(f"the order never came to {state}: {' → '.join(seen)}")

    # What tests look at.

    async def mark(self) -> None:
        """From here on `published` counts."""
        self._mark[:] = [await self._now()]

    async def published(self, *kinds: type[Message]) -> list[Any]:
        """The events of this store on record since it was set up, of some kinds or all, the oldest first."""
        since = self._mark[0] if self._mark else None
        found = []
        for definition in self.clients.cluster.chosen:
            found += await self.clients.rows(
                f'SELECT type, payload, create_time, event_id FROM "{definition.code}".outbox '
                "WHERE ($1::timestamptz IS NULL OR create_time > $1) AND position($2::bytea IN payload) > 0",
                since,
                self.store_id.encode(),
            )
        found.sort(key=lambda row: (row["create_time"], row["event_id"]))
        events = [_message(row["type"], row["payload"]) for row in found]
        return [
            event
            for event in events
            if (not kinds or isinstance(event, kinds)) and _speaks_of(event, self.store_id)
        ]

    async def _now(self) -> Any:
        return (await self.clients.rows("SELECT clock_timestamp() AS now"))[0]["now"]

    async def rest(
        self, method: str, path: str, json: Any = None, token: str | None = None, **more: Any
    ) -> Reply:
        """Call the gateway as a browser does; `token` "" sends none."""
        token = self.token if token is None else token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        headers |= more.pop("headers", {})
        async with self.clients.http.request(method, path, json=json, headers=headers, **more) as answer:
            kind = answer.content_type
            body = await answer.json() if kind == "application/json" else await answer.text()
            return Reply(answer.status, answer.headers, body)


@cache
def _know_every_type() -> None:
    for file in files().file:
        if file.name.startswith("commerce/"):
            importlib.import_module(file.name.removesuffix(".proto").replace("/", ".") + "_pb2")


def _message(name: str, payload: bytes) -> Message:
    _know_every_type()
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name)).FromString(payload)


def _speaks_of(message: Message, store_id: str) -> bool:
    """Whether a message, or one inside it, is of a store."""
    for descriptor, value in message.ListFields():
        if descriptor.name == "store_id" and value == store_id:
            return True
        if descriptor.message_type and not descriptor.message_type.GetOptions().map_entry:
            inner = value if descriptor.is_repeated else [value]
            if any(_speaks_of(each, store_id) for each in inner):
                return True
    return False


async def eventually(true: Callable[[], Awaitable[Any]], seconds: float = WAIT_SECONDS) -> Any:
    """Ask again and again until the answer is true, and return it. Raises TimeoutError.

    What takes long to ask is asked less often: those who are waited for have the machine most of the time.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(seconds):
        begun = loop.time()
        while not (answer := await true()):
            await asyncio.sleep(min(1, max(0.05, 2 * (loop.time() - begun))))
            begun = loop.time()
        return answer


@dataclass
class Refused:
    """What a refusal said."""

    message: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: dict[str, str] = field(default_factory=dict)
    retry_seconds: float | None = None
    trace_id: str = ""


@contextmanager
def refused(reason: ErrorReason.ValueType, **metadata: str) -> Iterator[Refused]:
    """The block's call is refused for this reason, with the status that the contract gives it and this metadata."""
    said = Refused()
    try:
        yield said
    except grpc.aio.AioRpcError as error:
        _read(error, said, reason)
    else:
        raise AssertionError(f"not refused; expected {ErrorReason.Name(reason)}")
    assert said.metadata.items() >= metadata.items(), said.metadata


def _read(error: grpc.aio.AioRpcError, said: Refused, reason: ErrorReason.ValueType) -> None:
    trailers = dict(error.trailing_metadata() or ())
    assert "grpc-status-details-bin" in trailers, f"without details: {error.code()} {error.details()}"
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    infos = [_unpacked(detail, error_details_pb2.ErrorInfo) for detail in status.details]
    (info,) = [info for info in infos if info is not None]
    expected = ErrorReason.Name(reason).removeprefix("ERROR_REASON_")
    assert (info.domain, info.reason) == ("commerce", expected), f"{info.reason}: {error.details()}"
    contract = ErrorReason.DESCRIPTOR.values_by_number[reason].GetOptions().Extensions[options_pb2.status]
    assert error.code().value[0] == status.code == contract, error.code()
    said.message, said.metadata = status.message, dict(info.metadata)
    for detail in status.details:
        if bad := _unpacked(detail, error_details_pb2.BadRequest):
            said.violations |= {each.field: each.description for each in bad.field_violations}
        if retry := _unpacked(detail, error_details_pb2.RetryInfo):
            said.retry_seconds = retry.retry_delay.ToMilliseconds() / 1000
        if about := _unpacked(detail, error_details_pb2.RequestInfo):
            said.trace_id = about.request_id


def _unpacked(detail: Any, kind: type[Message]) -> Any:
    message = kind()
    return message if detail.Unpack(message) else None
