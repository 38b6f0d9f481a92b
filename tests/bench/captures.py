"""Captures by the thousand: copies of a payment that the service has captured, and of its operation."""

import json
from typing import Any

from commerce.payment.v1.payment_pb2 import PaymentOperationState, PaymentState

from tests.bench.till import Till

# Each with ids of its own, at the version that it had before, and with what else is to be different.
_COPIES = """
WITH made AS MATERIALIZED (
    SELECT uuidv7() AS payment, uuidv7() AS operation FROM generate_series(1, $4::int)
), paid AS (
    INSERT INTO payment.payments SELECT copy.* FROM made, payment.payments AS original,
        jsonb_populate_record(original, $2::jsonb || jsonb_build_object('payment_id', payment, 'order_id', payment,
            'provider_reference', 'ch_' || payment, 'version', original.version - 1)) AS copy
    WHERE original.payment_id = $1
)
INSERT INTO payment.operations SELECT copy.* FROM made, payment.operations AS original,
    jsonb_populate_record(original, $3::jsonb || jsonb_build_object('operation_id', operation, 'payment_id', payment,
        'request_id', operation, 'provider_reference', 'cap_' || operation)) AS copy
WHERE original.payment_id = $1 AND original.kind = 'capture'
RETURNING operations.payment_id, operations.operation_id
"""
_LEFT = "SELECT count(*) - (SELECT last_value FROM bench.captured) FROM bench.captures"
_READY = "INSERT INTO bench.captures (payment, operation) SELECT * FROM unnest($1::uuid[], $2::uuid[])"
_AUTHORIZED = {"state": PaymentState.PAYMENT_STATE_AUTHORIZED, "captured_minor_units": 0}
# No janitor takes it up.
_OPEN = {
    "state": PaymentOperationState.PAYMENT_OPERATION_STATE_PENDING,
    "settle_time": None,
    "due_time": "2126-01-01",
}


async def to_capture(stand: Till, count: int) -> None:
    """Have so many payments that the script can capture and has not."""
    left = await stand.database.fetchval(_LEFT)
    made = await _copied(stand, _AUTHORIZED, _OPEN, max(0, count - left))
    await stand.database.execute(_READY, [payment for payment, _ in made], [each for _, each in made])


async def captured(stand: Till, count: int, settle_time: str) -> list[tuple[str, str]]:
    """Have so many payments that were captured then; the provider's ids of each charge and of its capture."""
    made = await _copied(stand, {}, {"settle_time": settle_time}, count)
    return [(f"ch_{payment}", f"cap_{operation}") for payment, operation in made]


async def _copied(stand: Till, payment: dict[str, Any], operation: dict[str, Any], count: int) -> list[Any]:
    database, values = stand.database, (json.dumps(payment), json.dumps(operation), count)
    # What refers to something is right by its making.
    await database.execute("SET synchronous_commit = off; SET session_replication_role = replica")
    made: list[Any] = await database.fetch(_COPIES, stand.original.payment_id, *values)
    await database.execute("RESET synchronous_commit; RESET session_replication_role")
    await database.execute("VACUUM ANALYZE payment.payments, payment.operations")
    return made
