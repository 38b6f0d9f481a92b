"""What merchants are told unasked: queues each webhook in the transaction of what it tells."""

import asyncio
import json
import time
import uuid
from typing import Any

from . import rules
from .answers import as_json, random_id
from .book import Book
from .rules import UNDECIDED, Charge, Dispute, Method
from .settings import Settings

# A third copy of a duplicated webhook comes when the first two have been dealt with.
LATE_COPY_SECONDS = 0.3
# By how much pm_sandbox_wrong_amount is wrong.
WRONG_MINOR_UNITS = 100


class Events:
    def __init__(self, book: Book, settings: Settings) -> None:
        self._book = book
        self._settings = settings
        self.bell = asyncio.Event()

    def shown(self, charge: Charge) -> dict[str, Any]:
        """A charge as merchants see it."""
        waiting = charge.status == "requires_action"
        url = f"http://{self._settings.listen}/v1/challenges/{charge.id}" if waiting else None
        return {**charge._asdict(), "next_action_url": url}

    def charge_changed(self, charge: Charge, key: str, operation_reference: str, *, needed: bool) -> None:
        """key: of the request that caused it. needed: no reply tells it."""
        method = rules.behaviour(charge.payment_method, charge.idempotency_key, self._settings.shares)
        wanted = needed or method.tells_all or self._settings.webhooks == "all"
        if not wanted or charge.status in UNDECIDED:
            return
        data = {
            **self.shown(charge),
            "idempotency_key": key,
            "operation_reference": operation_reference,
        }
        self._queue(f"charge.{charge.status}", data, charge.id, key, method.webhook_copies)

    def untrue(self, charge: Charge, method: Method) -> None:
        """What a method sends besides: a wrong amount, or a charge that never was."""
        data = {**self.shown(charge), "operation_reference": charge.id}
        if method.besides == "wrong_amount":
            for name in ("amount_minor_units", "authorized_minor_units"):
                data[name] += WRONG_MINOR_UNITS
        elif method.besides == "unknown_charge":
            data["id"] = data["operation_reference"] = random_id("ch")
            data |= {"idempotency_key": str(uuid.uuid4()), "reference": str(uuid.uuid4())}
        else:
            return
        self._queue("charge.authorized", data, charge.id)

    def dispute_changed(self, dispute: Dispute, charge: Charge) -> None:
        type_ = "dispute.opened" if dispute.status == "open" else f"dispute.{dispute.status}"
        data = {**dispute._asdict(), "charge_idempotency_key": charge.idempotency_key}
        self._queue(type_, data, charge.id)

    def redeliver(self, charge_id: str) -> int:
        """Sends all events of a charge, also those that a reply made needless; returns how many there are."""
        with self._book.transaction():
            repeated = self._book.repeat_webhooks(charge_id, time.time())
            untold = self._book.operations_untold(charge_id)
            told = 0
            for operation in untold:
                data = {**json.loads(operation.answer), "idempotency_key": operation.idempotency_key}
                if data["status"] not in UNDECIDED:
                    told += self._queue(
                        f"charge.{data['status']}", data, charge_id, operation.idempotency_key
                    )
        self.bell.set()
        return repeated + told

    def _queue(
        self, type_: str, data: dict[str, Any], charge_id: str, key: str | None = None, copies: int = 1
    ) -> int:
        if not self._settings.webhook_url:
            return 0
        now, event_id = time.time(), random_id("evt")
        body = as_json({"id": event_id, "type": type_, "created": int(now), "data": data})
        for copy in range(copies):
            due = now + (LATE_COPY_SECONDS if copy > 1 else 0)
            self._book.add_webhook(event_id, body, due, charge_id, key)
        self.bell.set()
        return 1
