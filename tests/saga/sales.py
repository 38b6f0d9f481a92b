"""Payments as those who ask for them see them, who do not give up when a process dies; and what is left behind."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import grpc
import nats.errors
import nats.js.errors
from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1 import payment_service_pb2 as rpc
from google.protobuf.message import Message

from tests.payment.till import Till, done, said
from tests.saga.checkouts import BROKEN, SETTLE_SECONDS, book
from tests.shop import eventually, new_id

AMOUNT = 1999
ASK_SECONDS = 8.0
FEE = 1500
Found = TypeVar("Found")


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Where a payment is to end: its state, its sums, its operations, and which events tell of it how often."""

    state: str
    promised: int = AMOUNT
    captured: int = 0
    voided: int = 0
    refunded: int = 0
    charged_back: int = 0
    disputes: int = 0
    operations: tuple[str, ...] = ()
    events: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Sale:
    """The payment of an order that exists here only; everything is asked for until there is an answer."""

    till: Till
    method: str = "ok"
    payment: Any = None

    async def promise(self, **given: Any) -> None:
        """Authorize, and wait until that has come to something."""
        asking = self.till.asking(self.method, AMOUNT, **given)
        await self.insist(self.till.service.payments.AuthorizePayment, asking)

    async def challenged(self) -> str:
        """Where the customer has to act, once there is such a place."""

        async def known() -> str:
            await self._look()
            return str(self.payment.next_action_url)

        return str(await eventually(known, SETTLE_SECONDS))

    async def take(self, minor_units: int | None = None) -> None:
        await self._operate("Capture", self._money(minor_units))

    async def give_back(self, minor_units: int | None = None) -> None:
        await self._operate("Refund", self._money(minor_units))

    async def give_up(self) -> None:
        await self._operate("Void", {})

    async def tell(self, event: Message) -> None:
        """Publish an event of the order service until it is on record."""
        name, event_id = event.DESCRIPTOR.full_name, new_id()
        headers = {"Nats-Msg-Id": event_id, "ce-id": event_id, "ce-type": name}
        assert self.till.events is not None
        while True:
            try:
                await self.till.events.publish(name, event.SerializeToString(), timeout=2, headers=headers)
                return
            except (nats.errors.Error, nats.js.errors.Error, TimeoutError, OSError):
                await asyncio.sleep(0.2)

    async def provider(self, path: str, body: Any) -> Any:
        """Have the provider do something, once."""
        key = new_id()
        while True:
            try:
                return await self.till.provider("POST", path, body, key)
            except (aiohttp.ClientError, TimeoutError, OSError):
                await asyncio.sleep(0.2)

    async def until(self, state: str) -> None:
        """Wait for a state, with nothing open."""
        await eventually(lambda: self._came(state), SETTLE_SECONDS)

    async def insist(self, ask: Callable[..., Awaitable[Any]], request: Message) -> None:
        while True:
            try:
                self.payment = (await ask(request, timeout=ASK_SECONDS)).payment
                return
            except grpc.aio.AioRpcError as error:
                assert error.code() in BROKEN, (error.code(), error.details())
                await asyncio.sleep(random.uniform(0.1, 0.3))

    async def _operate(self, verb: str, given: dict[str, Any]) -> None:
        request = getattr(rpc, f"{verb}PaymentRequest")
        ask = getattr(self.till.shop.payments, f"{verb}Payment")
        await self.insist(ask, request(payment_id=self.payment.payment_id, request_id=new_id(), **given))

    def _money(self, minor_units: int | None) -> dict[str, Any]:
        if minor_units is None:
            return {}
        return {"amount": Money(currency_code="EUR", minor_units=minor_units)}

    async def _look(self) -> None:
        request = rpc.GetPaymentRequest(payment_id=self.payment.payment_id)
        await self.insist(self.till.shop.payments.GetPayment, request)

    async def _came(self, state: str) -> bool:
        await self._look()
        return said(self.payment) == state and not OPEN & {word for _, word in done(self.payment)}


OPEN = {"PENDING", "UNKNOWN", "WAITING"}


async def adds_up(till: Till, sales: list[Sale], ends: Ends) -> None:
    """Each payment is where it should be, once, here and at the provider; the books say the same to the cent."""
    for sale in sales:
        await sale.until(ends.state)
    await _agrees(till, sales, ends)
    await _books(till, len(sales), ends)
    await _told(till, sales, ends)
    before = await _everything(till)
    await _hears_everything_again(till, sales)
    assert await _everything(till) == before, "what came twice took effect twice"


async def _agrees(till: Till, sales: list[Sale], ends: Ends) -> None:
    charges = await book(till.shop)
    names = ("captured", "voided", "refunded", "disputed")
    wanted = (ends.captured, ends.voided, ends.refunded, ends.charged_back)
    rows = await till.shop.clients.rows(
        "SELECT * FROM payment.payments WHERE store_id = $1", till.shop.store_id
    )
    assert len(rows) == len(sales), "a payment exists that nobody asked for, or is missing"
    for row in rows:
        ours = *(row[f"{name}_minor_units"] for name in names[:3]), row["charged_back_minor_units"]
        charge, *others = charges[str(row["order_id"])]
        theirs = tuple(charge[f"{name}_minor_units"] for name in names)
        assert not others, "charged twice"
        assert (ours, theirs) == (wanted, wanted), dict(row)
        assert row["disputed_minor_units"] == 0
    for sale in sales:
        assert [" ".join(each) for each in done(sale.payment)] == [
            operation if " " in operation else f"{operation} SUCCEEDED" for operation in ends.operations
        ]


async def _books(till: Till, count: int, ends: Ends) -> None:
    """The ledger's balances are what the payments say."""
    rows = await till.shop.clients.rows(
        "SELECT account, sum(debit_minor_units) - sum(credit_minor_units) AS balance "
        "FROM payment.ledger_entries WHERE store_id = $1 GROUP BY account",
        till.shop.store_id,
    )
    balances = Counter({row["account"]: int(row["balance"]) for row in rows})
    held = ends.promised - ends.captured - ends.voided
    came = ends.captured - ends.refunded - ends.charged_back - ends.disputes * FEE
    assert sum(balances.values()) == 0, balances
    assert balances["customer_receivable"] == count * held == -balances["authorizations"], balances
    assert balances["provider_clearing"] == count * came, balances
    assert balances["revenue"] == -count * ends.captured, balances
    assert balances["refunds"] == count * ends.refunded, balances
    assert balances["disputes"] == count * ends.charged_back, balances
    assert balances["fees"] == count * ends.disputes * FEE, balances


async def _told(till: Till, sales: list[Sale], ends: Ends) -> None:
    """Everybody is told of each thing once."""
    counts = Counter(type(event).__name__ for event in await till.shop.published())
    told = {name: count for name, count in counts.items() if name.startswith("Payment")}
    assert told == {name: count * len(sales) for name, count in ends.events.items()}


async def _everything(till: Till) -> list[Any]:
    tables = ("payments", "operations", "disputes", "ledger_entries")
    return [
        await till.shop.clients.rows(
            f"SELECT * FROM payment.{table} WHERE store_id = $1 ORDER BY 1, 2", store
        )
        for table in tables
        for store in [till.shop.store_id]
    ]


async def _hears_everything_again(till: Till, sales: list[Sale]) -> None:
    """The provider sends every event that there was once more: each is stored, and applied or parked."""
    ids = [sale.payment.provider_reference for sale in sales]
    events = 0
    for reference in ids:
        events += (await till.provider("POST", "/v1/webhooks/redeliver", {"charge_id": reference}))["events"]

    async def stored() -> bool:
        rows = await till.shop.clients.rows(
            "SELECT problem FROM payment.webhooks WHERE "
            "coalesce(convert_from(payload, 'UTF8')::jsonb #>> '{data,charge_id}', "
            "convert_from(payload, 'UTF8')::jsonb #>> '{data,id}') = ANY($1)",
            ids,
        )
        assert [row["problem"] for row in rows if row["problem"]] == []
        return len(rows) == events

    await eventually(stored, SETTLE_SECONDS)
