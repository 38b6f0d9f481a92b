"""A provider in memory, with a book of its own; and the gateway through which a replica asks it.

It does each key once, remembers what it answered, and tells by webhook what it decides. It is truthful: what it says
happened, has. Its book outlives its processes.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from services.order.clients import Unanswered
from services.payment.gateways.gateway import Abilities
from services.payment.rules.outcomes import (
    DISPUTED,
    DisputeTold,
    NeverSeen,
    Notice,
    NotSent,
    Outcome,
    Refused,
    Status,
    Told,
    Unknown,
)
from services.payment.rules.payment import DISPUTE_LOST, DISPUTE_OPEN, DISPUTE_WON, VOIDS, Operation, Payment
from tests.simulation.loop import Process
from tests.simulation.network import Network

FEE = 15
ANSWER_SECONDS = 5.0
# What a customer, a bank or the provider itself does later, and how often.
LATER = ("authorized", "requires_action", "processing", "declined")
SHARES = (6, 2, 1, 1)


@dataclass
class Charge:
    """What one order's customer has promised, and what was taken of it; sums in minor units."""

    reference: str
    key: str
    amount: int
    status: str
    expires: datetime
    captured: int = 0
    voided: int = 0
    refunded: int = 0
    disputed: int = 0
    lost: int = 0
    promised: bool = False

    @property
    def held(self) -> int:
        return self.amount - self.captured - self.voided if self.promised else 0


@dataclass
class Provider:
    """Charges, operations by their keys, and the events to send. Once it is `calm` nobody begins a dispute."""

    code: str
    seed: random.Random
    now: Callable[[], datetime]
    note: Callable[[str], None]
    before: Callable[[Operation], None]
    send: Callable[[str, int], None]
    charges: dict[str, Charge] = field(default_factory=dict)
    of_key: dict[str, tuple[Charge, Outcome]] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    disputes: dict[str, DisputeTold] = field(default_factory=dict)
    fees: int = 0
    calm: bool = False

    def perform(self, operation: Operation, payment: Payment) -> Outcome:
        """Do it, once a key."""
        key = operation.operation_id
        if key not in self.of_key:
            self.before(operation)
            charge = self._charge(operation, payment)
            if charge is None:
                return Refused("charge_unknown")
            outcome = self._do(operation, charge)
            self.of_key[key] = charge, outcome
            self.note(f"{self.code} {operation.kind} {outcome}")
            if isinstance(outcome, Told) and self.seed.random() < 0.5:
                self._tell(outcome, charge, key)
        return self.of_key[key][1]

    def look_up(self, operation: Operation) -> Outcome | NeverSeen:
        """What became of a key; of an authorization, as it is now."""
        if operation.operation_id not in self.of_key:
            self.note(f"{self.code} has never seen {operation.kind}")
            return NeverSeen()
        charge, outcome = self.of_key[operation.operation_id]
        if operation.kind == "authorize":
            return self._told(charge, operation.operation_id)
        return outcome

    def forget(self, key: str) -> None:
        """Lose what is known by a key, while nobody has decided; not the charge."""
        charge, _ = self.of_key.get(key, (None, None))
        if charge is not None and charge.status in ("requires_action", "processing"):
            self.note(f"{self.code} forgets {charge.reference}")
            del self.of_key[key]

    def pass_time(self) -> None:
        """Customers answer, late decisions fall, authorizations and challenges end, banks dispute and decide."""
        for charge in self.charges.values():
            if charge.status in ("requires_action", "processing") and self.seed.random() < 0.06:
                self._decide(charge, self.seed.choices(("authorized", "declined"), (3, 1))[0])
            elif self.now() >= charge.expires:
                self._expire(charge)
            elif charge.captured and not self.calm and self.seed.random() < 0.02:
                self._dispute(charge)
        for reference, dispute in list(self.disputes.items()):
            if dispute.status == DISPUTE_OPEN and self.seed.random() < 0.1:
                self._close(reference, dispute)

    def _charge(self, operation: Operation, payment: Payment) -> Charge | None:
        if operation.kind != "authorize":
            return self.charges.get(payment.provider_reference)
        seconds = self.seed.choice((4, 15, 60))
        charge = Charge(
            reference=f"{self.code}-{len(self.charges)}",
            key=operation.operation_id,
            amount=operation.amount,
            status="",
            expires=self.now() + timedelta(seconds=seconds),
        )
        self.charges[charge.reference] = charge
        return charge

    def _do(self, operation: Operation, charge: Charge) -> Outcome:
        if operation.kind == "authorize":
            self._become(charge, self.seed.choices(LATER, SHARES)[0])
        elif charge.status == "expired" or (operation.kind in ("capture", *VOIDS) and self._is_over(charge)):
            return Refused("authorization_expired", "expired")
        elif operation.kind in VOIDS:
            return self._void(operation, charge)
        elif operation.kind == "capture":
            if operation.amount > charge.held:
                return Refused("amount_exceeds_authorized", charge.status)
            charge.captured += operation.amount
            charge.status = "captured"
        else:
            left = charge.captured - charge.refunded - charge.lost
            if operation.amount > left:
                return Refused("amount_exceeds_captured", charge.status)
            if operation.amount > left - charge.disputed:
                return Refused(DISPUTED, charge.status)
            charge.refunded += operation.amount
            charge.status = "refunded"
        return self._told(charge, operation.operation_id)

    def _void(self, operation: Operation, charge: Charge) -> Outcome:
        undecided = charge.status in ("requires_action", "processing")
        if not charge.held and not undecided:
            return Refused("step_not_allowed", charge.status)
        charge.voided += charge.held
        charge.status = charge.status if charge.captured else "voided"
        return replace(self._told(charge, operation.operation_id), status="voided")

    def _is_over(self, charge: Charge) -> bool:
        if self.now() >= charge.expires:
            self._expire(charge)
        return self.now() >= charge.expires

    def _become(self, charge: Charge, status: str) -> None:
        charge.status = status
        charge.promised = charge.promised or status == "authorized"

    def _decide(self, charge: Charge, status: str) -> None:
        self._become(charge, status)
        self._tell(self._told(charge, charge.key), charge, charge.key)

    def _expire(self, charge: Charge) -> None:
        if charge.status in ("requires_action", "processing") or charge.held:
            charge.voided += charge.held
            if not charge.captured:
                charge.status = "expired"
                self._tell(self._told(charge, charge.key), charge, charge.key)

    def _dispute(self, charge: Charge) -> None:
        left = charge.captured - charge.refunded - charge.disputed - charge.lost
        own = [
            dispute
            for reference, dispute in self.disputes.items()
            if reference.startswith(f"{charge.reference}-d")
        ]
        # Of money that came back after a dispute there is no other: news of it might come before news of that.
        if left <= 0 or any(dispute.status == DISPUTE_WON for dispute in own):
            return
        reference = f"{charge.reference}-dispute-{len(self.disputes)}"
        amount = self.seed.choice((left, (left + 1) // 2))
        charge.disputed += amount
        self.fees += FEE
        self.disputes[reference] = DisputeTold(
            reference=reference, status=DISPUTE_OPEN, amount=amount, currency_code="EUR", fee=FEE
        )
        self._notice("dispute", charge, dispute=self.disputes[reference])

    def _close(self, reference: str, dispute: DisputeTold) -> None:
        charge = next(one for one in self.charges.values() if reference.startswith(f"{one.reference}-d"))
        won = self.seed.random() < 0.5
        charge.disputed -= dispute.amount
        charge.lost += 0 if won else dispute.amount
        self.disputes[reference] = replace(dispute, status=DISPUTE_WON if won else DISPUTE_LOST)
        self._notice("dispute", charge, dispute=self.disputes[reference])

    def _told(self, charge: Charge, key: str) -> Told:
        status: Status = charge.status  # type: ignore[assignment]
        return Told(
            status=status if key != charge.key else self._first_status(charge),
            reference=charge.reference,
            amount=charge.amount,
            currency_code="EUR",
            captured=charge.captured,
            refunded=charge.refunded,
            operation_reference=f"of-{key}",
            expire_time=charge.expires,
            next_action_url="https://provider.test/" if charge.status == "requires_action" else "",
        )

    def _first_status(self, charge: Charge) -> Any:
        """What became of the authorization itself, whatever came of it since."""
        return "authorized" if charge.promised and charge.status not in ("expired",) else charge.status

    def _tell(self, told: Told, charge: Charge, key: str) -> None:
        self._notice(told.status, charge, operation_id=key, told=told)

    def _notice(self, kind: str, charge: Charge, **given: Any) -> None:
        self.note(f"{self.code} tells {kind} of {charge.reference}")
        event_id = f"{self.code}-event-{len(self.notices)}"
        self.notices.append(Notice(event_id=event_id, type=kind, charge_reference=charge.reference, **given))
        self.send(self.code, len(self.notices) - 1)


class Gateway:
    """Asks a provider over a network that loses, repeats and delays."""

    abilities = Abilities(
        partial_capture=True,
        multiple_capture=True,
        partial_refund=True,
        customer_action=True,
        hosted=True,
        disputes=True,
    )

    def __init__(self, provider: Provider, process: Callable[[], Process], network: Network) -> None:
        self.code = provider.code
        self._provider, self._process, self._network = provider, process, network

    async def perform(self, operation: Operation, payment: Payment) -> Outcome | NotSent:
        """As the protocol has it."""

        async def work() -> Outcome:
            return self._provider.perform(operation, payment)

        outcome: Outcome | NotSent = await self._asked(operation.kind, work)
        return outcome

    async def look_up(self, operation: Operation, payment: Payment) -> Outcome | NeverSeen | NotSent:
        """As the protocol has it."""

        async def work() -> Outcome | NeverSeen:
            return self._provider.look_up(operation)

        outcome: Outcome | NeverSeen | NotSent = await self._asked(f"look up {operation.kind}", work)
        return outcome

    async def verify(self, body: bytes, headers: Mapping[str, str | bytes]) -> None:
        """Everything is the provider's own here."""

    def read(self, body: bytes) -> Notice:
        """Which of its events this is."""
        return self._provider.notices[int(body)]

    async def close(self) -> None:
        """Nothing is open."""

    async def _asked(self, what: str, work: Callable[[], Any]) -> Any:
        if self._network.chance(self._network.faults.lost):
            # Nobody opens the door, which takes its time.
            await asyncio.sleep(self._provider.seed.uniform(0, ANSWER_SECONDS))
            self._network.note(f"{self.code} {what} not sent")
            return NotSent("no connection")
        try:
            return await self._network.call(self._process(), f"{self.code} {what}", work, ANSWER_SECONDS)
        except Unanswered as error:
            return Unknown(str(error))
