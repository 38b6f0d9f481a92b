"""The book: everything the provider must not forget, in one SQLite file.

Each change is one transaction that is committed before anybody hears of it. In WAL mode a commit is in
the operating system's hands at once, so a killed process loses nothing it has answered.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from . import schema
from .rules import Charge, Dispute, Line
from .schema import CHARGE_COLUMNS, DISPUTE_COLUMNS, LINE_COLUMNS

INSERT_CHARGE = f"INSERT INTO charges ({CHARGE_COLUMNS}, decide_at) VALUES ({'?, ' * len(Charge._fields)}?)"
UPDATE_CHARGE = f"UPDATE charges SET {' = ?, '.join(Charge._fields)} = ?, decide_at = ? WHERE id = ?"
INSERT_LINE = f"INSERT INTO settlement ({LINE_COLUMNS}) VALUES ({', '.join('?' * len(Line._fields))})"
INSERT_DISPUTE = (
    f"INSERT INTO disputes ({DISPUTE_COLUMNS}, outcome, decide_at) "
    f"VALUES ({'?, ' * len(Dispute._fields)}?, ?)"
)
UPDATE_DISPUTE = (
    f"UPDATE disputes SET {' = ?, '.join(Dispute._fields)} = ?, outcome = ?, decide_at = ? WHERE id = ?"
)


class Operation(NamedTuple):
    """One keyed request and its recorded answer. `outcome` follows a decision made after the answer."""

    idempotency_key: str
    operation: str
    charge_id: str
    request: str
    outcome: str
    http_status: int
    answer: bytes
    operation_reference: str | None


OPERATION_COLUMNS = ", ".join(Operation._fields)
INSERT_OPERATION = (
    f"INSERT INTO operations ({OPERATION_COLUMNS}) VALUES ({', '.join('?' * len(Operation._fields))})"
)


class Delivery(NamedTuple):
    """One webhook to send; `attempts` counts this one."""

    row: int
    event_id: str
    body: bytes
    attempts: int


class Book:
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, cached_statements=64)
        # One process owns a book; the exclusive lock makes sure of it and saves the locking of each commit.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._db.execute(f"PRAGMA {pragma}")
        schema.prepare(self._db)

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Never await inside: there is one connection."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def operation(self, key: str) -> Operation | None:
        statement = f"SELECT {OPERATION_COLUMNS} FROM operations WHERE idempotency_key = ?"
        row = self._db.execute(statement, (key,)).fetchone()
        return Operation(*row) if row else None

    def add_operation(self, operation: Operation) -> None:
        self._db.execute(INSERT_OPERATION, operation)

    def operations_untold(self, charge_id: str) -> list[Operation]:
        """What a charge went through without a webhook. Reads the whole book."""
        statement = (
            f"SELECT {OPERATION_COLUMNS} FROM operations WHERE charge_id = ? AND http_status = 200 "
            "AND operation IN ('authorize', 'capture', 'refund', 'void') AND idempotency_key NOT IN "
            "(SELECT idempotency_key FROM webhooks WHERE charge_id = ? AND idempotency_key IS NOT NULL)"
        )
        return [Operation(*found) for found in self._db.execute(statement, (charge_id, charge_id))]

    def settle_operation(self, key: str, outcome: str) -> None:
        self._db.execute("UPDATE operations SET outcome = ? WHERE idempotency_key = ?", (outcome, key))

    def charge(self, charge_id: str) -> Charge | None:
        row = self._db.execute(f"SELECT {CHARGE_COLUMNS} FROM charges WHERE id = ?", (charge_id,)).fetchone()
        return Charge(*row) if row else None

    def add_charge(self, charge: Charge, decide_at: float | None = None) -> None:
        self._db.execute(INSERT_CHARGE, (*charge, decide_at))

    def change_charge(self, charge: Charge, decide_at: float | None = None) -> None:
        """decide_at: when time moves the charge on, Unix seconds; a change takes back what was said before."""
        self._db.execute(UPDATE_CHARGE, (*charge, decide_at, charge.id))

    def charges_after(self, row: int, limit: int) -> list[tuple[int, Charge]]:
        statement = f"SELECT row, {CHARGE_COLUMNS} FROM charges WHERE row > ? ORDER BY row LIMIT ?"
        return [(found[0], Charge(*found[1:])) for found in self._db.execute(statement, (row, limit))]

    def charges_to_decide(self, now: float) -> list[Charge]:
        statement = f"SELECT {CHARGE_COLUMNS} FROM charges WHERE decide_at <= ? ORDER BY decide_at LIMIT 100"
        return [Charge(*found) for found in self._db.execute(statement, (now,))]

    def next_decision(self) -> float | None:
        """When a charge or a dispute moves by itself, Unix seconds."""
        times = [
            self._earliest("SELECT min(decide_at) FROM charges WHERE decide_at IS NOT NULL"),
            self._earliest("SELECT min(decide_at) FROM disputes WHERE decide_at IS NOT NULL"),
        ]
        return min((time for time in times if time is not None), default=None)

    def dispute(self, dispute_id: str) -> Dispute | None:
        statement = f"SELECT {DISPUTE_COLUMNS} FROM disputes WHERE id = ?"
        row = self._db.execute(statement, (dispute_id,)).fetchone()
        return Dispute(*row) if row else None

    def add_dispute(
        self, dispute: Dispute, outcome: str | None = None, decide_at: float | None = None
    ) -> None:
        """outcome: how it ends by itself. decide_at: when it moves by itself next, Unix seconds."""
        self._db.execute(INSERT_DISPUTE, (*dispute, outcome, decide_at))

    def change_dispute(
        self, dispute: Dispute, outcome: str | None = None, decide_at: float | None = None
    ) -> None:
        self._db.execute(UPDATE_DISPUTE, (*dispute, outcome, decide_at, dispute.id))

    def disputes_to_decide(self, now: float) -> list[tuple[Dispute, str]]:
        statement = f"SELECT outcome, {DISPUTE_COLUMNS} FROM disputes WHERE decide_at <= ? ORDER BY decide_at LIMIT 100"
        return [(Dispute(*found[1:]), found[0]) for found in self._db.execute(statement, (now,))]

    def add_line(self, line: Line) -> None:
        self._db.execute(INSERT_LINE, line)

    def lines(self, begin: int, end: int, after: int, limit: int) -> list[tuple[int, Line]]:
        """Lines of the settlement with begin <= created < end (Unix seconds), from a row on."""
        statement = (
            f"SELECT row, {LINE_COLUMNS} FROM settlement "
            "WHERE row > ? AND created >= ? AND created < ? ORDER BY row LIMIT ?"
        )
        rows = self._db.execute(statement, (after, begin, end, limit))
        return [(found[0], Line(*found[1:])) for found in rows]

    def line_of(self, key: str) -> tuple[int, Line] | None:
        """The line of an operation, by its idempotency key or its operation_reference."""
        statement = (
            f"SELECT row, {LINE_COLUMNS} FROM settlement "
            "WHERE idempotency_key = ?1 OR operation_reference = ?1 ORDER BY row LIMIT 1"
        )
        row = self._db.execute(statement, (key,)).fetchone()
        return (row[0], Line(*row[1:])) if row else None

    def replace_line(self, row: int, line: Line | None) -> None:
        if line is None:
            self._db.execute("DELETE FROM settlement WHERE row = ?", (row,))
        else:
            statement = f"UPDATE settlement SET {' = ?, '.join(Line._fields)} = ? WHERE row = ?"
            self._db.execute(statement, (*line, row))

    def detach(self, token: str) -> None:
        self._db.execute("INSERT OR IGNORE INTO detached VALUES (?)", (token,))

    def is_detached(self, token: str) -> bool:
        return bool(self._db.execute("SELECT 1 FROM detached WHERE token = ?", (token,)).fetchone())

    def silence(self, key: str) -> bool:
        """True the first time a key is seen here: this one request gets no effect and no answer."""
        return self._db.execute("INSERT OR IGNORE INTO silenced VALUES (?)", (key,)).rowcount == 1

    def add_webhook(
        self, event_id: str, body: bytes, due: float, charge_id: str, key: str | None = None
    ) -> None:
        """key: of the operation whose event this is, if it is one's."""
        self._db.execute(
            "INSERT INTO webhooks (event_id, body, due, charge_id, idempotency_key) VALUES (?, ?, ?, ?, ?)",
            (event_id, body, due, charge_id, key),
        )

    def repeat_webhooks(self, charge_id: str, due: float) -> int:
        """Sends each event of a charge once more; returns how many there are."""
        return self._db.execute(
            "INSERT INTO webhooks (event_id, body, due, charge_id, idempotency_key) "
            "SELECT event_id, body, ?, charge_id, idempotency_key FROM webhooks "
            "WHERE charge_id = ? GROUP BY event_id",
            (due, charge_id),
        ).rowcount

    def webhooks_due(self, now: float, limit: int, lease_seconds: float) -> list[Delivery]:
        """Takes webhooks that are due, and books the next attempt for when this one dies unheard."""
        rows = self._db.execute(
            "UPDATE webhooks SET attempts = attempts + 1, due = ? WHERE row IN "
            "(SELECT row FROM webhooks WHERE due <= ? ORDER BY due LIMIT ?) "
            "RETURNING row, event_id, body, attempts",
            (now + lease_seconds, now, limit),
        )
        return [Delivery(*found) for found in rows.fetchall()]

    def next_webhook(self) -> float | None:
        return self._earliest("SELECT min(due) FROM webhooks WHERE due IS NOT NULL")

    def webhook_delivered(self, row: int) -> None:
        self._db.execute("UPDATE webhooks SET due = NULL WHERE row = ?", (row,))

    def webhook_failed(self, row: int, due: float | None) -> None:
        """due: Unix seconds of the next attempt; None keeps the webhook in the book, never sent again."""
        self._db.execute("UPDATE webhooks SET due = ? WHERE row = ?", (due, row))

    def _earliest(self, statement: str) -> float | None:
        earliest: float | None = self._db.execute(statement).fetchone()[0]
        return earliest
