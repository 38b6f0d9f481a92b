"""What the provider does: each keyed request once, its effect and its answer in one transaction."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from . import rules
from .book import Book, Operation
from .requests import ChargeRequest
from .rules import METHODS, UNDECIDED, Charge, Method, Refused
from .settings import Settings

# A third copy of a duplicated webhook comes when the first two have been dealt with.
LATE_COPY_SECONDS = 0.3


class Answer(NamedTuple):
    http_status: int
    body: bytes
    replayed: bool = False


def as_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def random_id(prefix: str) -> str:
    """Grows with time, so that indexes stay cheap; 80 random bits, so that nobody guesses one."""
    return f"{prefix}_{time.time_ns() // 1_000_000:012x}{os.urandom(10).hex()}"


class Provider:
    def __init__(self, book: Book, settings: Settings) -> None:
        self._book = book
        self._settings = settings
        self.decisions_bell = asyncio.Event()
        self.webhooks_bell = asyncio.Event()

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

    def charge(self, key: str, request: str, wanted: ChargeRequest) -> Answer:
        method = METHODS[wanted.payment_method]
        charge = self._new_charge(key, wanted, method)
        answer = as_json(self.shown(charge))
        decide_at = None
        if charge.status == "processing":
            decide_at = time.time() + self._settings.late_seconds
            self.decisions_bell.set()
        with self._book.transaction():
            self._book.add_charge(charge, decide_at)
            self._book.add_operation(
                Operation(key, "authorize", charge.id, request, charge.status, 200, answer)
            )
            self._tell(charge, key, needed=method.webhook_copies > 1)
        return Answer(200, answer)

    def change(self, key: str, request: str, name: str, charge_id: str, amount: int = 0) -> Answer:
        """Capture, void or refund; a refusal by the rules is an outcome too, and recorded like one."""
        return self._record(key, request, name, charge_id, lambda charge: rules.step(name, charge, amount))

    def challenge(self, key: str, request: str, step: str, charge_id: str) -> Answer:
        """The customer's answer at the next_action_url."""
        return self._record(
            key, request, "challenge", charge_id, lambda charge: rules.step(step, charge), needed=True
        )

    def lookup(self, key: str) -> dict[str, Any]:
        """What became of the request with this key. Raises Refused (404) when there was none."""
        operation = self._book.operation(key)
        if operation is None:
            raise Refused(404, "operation_unknown", "no request with this key had any effect")
        charge = self._found(operation.charge_id)
        error = json.loads(operation.answer)["error"] if operation.outcome == "refused" else None
        return {
            **self.shown(charge),
            "idempotency_key": key,
            "operation": operation.operation,
            "status": operation.outcome,
            "charge_status": charge.status,
            "error": error,
        }

    def page(self, after: int, limit: int) -> dict[str, Any]:
        rows = self._book.charges_after(after, limit)
        return {
            "charges": [{"row": row, **self.shown(charge)} for row, charge in rows],
            "next_after": rows[-1][0] if len(rows) == limit else None,
        }

    async def decide_late_charges(self) -> None:
        """Authorizes each processing charge when its time has come; runs until cancelled."""
        while True:
            for charge in self._book.charges_to_decide(time.time()):
                with self._book.transaction():
                    self._change(charge, rules.step("authorize", charge), charge.idempotency_key, needed=True)
            await until(self.decisions_bell, self._book.next_decision())

    def shown(self, charge: Charge) -> dict[str, Any]:
        """A charge as merchants see it."""
        waiting = charge.status == "requires_action"
        url = f"http://{self._settings.listen}/v1/challenges/{charge.id}" if waiting else None
        return {**charge._asdict(), "next_action_url": url}

    def _record(
        self,
        key: str,
        request: str,
        name: str,
        charge_id: str,
        step: Callable[[Charge], Charge],
        *,
        needed: bool = False,
    ) -> Answer:
        charge = self._found(charge_id)
        with self._book.transaction():
            try:
                moved = step(charge)
            except Refused as refused:
                outcome, http_status = "refused", refused.http_status
                answer = as_json({"error": refused.error})
            else:
                outcome, http_status, answer = moved.status, 200, as_json(self.shown(moved))
                # What ends a challenge is news about the authorization, so it is told by that key.
                self._change(charge, moved, charge.idempotency_key if needed else key, needed=needed)
            self._book.add_operation(Operation(key, name, charge_id, request, outcome, http_status, answer))
        return Answer(http_status, answer)

    def _new_charge(self, key: str, wanted: ChargeRequest, method: Method) -> Charge:
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
            created=int(time.time()),
        )

    def _found(self, charge_id: str) -> Charge:
        charge = self._book.charge(charge_id)
        if charge is None:
            raise Refused(404, "charge_unknown", "there is no such charge")
        return charge

    def _change(self, charge: Charge, moved: Charge, key: str, *, needed: bool) -> None:
        self._book.change_charge(moved)
        if charge.status in UNDECIDED:
            self._book.settle_operation(charge.idempotency_key, moved.status)
        self._tell(moved, key, needed=needed)

    def _tell(self, charge: Charge, key: str, *, needed: bool) -> None:
        """Queues the webhook, in the transaction of what it tells. key: of the request that caused it."""
        wanted = needed or self._settings.webhooks == "all"
        if not wanted or not self._settings.webhook_url or charge.status in UNDECIDED:
            return
        now, event_id = time.time(), random_id("evt")
        data = {**self.shown(charge), "idempotency_key": key}
        event = {"id": event_id, "type": f"charge.{charge.status}", "created": int(now), "data": data}
        body = as_json(event)
        for copy in range(METHODS[charge.payment_method].webhook_copies):
            self._book.add_webhook(event_id, body, now + (LATE_COPY_SECONDS if copy > 1 else 0))
        self.webhooks_bell.set()


async def until(bell: asyncio.Event, due: float | None) -> None:
    """Returns when the bell rings or the clock (Unix seconds) reaches `due`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(None if due is None else max(0.0, due - time.time())):
            await bell.wait()
    bell.clear()
