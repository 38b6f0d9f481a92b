"""The book: everything the provider must not forget, in one SQLite file.

Each change is one transaction that is committed before anybody hears of it. In WAL mode a commit is in
the operating system's hands at once, so a killed process loses nothing it has answered.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from .rules import Charge

COLUMNS = ", ".join(Charge._fields)

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS charges (row INTEGER PRIMARY KEY, {COLUMNS}, decide_at REAL);
CREATE UNIQUE INDEX IF NOT EXISTS charges_id ON charges (id);
CREATE INDEX IF NOT EXISTS charges_decide_at ON charges (decide_at) WHERE decide_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS operations (
    idempotency_key TEXT PRIMARY KEY, operation TEXT, charge_id TEXT, request TEXT,
    outcome TEXT, http_status INTEGER, answer BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS silenced (idempotency_key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS webhooks (
    row INTEGER PRIMARY KEY, event_id TEXT, body BLOB, attempts INTEGER NOT NULL DEFAULT 0, due REAL
);
CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks (due) WHERE due IS NOT NULL;
"""

INSERT_CHARGE = f"INSERT INTO charges ({COLUMNS}, decide_at) VALUES ({'?, ' * len(Charge._fields)}?)"
INSERT_OPERATION = "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?, ?)"
UPDATE_CHARGE = f"UPDATE charges SET {' = ?, '.join(Charge._fields)} = ?, decide_at = ? WHERE id = ?"


class Operation(NamedTuple):
    """One keyed request and its recorded answer. `outcome` follows a decision made after the answer."""

    idempotency_key: str
    operation: str
    charge_id: str
    request: str
    outcome: str
    http_status: int
    answer: bytes


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
        self._db.executescript(SCHEMA)

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
        row = self._db.execute("SELECT * FROM operations WHERE idempotency_key = ?", (key,)).fetchone()
        return Operation(*row) if row else None

    def add_operation(self, operation: Operation) -> None:
        self._db.execute(INSERT_OPERATION, operation)

    def settle_operation(self, key: str, outcome: str) -> None:
        self._db.execute("UPDATE operations SET outcome = ? WHERE idempotency_key = ?", (outcome, key))

    def charge(self, charge_id: str) -> Charge | None:
        row = self._db.execute(f"SELECT {COLUMNS} FROM charges WHERE id = ?", (charge_id,)).fetchone()
        return Charge(*row) if row else None

    def add_charge(self, charge: Charge, decide_at: float | None = None) -> None:
        self._db.execute(INSERT_CHARGE, (*charge, decide_at))

    def change_charge(self, charge: Charge) -> None:
        """Every step settles what was undecided, so the pending decision goes with it."""
        self._db.execute(UPDATE_CHARGE, (*charge, None, charge.id))

    def charges_after(self, row: int, limit: int) -> list[tuple[int, Charge]]:
        statement = f"SELECT row, {COLUMNS} FROM charges WHERE row > ? ORDER BY row LIMIT ?"
        return [(found[0], Charge(*found[1:])) for found in self._db.execute(statement, (row, limit))]

    def charges_to_decide(self, now: float) -> list[Charge]:
        statement = f"SELECT {COLUMNS} FROM charges WHERE decide_at <= ? ORDER BY decide_at LIMIT 100"
        return [Charge(*found) for found in self._db.execute(statement, (now,))]

    def next_decision(self) -> float | None:
        return self._earliest("SELECT min(decide_at) FROM charges WHERE decide_at IS NOT NULL")

    def silence(self, key: str) -> bool:
        """True the first time a key is seen here: this one request gets no effect and no answer."""
        return self._db.execute("INSERT OR IGNORE INTO silenced VALUES (?)", (key,)).rowcount == 1

    def add_webhook(self, event_id: str, body: bytes, due: float) -> None:
        self._db.execute("INSERT INTO webhooks (event_id, body, due) VALUES (?, ?, ?)", (event_id, body, due))

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
        self._db.execute("DELETE FROM webhooks WHERE row = ?", (row,))

    def webhook_failed(self, row: int, due: float | None) -> None:
        """due: Unix seconds of the next attempt; None keeps the webhook in the book, never sent again."""
        self._db.execute("UPDATE webhooks SET due = ? WHERE row = ?", (due, row))

    def _earliest(self, statement: str) -> float | None:
        earliest: float | None = self._db.execute(statement).fetchone()[0]
        return earliest
