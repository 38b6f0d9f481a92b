"""The tables of the book, and how an older book gets what it lacks."""

import sqlite3

from .rules import Charge, Dispute, Line

CHARGE_COLUMNS = ", ".join(Charge._fields)
DISPUTE_COLUMNS = ", ".join(Dispute._fields)
LINE_COLUMNS = ", ".join(Line._fields)

TABLES = f"""
CREATE TABLE IF NOT EXISTS charges (row INTEGER PRIMARY KEY, {CHARGE_COLUMNS}, decide_at REAL);
CREATE TABLE IF NOT EXISTS operations (
    idempotency_key TEXT PRIMARY KEY, operation TEXT, charge_id TEXT, request TEXT,
    outcome TEXT, http_status INTEGER, answer BLOB
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS silenced (idempotency_key TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS webhooks (
    row INTEGER PRIMARY KEY, event_id TEXT, body BLOB, attempts INTEGER NOT NULL DEFAULT 0, due REAL
);
CREATE TABLE IF NOT EXISTS disputes (row INTEGER PRIMARY KEY, {DISPUTE_COLUMNS}, outcome TEXT, decide_at REAL);
CREATE TABLE IF NOT EXISTS settlement (row INTEGER PRIMARY KEY, {LINE_COLUMNS});
CREATE TABLE IF NOT EXISTS detached (token TEXT PRIMARY KEY) WITHOUT ROWID;
"""

# The columns that came later than their tables: what a book may lack.
COLUMNS = {
    "charges": {"disputed_minor_units": "NOT NULL DEFAULT 0", "expires": "INTEGER"},
    "operations": {"operation_reference": "TEXT"},
    "webhooks": {"charge_id": "TEXT", "idempotency_key": "TEXT"},
}

INDEXES = """
CREATE UNIQUE INDEX IF NOT EXISTS charges_id ON charges (id);
CREATE INDEX IF NOT EXISTS charges_decide_at ON charges (decide_at) WHERE decide_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS webhooks_due ON webhooks (due) WHERE due IS NOT NULL;
CREATE UNIQUE INDEX IF NOT EXISTS disputes_id ON disputes (id);
CREATE INDEX IF NOT EXISTS disputes_decide_at ON disputes (decide_at) WHERE decide_at IS NOT NULL;
"""


def prepare(db: sqlite3.Connection) -> None:
    """Makes a new book, or brings an old one up to date; what it holds stays."""
    db.executescript(TABLES)
    for table, columns in COLUMNS.items():
        present = {found[1] for found in db.execute(f"PRAGMA table_info({table})")}
        for name in columns.keys() - present:
            db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {columns[name]}")
    db.executescript(INDEXES)
