"""The catalog and the payment service in memory: the catalog's own rules, and a till of few states.

Their state outlives their processes, as a database does; a step of theirs is done as a whole or not at all.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from commerce.catalog.v1.stock_service_pb2 import ReservationResult
from commerce.order.v1 import order_events_pb2 as orders
from commerce.payment.v1 import payment_events_pb2 as payments
from commerce.payment.v1.payment_pb2 import Payment, PaymentState
from google.protobuf.message import Message

from services.catalog import levels
from services.catalog import rules as catalog
from services.order import clients
from services.order.driving_rules import Driven
from tests.simulation.network import Outbox

PENDING = PaymentState.PAYMENT_STATE_PENDING
UNKNOWN = PaymentState.PAYMENT_STATE_UNKNOWN
REQUIRES_ACTION = PaymentState.PAYMENT_STATE_REQUIRES_ACTION
AUTHORIZED = PaymentState.PAYMENT_STATE_AUTHORIZED
FAILED = PaymentState.PAYMENT_STATE_FAILED
VOIDED = PaymentState.PAYMENT_STATE_VOIDED
EXPIRED = PaymentState.PAYMENT_STATE_EXPIRED

FAILED_ORDERS = orders.OrderCancelled | orders.OrderExpired | orders.OrderPaymentFailed | orders.OrderRejected


class Warehouse:
    """One product's units, and who has reserved some."""

    def __init__(self, store_id: str, product_id: str, on_hand: int, price: int) -> None:
        self.store_id, self.product_id, self.on_hand, self.price = store_id, product_id, on_hand, price
        self.reservations: dict[str, catalog.Reservation] = {}

    @property
    def reserved(self) -> int:
        """Units that are held."""
        held = [each for each in self.reservations.values() if each.state == catalog.HELD]
        return sum(sum(each.units.values()) for each in held)

    def reserve(self, batch: Sequence[Driven]) -> list[ReservationResult]:
        """Decide for each order."""
        stock = levels.Stock(self.product_id, self.store_id, self.on_hand, self.reserved)
        wanted = [clients._reservation(each) for each in batch]
        customers = {each.customer_id: 1_000_000 for each in wanted}
        offers = {self.product_id: catalog.Offer(stock, "EUR", self.price)}
        results, held = catalog.reserve(wanted, offers, self.reservations, customers)
        self.reservations |= held
        assert self.reserved <= self.on_hand, "more units are promised than there are"
        return list(results)

    def react(self, event: Message) -> None:
        """Confirmed orders keep their units, those that came to nothing give them back."""
        if isinstance(event, orders.OrderConfirmed):
            return
        order_id = event.order.order_id  # type: ignore[attr-defined]
        taken = catalog.take_steps([catalog.Step("release", order_id)], self.reservations)
        for each, state in taken.states.items():
            before = self.reservations.get(each, catalog.Reservation(catalog.NONE, {}))
            self.reservations[each] = catalog.Reservation(state, before.units)


@dataclass
class _Charge:
    payment: Payment
    will_be: PaymentState.ValueType
    decided_at: datetime | None


class Till:
    """One payment an order. What it decides is drawn once an order; it tells it by events, too."""

    def __init__(self, seed: random.Random) -> None:
        self._seed = seed
        self.charges: dict[str, _Charge] = {}
        self.outbox = Outbox()

    def authorize(self, driven: Driven, now: datetime) -> Payment:
        """Ask for an order's money, or how it stands."""
        order = driven.order
        charge = self.charges.get(order.order_id)
        if charge is None:
            charge = self.charges[order.order_id] = self._begun(order.order_id, now)
            charge.payment.amount.CopyFrom(order.total)
            if charge.decided_at is None:
                self._decide(charge, now)
        copy = Payment()
        copy.CopyFrom(charge.payment)
        return copy

    def settle(self, now: datetime) -> None:
        """Decide what was in doubt, up to its customer or promised for a time only, when that has come."""
        for charge in self.charges.values():
            if charge.decided_at is not None and charge.decided_at <= now:
                self._decide(charge, now)

    def react(self, event: Message, now: datetime) -> None:
        """Give up the money of an order that came to nothing, also before it is known whether there is any."""
        order_id = event.order.order_id  # type: ignore[attr-defined]
        charge = self.charges.setdefault(order_id, _Charge(_payment(order_id), VOIDED, None))
        if charge.payment.state not in (FAILED, EXPIRED):
            charge.payment.state, charge.decided_at = VOIDED, None

    def _begun(self, order_id: str, now: datetime) -> _Charge:
        payment = _payment(order_id)
        will_be = self._seed.choices((AUTHORIZED, FAILED), (4, 1))[0]
        doubt = self._seed.choices((None, UNKNOWN, REQUIRES_ACTION), (4, 1, 1))[0]
        if doubt is None:
            return _Charge(payment, will_be, None)
        payment.state = doubt
        seconds = self._seed.uniform(0, 15)
        if doubt == REQUIRES_ACTION:
            # Some customers never confirm: then the provider waits for less long than the order, or for longer.
            will_be, seconds = self._seed.choices(
                ((will_be, seconds), (EXPIRED, seconds), (EXPIRED, 1_000_000)), (3, 1, 1)
            )[0]
        return _Charge(payment, will_be, now + timedelta(seconds=seconds))

    def _decide(self, charge: _Charge, now: datetime) -> None:
        payment = charge.payment
        payment.state, charge.decided_at = charge.will_be, None
        reference = payments.PaymentReference(payment_id=payment.payment_id, order_id=payment.order_id)
        if payment.state == AUTHORIZED:
            self.outbox.append(payments.PaymentAuthorized(payment=reference))
            if self._seed.random() < 0.2:
                # Nobody takes the money in time: at once, as far as the order can tell, or later.
                charge.will_be = EXPIRED
                charge.decided_at = now + timedelta(seconds=self._seed.choice((0, self._seed.uniform(0, 15))))
        elif payment.state == EXPIRED:
            self.outbox.append(payments.PaymentExpired(payment=reference))
        else:
            self.outbox.append(payments.PaymentFailed(payment=reference, decline_code="declined"))


def _payment(order_id: str) -> Payment:
    return Payment(payment_id=order_id, order_id=order_id, state=PENDING)


def heard_by_catalog(event: Message) -> bool:
    """Whether the catalog reacts to an event."""
    return isinstance(event, orders.OrderConfirmed | FAILED_ORDERS)


def heard_by_payment(event: Message) -> bool:
    """Whether the payment service reacts to an event."""
    return isinstance(event, orders.OrderCancelled | orders.OrderExpired)


def heard_by_order(event: Any) -> bool:
    """Whether the order service reacts to an event."""
    return isinstance(event, payments.PaymentAuthorized | payments.PaymentExpired | payments.PaymentFailed)
