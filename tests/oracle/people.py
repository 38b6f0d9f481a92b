"""The people of one order: they do what its life says by the services' own RPCs, and remember the answers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, cast

import aiohttp
import grpc
from commerce.order.v1.order_pb2 import Order
from commerce.order.v1.order_service_pb2 import CreateOrderRequest
from commerce.payment.v1.payment_pb2 import PaymentOperationState
from commerce.payment.v1.payment_service_pb2 import (
    CapturePaymentRequest,
    RefundPaymentRequest,
    VoidPaymentRequest,
)

from services.runtime.refusals import reason_of
from tests.oracle.lives import Life, Step
from tests.oracle.model import Expected, Line
from tests.order.asks import accept, cancel, create, deliver, get, name, ship, take_back
from tests.order.deals import money, new_coupon, set_up, ships, tax
from tests.payment.till import Till
from tests.shop import Shop, eventually, new_id

STOCK = 50
MILLION = 1_000_000
# A call that ends so may have been carried out, and is made again with the same request_id.
BROKEN = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNKNOWN,
}
# What the moment may not allow.
NOT_NOW = {
    "ORDER_STEP_NOT_ALLOWED",
    "ORDER_QUANTITY_EXCEEDED",
    "ORDER_UNPAID",
    "PAYMENT_OPERATION_NOT_ALLOWED",
    "CAPTURE_TOO_LARGE",
    "REFUND_TOO_LARGE",
}
CALL_SECONDS, MOMENT_SECONDS = 15.0, 0.2
# A process that was killed is back long before.
PATIENCE_SECONDS = 90.0
# Until a payment is decided: a late webhook takes 3 s, a silent provider longer.
DECIDED_SECONDS = 60.0
# What waits for a bank or for the store to take the money may wait for long.
WAITING = PaymentOperationState.PAYMENT_OPERATION_STATE_WAITING
MOVING = {"PENDING", "RESERVED", "PAYMENT_UNKNOWN"}


class Refusal(Exception):
    """An answer that the moment does not allow; any other refusal is a fault."""


class People:
    """Buyer, store and bank of one order, in a store of its own."""

    def __init__(self, shop: Shop, life: Life) -> None:
        self.shop, self.life, self.till = shop, life, Till(shop)
        self.order = Order()
        self._cart = CreateOrderRequest()
        self.expected = Expected({}, 0, life.mode)
        self.told: list[str] = []
        # By hand: the requests to take and to give back, of which some may come to nothing.
        self.requests: dict[str, set[str]] = {"capture": set(), "refund": set()}
        self.disputes: list[str] = []
        self._last: Callable[[], Awaitable[Any]] | None = None

    async def open(self) -> None:
        """Set up the store, before anything goes wrong."""
        life, shop = self.life, self.shop
        await self.till.sets(life.mode)
        await set_up(
            shop,
            tax_rates=[tax(190_000)] if life.taxed else [],
            shipping_rates=[ships(life.fee)] if life.fee else [],
        )
        code = (await new_coupon(shop, "OFF", percentage_ppm=life.coupon)).code if life.coupon else ""
        lines = [(await shop.product(stock=STOCK, price=price), units) for price, units in life.lines]
        self._cart = create(
            shop, await shop.customer(), *lines, method=f"pm_sandbox_{life.method}", coupon_code=code
        )

    async def live(self) -> None:
        """Place the order, then do what its life says, step by step."""
        try:
            await self._live()
        except Exception as error:
            error.add_note(str(self))
            raise

    def __str__(self) -> str:
        return f"{self.life}\n  told {self.told}\n  order {self.order.order_id} {self.expected}"

    async def _live(self) -> None:
        await self._place()
        if not self.life.hasty:
            await eventually(self._is_decided, DECIDED_SECONDS)
        for step in self.life.steps:
            try:
                await getattr(self, f"_{step.what.replace(' ', '_')}")(step)
                self.told.append(step.what)
            except Refusal as refusal:
                self.told.append(f"{step.what}: {refusal}")

    async def rest(self) -> None:
        """Let the bank decide what is open, and the store whether it takes what it takes by hand."""
        yes = bool(len(self.life.steps) % 2)
        await self._decide(Step("decide", yes=yes))
        if self.life.mode == "MANUAL":
            with suppress(Refusal):
                await (self._capture(Step("capture")) if yes else self._void(Step("void")))

    async def _place(self) -> None:
        self.order = (await answered(self.shop.orders.CreateOrder, self._cart)).order
        for line in self.order.lines:
            paid = line.quantity * line.unit_price.minor_units - line.discount.minor_units
            paid += 0 if self.order.tax_included else line.tax.minor_units
            self.expected.lines[line.product_id] = Line(line.quantity, paid)
        goods = sum(line.paid for line in self.expected.lines.values())
        self.expected.shipping = self.order.total.minor_units - goods

    async def now(self) -> Order:
        """The order as it stands."""
        reply = await answered(self.shop.orders.GetOrder, get(self.order.order_id))
        return cast(Order, reply.order)

    async def _is_decided(self) -> bool:
        return name((await self.now()).state) not in MOVING

    # The store.

    async def _accept(self, step: Step) -> None:
        await self._do(self.shop.orders.AcceptOrder, accept(self.order.order_id))

    async def _ship(self, step: Step) -> None:
        """Send so many units of the first line that has some left; all that are left when it is none."""
        left = {each: line.units - line.sent for each, line in self.expected.lines.items()}
        units = _some(left, step.unit)
        await self._do(self.shop.orders.ShipOrder, ship(self.order.order_id, *units.items()))
        for product, number in (units or left).items():
            self.expected.lines[product].sent += number

    async def _deliver(self, step: Step) -> None:
        await self._do(self.shop.orders.DeliverOrder, deliver(self.order.order_id))

    async def _take_back(self, step: Step) -> None:
        """Take back so many units of the first line that has some out; all that are out when it is none."""
        out = {each: line.sent - line.back for each, line in self.expected.lines.items()}
        units = _some(out, step.unit) or {each: number for each, number in out.items() if number}
        if not units:
            raise Refusal("nothing is out")
        request = take_back(self.order.order_id, *units.items(), restock=step.yes)
        await self._do(self.shop.orders.ReturnOrder, request)
        for product, number in units.items():
            self.expected.lines[product].back += number
            self.expected.lines[product].on_shelf += number * step.yes

    async def _cancel(self, step: Step) -> None:
        await self._do(self.shop.orders.CancelOrder, cancel(self.order.order_id))

    async def _refund(self, step: Step) -> None:
        amount = self._part(step)
        request = RefundPaymentRequest(
            payment_id=await self._payment(), amount=money(amount), request_id=new_id()
        )
        self.requests["refund"].add(request.request_id)
        await self._do(self.shop.payments.RefundPayment, request)

    async def _capture(self, step: Step) -> None:
        request = CapturePaymentRequest(
            payment_id=await self._payment(),
            amount=money(self._part(step)) if step.part else None,
            final=not step.yes,
            request_id=new_id(),
        )
        self.requests["capture"].add(request.request_id)
        await self._do(self.shop.payments.CapturePayment, request)

    async def _void(self, step: Step) -> None:
        request = VoidPaymentRequest(payment_id=await self._payment(), request_id=new_id())
        await self._do(self.shop.payments.VoidPayment, request)

    async def _again(self, step: Step) -> None:
        """Whoever did not hear the last answer asks again, with the same request_id: nothing more happens."""
        if self._last is not None:
            await self._last()

    # The buyer and the bank.

    async def _answer(self, step: Step) -> None:
        """The buyer confirms the payment, or fails to."""
        url = (await self.now()).next_action_url
        if not url:
            raise Refusal("nothing to answer")
        await _heard(lambda: self._answered(url, "pass" if step.yes else "fail"))

    async def _answered(self, url: str, outcome: str) -> None:
        async with aiohttp.request("POST", url, json={"outcome": outcome}) as reply:
            if reply.status != 200:
                raise Refusal(f"the provider says {reply.status}")

    async def _dispute(self, step: Step) -> None:
        charges = await _heard(lambda: self.till.book(self.order))
        if not charges or not self._part(step):
            raise Refusal("nothing to dispute")
        body = {
            "charge_id": charges[0]["id"],
            "amount_minor_units": self._part(step),
            "reason": "fraudulent",
        }
        key = new_id()
        reply = await _heard(lambda: self.till.provider("POST", "/v1/disputes", body, key))
        if "id" not in reply:
            raise Refusal(reply["error"]["code"])
        self.disputes.append(reply["id"])

    async def _decide(self, step: Step) -> None:
        """The bank decides what it has open."""
        body = {"outcome": "won" if step.yes else "lost"}
        for dispute in self.disputes:
            path = f"/v1/disputes/{dispute}"
            await _heard(partial(self.till.provider, "POST", path, body))
        self.disputes.clear()

    # Time.

    async def _wait(self, step: Step) -> None:
        await asyncio.sleep(step.unit / 10)

    async def _rest(self, step: Step) -> None:
        """Nobody does anything until the payment is still."""
        await asyncio.sleep(MOMENT_SECONDS)
        await eventually(self._is_still, DECIDED_SECONDS)

    async def _is_still(self) -> bool:
        rows = await self.shop.clients.rows(
            """SELECT FROM payment.operations WHERE store_id = $1 AND settle_time IS NULL
            AND kind <> 'authorize' AND state <> $2""",
            self.shop.store_id,
            WAITING,
        )
        return not rows

    # How they ask.

    def _part(self, step: Step) -> int:
        return max(self.expected.total * step.part // MILLION, 1)

    async def _payment(self) -> str:
        found = (await self.now()).payment_id
        if not found:
            raise Refusal("no payment yet")
        return str(found)

    async def _do(self, call: Callable[..., Any], request: Any) -> None:
        self._last = lambda: answered(call, request)
        await self._last()


async def answered(call: Callable[..., Any], request: Any) -> Any:
    """Make a call until it is answered, also by a service that has died in the meantime."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await call(request, timeout=CALL_SECONDS)
            except grpc.aio.AioRpcError as error:
                if error.code() not in BROKEN:
                    if reason_of(error) in NOT_NOW:
                        raise Refusal(reason_of(error)) from None
                    raise
            await asyncio.sleep(MOMENT_SECONDS)


def _some(left: dict[str, int], units: int) -> dict[str, int]:
    """So many units of the first line that has some left."""
    for product, number in left.items():
        if number and units:
            return {product: min(units, number)}
    return {}


async def _heard(call: Callable[[], Awaitable[Any]]) -> Any:
    """Ask the provider until it answers: it may be dead for a moment."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await call()
            except (aiohttp.ClientError, OSError):
                await asyncio.sleep(MOMENT_SECONDS)
