"""Row of postings: what captures post to the ledger and the sealer seals, beside the same entries in a bare table."""

import time

import asyncpg

from tests.bench import pgbench
from tests.bench.captures import to_capture
from tests.bench.figures import Figure, number, spread
from tests.bench.house import House
from tests.bench.rounds import compared
from tests.bench.till import LINES, Till, till
from tests.shop import eventually

AT_ONCE = 16
# More than PostgreSQL can capture in a second.
READY = 20_000
_SIDES = "kind, account, currency_code, debit_minor_units, credit_minor_units, payment_id, order_id, create_time"
_BARE = f"""
CREATE TABLE bench.posted AS SELECT * FROM payment.ledger_entries WHERE payment_id = $1 AND kind = 'capture';
CREATE TABLE bench.entries (LIKE payment.ledger_entries INCLUDING DEFAULTS, PRIMARY KEY (transaction_id, position))
"""
_PLAIN = f"""
INSERT INTO bench.entries (transaction_id, position, store_id, {_SIDES})
SELECT id, position, store_id, {_SIDES} FROM bench.posted, (SELECT gen_random_uuid() AS id) AS fresh;
"""
_SEALED = """
SELECT (SELECT xid FROM payment.ledger_entries
    WHERE (xid, transaction_id) > ((SELECT xid FROM payment.ledger_seal), (SELECT transaction_id FROM payment.ledger_seal))
    ORDER BY xid, transaction_id LIMIT 1) IS NULL
"""
