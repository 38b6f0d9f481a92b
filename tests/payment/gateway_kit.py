"""What every gateway must pass: test_gateway_kit*.py. A gateway joins with a World, named in tests/payment/worlds/.

A World is a provider and its surroundings: a server that speaks the provider's protocol with a book of its own, the
adapter before it, and what happens in the provider's part of the world: customers confirm, banks dispute, time goes by,
answers get lost. The tests are about outcomes and the provider's book, and know no provider.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, Protocol, Self

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.payment_pb2 import PaymentState

from services.payment.gateways.gateway import Gateway
from services.payment.rules.outcomes import Method, NeverSeen, Refused, Told
from services.payment.rules.payment import (
    OPERATION_FAILED,
    OPERATION_SUCCEEDED,
    OPERATION_UNKNOWN,
    OPERATION_WAITING,
    VOIDS,
    Kind,
    Operation,
    Payment,
)
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal

AMOUNT = 1999
PART = 700
DONE = {
    Kind.AUTHORIZE: "authorized",
    Kind.CAPTURE: "captured",
    Kind.VOID: "voided",
    Kind.EXPIRE: "voided",
    Kind.REFUND: "refunded",
}
# It may also be told as what it is to the provider.
ENDS = {Kind.EXPIRE: "expired"}
KINDS = (Kind.AUTHORIZE, Kind.CAPTURE, Kind.VOID, Kind.REFUND)
# What is asked was not done …
BEFORE = ("silent_before", "error_500", "error_429")
# … or was, but the answer does not tell.
AFTER = ("silent_after", "hang_up", "malformed", "huge")
SILENT = ("silent_before", "silent_after")
PATIENCE_SECONDS = 20.0
HASTE_SECONDS = 1.0

Behaviour = Literal["ok", "declined", "insufficient_funds", "challenge"]


class Sums(NamedTuple):
    """A charge in the provider's own book, in the currency's minor units."""

    authorized: int
    captured: int = 0
    refunded: int = 0
    voided: int = 0
    disputed: int = 0


class Sent(NamedTuple):
    """A webhook as the provider sent it; the headers' names are in lower case."""

    body: bytes
    headers: Mapping[str, str | bytes]


class World(Protocol):
    """A provider, the adapter before it, and who else has a part in it. Used as an async context manager.

    A reference is the one that the adapter told of the charge (Told.reference). What a gateway is not able to do, its
    world need not.
    """

    gateway: Gateway
    # Left when the world ends.
    stack: AsyncExitStack
    # The provider takes these; the first one has two decimals.
    currencies: tuple[str, ...] = ("EUR",)
    # By behaviour, the code that a decline must tell.
    declines: Mapping[str, str]
    # What a charge is once its customer has failed the challenge: declined, or still waiting for another try.
    failed_challenge: Literal["declined", "requires_action"] = "declined"
    # Our key finds an authorization whose answer was lost; else asking again under the key does, as long as it is kept.
    finds_authorizations: bool = True
    # A 500 remains the answer to its key, for hours: then nobody can tell more than that nothing is done twice.
    keeps_errors: bool = False
    # It says why it refuses, and names each request for its support.
    says_why: bool = True
    # pm_<code>_… that the provider does not know.
    unknown_token: str
    # What the adapter shows, or checks signatures with: must be seen nowhere.
    secrets: tuple[str, ...]

    async def __aenter__(self) -> Self:
        self.stack = AsyncExitStack()
        await self.open()
        self.gateway = self.connect()
        self.stack.push_async_callback(self.gateway.close)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.stack.aclose()

    async def open(self) -> None:
        """Start the provider's server; `stack` ends it."""
        raise NotImplementedError

    def connect(
        self, *, timeout_seconds: float = PATIENCE_SECONDS, url: str = "", connections: int = 8
    ) -> Gateway:
        """Return an adapter before the server, or before another address if one is given."""
        raise NotImplementedError

    def token(self, behaviour: Behaviour) -> str:
        """Return a payment method for the next authorization, which behaves so."""
        raise NotImplementedError

    async def answer_challenge(self, reference: str, *, passed: bool) -> None:
        """Do what the customer does at the next_action_url."""
        raise NotImplementedError

    async def misbehave(self, fault: str, question: str) -> None:
        """Have the next question go wrong: one of KINDS, look_up or method; faults are BEFORE and AFTER."""
        raise NotImplementedError

    async def book(self) -> Mapping[str, Sums]:
        """Return every charge that was ever authorized, by reference."""
        raise NotImplementedError

    async def webhooks(self, reference: str) -> list[Sent]:
        """Return all webhooks of a charge so far, signed now."""
        raise NotImplementedError

    def signed(self, sent: Sent, *, age_seconds: float = 0, by_stranger: bool = False) -> Sent:
        """Return the same event signed anew: some time ago, or by somebody who is not the provider."""
        raise NotImplementedError

    async def open_dispute(self, reference: str, amount: int) -> str:
        """Have the customer's bank take money back; return the dispute's reference."""
        raise NotImplementedError

    async def close_dispute(self, dispute: str, *, won: bool) -> None:
        """Have the bank decide."""
        raise NotImplementedError

    async def expire(self, reference: str) -> None:
        """Have the time of an authorization be over."""
        raise NotImplementedError

    async def saved(self) -> tuple[str, Method]:
        """Return a payment method that a customer has saved just now, and what it is."""
        raise NotImplementedError


class Purchase:
    """A customer's payment as the service keeps it: each operation on record before the gateway is asked."""

    def __init__(
        self, world: World, before: Mapping[str, Sums], method: str, amount: int, currency: str
    ) -> None:
        """`before` is the provider's book: what is in it later and was not then is this purchase's."""
        now = datetime.now(UTC)
        self.world, self.gateway, self.before = world, world.gateway, before
        self.payment = Payment(
            payment_id=str(new_id()),
            order_id=str(new_id()),
            store_id=str(new_id()),
            customer_id=str(new_id()),
            state=PaymentState.PAYMENT_STATE_PENDING,
            amount=amount,
            currency_code=currency,
            gateway=world.gateway.code,
            payment_method=method,
            create_time=now,
            update_time=now,
        )

    @property
    def reference(self) -> str:
        return self.payment.provider_reference

    def asked(self, kind: Kind, amount: int | None = None) -> Operation:
        """Put an operation on record; all that is there to take or to give back unless told how much."""
        payment = self.payment
        left = {Kind.AUTHORIZE: payment.amount, Kind.REFUND: payment.captured - payment.refunded}
        operation = Operation(
            operation_id=str(new_id()),
            kind=kind,
            amount=left.get(kind, payment.capturable) if amount is None else amount,
            attempts=1,
            create_time=datetime.now(UTC),
        )
        self.payment = payment.with_operation(operation)
        return operation

    async def perform(self, operation: Operation, gateway: Gateway | None = None) -> Any:
        return self.noted(operation, await (gateway or self.gateway).perform(operation, self.payment))

    async def look_up(self, operation: Operation, gateway: Gateway | None = None) -> Any:
        return self.noted(operation, await (gateway or self.gateway).look_up(operation, self.payment))

    async def do(self, kind: Kind, amount: int | None = None) -> Any:
        return await self.perform(self.asked(kind, amount))

    async def done(self, kind: Kind, amount: int | None = None) -> Told:
        """Do it, and see it done."""
        told = await self.do(kind, amount)
        assert isinstance(told, Told), told
        assert told.status in (DONE[kind], ENDS.get(kind)), told
        return told

    async def ready_for(self, kind: Kind) -> Self:
        """Go so far that an operation of this kind may be asked for."""
        if kind != Kind.AUTHORIZE:
            await self.done(Kind.AUTHORIZE)
        if kind == Kind.REFUND:
            await self.done(Kind.CAPTURE)
        return self

    def found_by_key(self, operation: Operation) -> bool:
        """Whether looking an operation up must find it, or not find it, whatever was lost."""
        return self.world.finds_authorizations or operation.kind != Kind.AUTHORIZE

    async def settle(self, operation: Operation) -> Any:
        """Find out about an operation as the service does: look it up, and perform it when it was never seen."""
        outcome = await self.look_up(operation)
        return await self.perform(operation) if isinstance(outcome, NeverSeen) else outcome

    async def charges(self) -> list[Sums]:
        """What the provider's book has of this purchase: one charge, or somebody was charged twice."""
        book = await self.world.book()
        return [sums for reference, sums in book.items() if reference not in self.before]

    def noted(self, operation: Operation, outcome: Any) -> Any:
        """Put an outcome on record, once."""
        known = self.payment.operation(operation.operation_id)
        if known.state == OPERATION_SUCCEEDED:
            return outcome
        if isinstance(outcome, Refused):
            self.payment = self.payment.with_changed(replace(known, state=OPERATION_FAILED))
        elif isinstance(outcome, Told):
            self._told(known, outcome)
        elif not isinstance(outcome, NeverSeen):
            self.payment = self.payment.with_changed(replace(known, state=OPERATION_UNKNOWN))
        return outcome

    def _told(self, operation: Operation, told: Told) -> None:
        states = {"requires_action": OPERATION_WAITING, "processing": OPERATION_UNKNOWN}
        states |= {"declined": OPERATION_FAILED}
        state = states.get(told.status, OPERATION_SUCCEEDED)
        changed = replace(operation, state=state, provider_reference=told.operation_reference)
        payment = replace(self.payment.with_changed(changed), provider_reference=told.reference)
        if state == OPERATION_SUCCEEDED:
            taken = operation.amount if operation.kind == Kind.CAPTURE else 0
            given_up = payment.capturable if operation.kind in VOIDS else 0
            given_back = operation.amount if operation.kind == Kind.REFUND else 0
            payment = replace(
                payment,
                state=_state(payment, operation),
                captured=payment.captured + taken,
                voided=payment.voided + given_up,
                refunded=payment.refunded + given_back,
            )
        self.payment = replace(payment, next_action_url=told.next_action_url)


def _state(payment: Payment, operation: Operation) -> PaymentState.ValueType:
    match operation.kind:
        case Kind.AUTHORIZE:
            return PaymentState.PAYMENT_STATE_AUTHORIZED
        case Kind.CAPTURE if operation.amount < payment.capturable:
            return PaymentState.PAYMENT_STATE_PARTIALLY_CAPTURED
        case Kind.CAPTURE:
            return PaymentState.PAYMENT_STATE_CAPTURED
        case Kind.VOID | Kind.EXPIRE if not payment.captured:
            return PaymentState.PAYMENT_STATE_VOIDED
        case Kind.REFUND if payment.refunded + operation.amount < payment.captured:
            return PaymentState.PAYMENT_STATE_PARTIALLY_REFUNDED
        case Kind.REFUND:
            return PaymentState.PAYMENT_STATE_REFUNDED
    return PaymentState.PAYMENT_STATE_CAPTURED


async def buy(
    world: World,
    behaviour: Behaviour = "ok",
    amount: int = AMOUNT,
    currency: str = "",
    method: str = "",
) -> Purchase:
    """A purchase that is about to be authorized."""
    before = dict(await world.book())
    method = method or world.token(behaviour)
    return Purchase(world, before, method, amount, currency or world.currencies[0])


def needs(world: World, *abilities: str) -> None:
    """Skip a test of what this gateway says it cannot do."""
    for ability in abilities:
        if not getattr(world.gateway.abilities, ability):
            pytest.skip(f"{world.gateway.code} has no {ability}")


def decline_of(outcome: Any) -> str:
    """Why an authorization was declined; "" when it was not. Where there is no charge, it is a refusal."""
    if isinstance(outcome, Refused):
        return outcome.code if outcome.charge == "declined" else ""
    return outcome.decline_code if isinstance(outcome, Told) and outcome.status == "declined" else ""


async def unsigned(gateway: Gateway, sent: Sent) -> str:
    """The cause for which a webhook's signature is refused."""
    with pytest.raises(Refusal) as refused:
        await gateway.verify(sent.body, sent.headers)
    assert refused.value.reason == ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID
    return str(refused.value.metadata["cause"])


async def eventually(true: Callable[[], Any], seconds: float = 60.0) -> None:
    """Return when it is true."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 (what is asked tells nobody when it changes)
            await asyncio.sleep(0.02)
