"""What the provider does: each keyed request once, its effect and its answer in one transaction."""

import json
import math
import time
from typing import Any

from . import rules
from .alarm import Alarm
from .answers import Answer, as_json, random_id
from .book import Book, Operation
from .disputes import Disputes
from .events import Events
from .requests import ChargeRequest
from .rules import DETACHED, DUE, UNDECIDED, Charge, Method, Refused
from .settings import Settings
from .settlement import Settlement

# What the ids of operations begin with. Those that decide about the charge itself go by its id.
PREFIXES = {"capture": "cap", "refund": "re", "void": "void"}


class Provider:
    def __init__(
        self,
        book: Book,
        settings: Settings,
        events: Events,
        settlement: Settlement,
        disputes: Disputes,
        alarm: Alarm,
    ) -> None:
        self._book = book
        self._settings = settings
        self._events = events
        self._settlement = settlement
        self._disputes = disputes
        self._alarm = alarm

    def replay(self, key: str, request: str) -> Answer | None:
        """The recorded answer to this key, if any. Raises Refused when it was given to another request."""
        recorded = self._book.operation(key)
        if recorded is None:
            return None
        if recorded.request != request:
            raise Refused(409, "idempotency_key_reused", "this key belongs to another request")
        return Answer(recorded.http_status, recorded.answer, replayed=True)

    def silence(self, key: str) -> bool:
        """Whether this request of pm_sandbox_silent_before is the one that is lost."""
        return self._book.silence(key)

    def method(self, token: str, key: str) -> Method:
        """How a new charge with this token behaves."""
        if self._book.is_detached(token):
            return DETACHED
        return rules.behaviour(token, key, self._settings.shares)

    def charge(self, key: str, request: str, wanted: ChargeRequest, method: Method) -> Answer:
        now = time.time()
        charge, decide_at = self._dated(new_charge(key, wanted, method, now), now)
        answer = as_json({**self._events.shown(charge), "operation_reference": charge.id})
        with self._book.transaction():
            self._book.add_charge(charge, decide_at)
            self._book.add_operation(
                Operation(key, "authorize", charge.id, request, charge.status, 200, answer, charge.id)
            )
            self._events.charge_changed(charge, key, charge.id, needed=method.webhook_copies > 1)
            self._events.untrue(charge, method)
        self._alarm.due(decide_at)
        return Answer(200, answer)

    def change(self, key: str, request: str, name: str, charge_id: str, amount: int = 0) -> Answer:
        """Capture, void or refund; a refusal by the rules is an outcome too, and recorded like one."""
        reference = random_id(PREFIXES[name])
        return self._record(key, request, name, charge_id, reference, amount)

    def challenge(self, key: str, request: str, step: str, charge_id: str) -> Answer:
        """The customer's answer at the next_action_url."""
        return self._record(key, request, step, charge_id, charge_id)

    def lookup(self, key: str) -> dict[str, Any]:
        """What became of the request with this key. Raises Refused (404) when there was none."""
        operation = self._book.operation(key)
        if operation is None:
            raise Refused(404, "operation_unknown", "no request with this key had any effect")
        charge = self._found(operation.charge_id)
        error = json.loads(operation.answer)["error"] if operation.outcome == "refused" else None
        return {
            **self._events.shown(charge),
            "idempotency_key": key,
            "operation": operation.operation,
            "operation_reference": operation.operation_reference,
            "status": operation.outcome,
            "charge_status": charge.status,
            "error": error,
        }

    def found(self, charge_id: str) -> dict[str, Any]:
        """The charge as it is. Raises Refused (404)."""
        return self._events.shown(self._found(charge_id))

    def page(self, after: int, limit: int) -> dict[str, Any]:
        rows = self._book.charges_after(after, limit)
        return {
            "charges": [{"row": row, **self._events.shown(charge)} for row, charge in rows],
            "next_after": rows[-1][0] if len(rows) == limit else None,
        }

    def card(self, token: str) -> dict[str, Any]:
        """A saved payment method. Raises Refused (404) when there is none, or no more."""
        if rules.method_name(token) is None or self._book.is_detached(token):
            raise Refused(404, "payment_method_unknown", "there is no such payment method")
        return rules.card(token)

    def detach(self, token: str) -> dict[str, Any]:
        """A method without an ending of its own is everybody's, and stays. Raises Refused (404)."""
        name = rules.method_name(token)
        if name is None:
            raise Refused(404, "payment_method_unknown", "there is no such payment method")
        if name != token:
            self._book.detach(token)
        return {"token": token, "detached": name != token}

    def move_due(self, now: float) -> None:
        """Decides what is late, and ends what has expired."""
        for charge in self._book.charges_to_decide(now):
            with self._book.transaction():
                self._move(charge, now)

    def _record(
        self, key: str, request: str, name: str, charge_id: str, reference: str, amount: int = 0
    ) -> Answer:
        challenged = name not in PREFIXES
        charge, now = self._found(charge_id), time.time()
        with self._book.transaction():
            if rules.is_over(charge, now) and charge.status in DUE:
                charge = self._move(charge, now)
            try:
                moved, decide_at = self._dated(rules.step(name, charge, amount, now=now), now)
            except Refused as refused:
                outcome, http_status, done = "refused", refused.http_status, None
                answer = as_json({"error": refused.error})
            else:
                outcome, http_status, done = moved.status, 200, reference
                answer = as_json({**self._events.shown(moved), "operation_reference": reference})
                # What ends a challenge is news about the authorization, so it is told by that key.
                told_by = charge.idempotency_key if challenged else key
                self._change(charge, moved, decide_at, told_by, reference, needed=challenged)
            operation = "challenge" if challenged else name
            self._book.add_operation(
                Operation(key, operation, charge_id, request, outcome, http_status, answer, done)
            )
        return Answer(http_status, answer)

    def _move(self, charge: Charge, now: float) -> Charge:
        """What time does to a charge; nobody's reply tells it."""
        moved, decide_at = self._dated(rules.step(DUE[charge.status], charge, now=now), now)
        self._change(charge, moved, decide_at, charge.idempotency_key, charge.id, needed=True)
        return moved

    def _change(
        self,
        charge: Charge,
        moved: Charge,
        decide_at: float | None,
        key: str,
        reference: str,
        *,
        needed: bool,
    ) -> None:
        self._book.change_charge(moved, decide_at)
        self._alarm.due(decide_at)
        if charge.status in UNDECIDED:
            self._book.settle_operation(charge.idempotency_key, moved.status)
        self._settlement.moved(charge, moved, key, reference)
        self._events.charge_changed(moved, key, reference, needed=needed)
        if moved.captured_minor_units and not charge.captured_minor_units:
            method = self._behaviour(charge)
            if method.dispute:
                self._disputes.schedule(moved, method.dispute)

    def _dated(self, charge: Charge, now: float) -> tuple[Charge, float | None]:
        """The charge with the time it has, and when time moves it on (both Unix seconds)."""
        if charge.status == "processing":
            return charge, now + self._settings.late_seconds
        if charge.status not in DUE:
            return charge, None
        challenged = charge.status == "requires_action"
        seconds = self._settings.challenge_seconds if challenged else self._settings.authorization_seconds
        own = self._behaviour(charge).expires_seconds
        expires = math.ceil(now + (seconds if own is None else own))
        return charge._replace(expires=expires), expires

    def _behaviour(self, charge: Charge) -> Method:
        return rules.behaviour(charge.payment_method, charge.idempotency_key, self._settings.shares)

    def _found(self, charge_id: str) -> Charge:
        charge = self._book.charge(charge_id)
        if charge is None:
            raise Refused(404, "charge_unknown", "there is no such charge")
        return charge


def new_charge(key: str, wanted: ChargeRequest, method: Method, now: float) -> Charge:
    return Charge(
        id=random_id("ch"),
        idempotency_key=key,
        reference=wanted.reference,
        payment_method=wanted.payment_method,
        currency_code=wanted.currency_code,
        amount_minor_units=wanted.amount_minor_units,
        status=method.status,
        decline_code=method.decline_code,
        authorized_minor_units=wanted.amount_minor_units if method.status == "authorized" else 0,
        captured_minor_units=0,
        refunded_minor_units=0,
        voided_minor_units=0,
        disputed_minor_units=0,
        created=int(now),
        expires=None,
    )
