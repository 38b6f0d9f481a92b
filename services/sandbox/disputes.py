"""Disputes: a customer's bank withdraws what was captured, and gives it back when the merchant wins."""

import time
from typing import Any

from . import rules
from .alarm import Alarm
from .answers import Answer, as_json, random_id
from .book import Book, Operation
from .events import Events
from .requests import DisputeRequest
from .rules import Charge, Dispute, Refused
from .settings import Settings
from .settlement import Settlement

# From the capture of pm_sandbox_dispute_… to its dispute, and from there to its end.
STEP_SECONDS = 1.0
# A dispute that will open by itself; until then nobody is shown it.
SCHEDULED = "scheduled"


class Disputes:
    def __init__(
        self, book: Book, settings: Settings, events: Events, settlement: Settlement, alarm: Alarm
    ) -> None:
        self._book = book
        self._settings = settings
        self._events = events
        self._settlement = settlement
        self._alarm = alarm

    def open(self, key: str, request: str, wanted: DisputeRequest) -> Answer:
        """What a bank does. Raises Refused (404, 409)."""
        charge = self._book.charge(wanted.charge_id)
        if charge is None:
            raise Refused(404, "charge_unknown", "there is no such charge")
        moved = rules.disputed(charge, wanted.amount_minor_units)
        dispute = self._new(charge, wanted.amount_minor_units, wanted.reason, "open")
        answer = as_json(dispute._asdict())
        with self._book.transaction():
            self._book.add_dispute(dispute)
            self._changed(dispute, moved)
            self._record(key, request, dispute, answer)
        return Answer(200, answer)

    def decide(self, key: str, request: str, dispute_id: str, outcome: str) -> Answer:
        """The bank's last word. Raises Refused (404, 409)."""
        dispute = self._found(dispute_id)
        dispute, charge = rules.decided(dispute, self._charge(dispute), outcome)
        answer = as_json(dispute._asdict())
        with self._book.transaction():
            self._book.change_dispute(dispute)
            self._changed(dispute, charge)
            self._record(key, request, dispute, answer)
        return Answer(200, answer)

    def shown(self, dispute_id: str) -> dict[str, Any]:
        """Raises Refused (404)."""
        return self._found(dispute_id)._asdict()

    def schedule(self, charge: Charge, outcome: str) -> None:
        """A dispute that opens and ends by itself; within the transaction of the capture."""
        due = time.time() + STEP_SECONDS
        self._book.add_dispute(self._new(charge, 0, "fraudulent", SCHEDULED), outcome, due)
        self._alarm.due(due)

    def move_due(self, now: float) -> None:
        for dispute, outcome in self._book.disputes_to_decide(now):
            with self._book.transaction():
                if dispute.status == SCHEDULED:
                    self._open_scheduled(dispute, outcome, now)
                else:
                    decided, charge = rules.decided(dispute, self._charge(dispute), outcome)
                    self._book.change_dispute(decided)
                    self._changed(decided, charge)

    def _open_scheduled(self, dispute: Dispute, outcome: str, now: float) -> None:
        """Withdraws all that was captured and not refunded; when that is nothing, there is no dispute."""
        charge = self._charge(dispute)
        amount = rules.disputable(charge)
        if amount <= 0:
            self._book.change_dispute(dispute)
            return
        opened = dispute._replace(status="open", amount_minor_units=amount, created=int(now))
        self._book.change_dispute(opened, outcome, now + STEP_SECONDS)
        self._changed(opened, rules.disputed(charge, amount))

    def _changed(self, dispute: Dispute, charge: Charge) -> None:
        self._book.change_charge(charge)
        self._settlement.disputed(dispute, charge)
        self._events.dispute_changed(dispute, charge)

    def _record(self, key: str, request: str, dispute: Dispute, answer: bytes) -> None:
        operation = Operation(
            key, "dispute", dispute.charge_id, request, dispute.status, 200, answer, dispute.id
        )
        self._book.add_operation(operation)

    def _new(self, charge: Charge, amount: int, reason: str, status: str) -> Dispute:
        return Dispute(
            id=random_id("dp"),
            charge_id=charge.id,
            amount_minor_units=amount,
            currency_code=charge.currency_code,
            reason=reason,
            status=status,
            created=int(time.time()),
            fee_minor_units=self._settings.dispute_fee_minor_units,
        )

    def _found(self, dispute_id: str) -> Dispute:
        dispute = self._book.dispute(dispute_id)
        if dispute is None or dispute.status == SCHEDULED:
            raise Refused(404, "dispute_unknown", "there is no such dispute")
        return dispute

    def _charge(self, dispute: Dispute) -> Charge:
        charge = self._book.charge(dispute.charge_id)
        if charge is None:
            raise LookupError(dispute.charge_id)
        return charge
