"""What each statement of the payment service's driver, janitor, reactions and webhooks does, in memory.

Each means what its SQL means; a change holds only for the version that it was worked out from.
"""

import json
from typing import Any

import asyncpg

from services.payment.payments import queries, records, webhooks
from services.payment.rules.payment import OPEN, OPERATION_PENDING
from services.payment.tables.payments import operations, payments
from tests.simulation.till_database import OPERATIONS, PAYMENTS, Row, Statements, Transaction


async def _payment_recorded(work: Transaction, due_seconds: float, **values: Any) -> list[Row]:
    operation_id, traceparent = values.pop("operation_id"), values.pop("traceparent")
    if not await _insert_payment(work, values):
        return []
    operation = _operation(
        operation_id=operation_id,
        payment_id=values["payment_id"],
        kind="authorize",
        state=OPERATION_PENDING,
        amount_minor_units=values["amount_minor_units"],
        attempts=1,
        traceparent=traceparent,
        create_time=values["create_time"],
        due_time=work.in_seconds(due_seconds),
        gateway=values["gateway"],
    )
    work.put(OPERATIONS, operation_id, operation)
    return [{"payment_id": values["payment_id"]}]


async def _tombstone(work: Transaction, **values: Any) -> list[Row]:
    return [{"payment_id": values["payment_id"]}] if await _insert_payment(work, values) else []


async def _insert_payment(work: Transaction, values: Row) -> bool:
    if await work.get("orders", values["order_id"], lock=True):
        return False
    work.put("orders", values["order_id"], {"payment_id": values["payment_id"]})
    work.put(PAYMENTS, values["payment_id"], {column.name: values[column.name] for column in payments.c})
    return True


async def _payment(work: Transaction, payment_id: str) -> list[Row]:
    return work.whole(str(payment_id))


async def _payment_of_order(work: Transaction, order_id: str) -> list[Row]:
    order = await work.get("orders", order_id)
    return work.whole(order["payment_id"]) if order else []


async def _locked(work: Transaction, payment_id: str | None) -> list[Row]:
    row = await work.get(PAYMENTS, payment_id, lock=True) if payment_id else None
    return [{"payment_id": row["payment_id"]}] if row else []


async def _locked_by_order(work: Transaction, order_id: str) -> list[Row]:
    order = await work.get("orders", order_id)
    return await _locked(work, order["payment_id"] if order else None)


async def _locked_by_operation(work: Transaction, operation_id: str) -> list[Row]:
    operation = await work.get(OPERATIONS, operation_id)
    return await _locked(work, operation["payment_id"] if operation else None)


async def _locked_by_reference(work: Transaction, gateway: str, provider_reference: str) -> list[Row]:
    wanted = (gateway, provider_reference)
    found = [key for key, row in work.seen(PAYMENTS) if (row["gateway"], row["provider_reference"]) == wanted]
    return await _locked(work, found[0] if found and provider_reference else None)


async def _operation_recorded(work: Transaction, due_seconds: float, **values: Any) -> list[Row]:
    payment = await work.get(PAYMENTS, values["payment_id"], lock=True)
    assert payment is not None
    payment |= {"version": payment["version"] + 1, "update_time": values["create_time"]}
    work.put(PAYMENTS, payment["payment_id"], payment)
    values |= {"due_time": work.in_seconds(due_seconds), "gateway": payment["gateway"]}
    work.put(OPERATIONS, values["operation_id"], _operation(**values))
    return [{"operation_id": values["operation_id"]}]


async def _payment_changed(work: Transaction, **values: Any) -> list[Row]:
    payment = await work.get(PAYMENTS, values["payment_id"], lock=True)
    if payment is None or payment["version"] != values["version"]:
        raise asyncpg.NotNullViolationError("version")
    payment |= {name: values[name] for name in records.CHANGING} | {"version": payment["version"] + 1}
    work.put(PAYMENTS, payment["payment_id"], payment)
    operation = await work.get(OPERATIONS, values["operation_id"], lock=True)
    assert operation is not None
    operation |= {
        "state": values["operation_state"],
        "settle_time": values["settle_time"],
        "due_time": work.in_seconds(values["due_seconds"]),
        "provider_reference": values["operation_reference"],
        "failure_code": values["failure_code"],
        "provider_message": values["provider_message"],
        "provider_request_id": values["provider_request_id"],
    }
    work.put(OPERATIONS, operation["operation_id"], operation)
    if values["begun_id"]:
        begun = await work.get(OPERATIONS, values["begun_id"], lock=True)
        assert begun is not None
        begun |= {
            "state": OPERATION_PENDING,
            "due_time": work.in_seconds(0),
            "amount_minor_units": values["begun_amount"],
            "lines": values["begun_lines"],
        }
        work.put(OPERATIONS, begun["operation_id"], begun)
    _following(work, operation, values)
    _booked(work, payment, values)
    return [{"payment_id": payment["payment_id"]}]


async def _payments_recorded(work: Transaction, **columns: list[Any]) -> list[Row]:
    found = []
    for values in sorted(_each(columns), key=lambda one: one["order_id"]):
        found += await _payment_recorded(work, **values)
    return found


async def _payments_changed(work: Transaction, **columns: list[Any]) -> list[Row]:
    """Those that nobody holds, and that have not moved."""
    rows = {name: columns.pop(name) for name in (*_ENTRY, *_NEXT)}
    found = []
    for values in _each(columns):
        payment_id = values["payment_id"]
        if not work.free(PAYMENTS, payment_id):
            continue
        payment = await work.get(PAYMENTS, payment_id)
        if payment is not None and payment["version"] == values["version"]:
            own = _own(rows, _ENTRY, payment_id) | _own(rows, _NEXT, payment_id)
            await _payment_changed(work, **values, **own)
            found.append({"id": payment_id})
    return found


# What goes with a payment's change in any number; last, whose it is.
_ENTRY = "transaction_ids", "positions", "kinds", "accounts", "debits", "credits", "product_ids", "entry_of"
_NEXT = tuple(
    f"next_{name}"
    for name in ("id", "kind", "amount", "request", "reason", "wanted", "traceparent", "lines", "of")
)


def _each(columns: dict[str, list[Any]]) -> list[Row]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _own(rows: dict[str, list[Any]], names: tuple[str, ...], payment_id: str) -> dict[str, list[Any]]:
    *own, whose = names
    return {
        name: [value for value, of in zip(rows[name], rows[whose], strict=True) if of == payment_id]
        for name in own
    }


def _following(work: Transaction, operation: Row, values: Row) -> None:
    given = zip(*(values[name] for name in _NEXT[:-1]), strict=True)
    for operation_id, kind, amount, request_id, reason, wanted, traceparent, lines in given:
        following = _operation(
            operation_id=str(operation_id),
            payment_id=operation["payment_id"],
            kind=kind,
            state=OPERATION_PENDING,
            amount_minor_units=amount,
            attempts=0,
            traceparent=traceparent,
            request_id=request_id,
            reason=reason,
            wanted_minor_units=wanted,
            create_time=values["update_time"],
            due_time=work.in_seconds(0),
            gateway=operation["gateway"],
            lines=lines,
        )
        work.put(OPERATIONS, str(operation_id), following)


def _booked(work: Transaction, payment: Row, values: Row) -> None:
    names = ("transaction_ids", "positions", "kinds", "accounts", "debits", "credits", "product_ids")
    for transaction_id, position, kind, account, debit, credit, product_id in zip(
        *(values[name] for name in names), strict=True
    ):
        entry = {
            "payment_id": payment["payment_id"],
            "kind": kind,
            "account": account,
            "debit": debit,
            "credit": credit,
            "product_id": product_id,
        }
        work.put("ledger", (str(transaction_id), position), entry)


async def _operations_due(
    work: Transaction, size: int, lease_seconds: float, full: list[str], full_for: list[str]
) -> list[Row]:
    now = work.in_seconds(0)
    stores = {key: row["store_id"] for key, row in work.seen(PAYMENTS)}
    due = [
        row | {"store_id": stores[row["payment_id"]]}
        for key, row in work.seen(OPERATIONS)
        if row["state"] in OPEN and row["due_time"] <= now and row["gateway"] not in full
        if f"{row['gateway']} {stores[row['payment_id']]}" not in full_for
        if work.free(OPERATIONS, key)
    ]
    taken = sorted(due, key=lambda row: row["due_time"])[:size]
    for row in taken:
        leased = {"attempts": row["attempts"] + 1, "due_time": work.in_seconds(lease_seconds)}
        operation = {name: value for name, value in row.items() if name != "store_id"}
        work.put(OPERATIONS, row["operation_id"], operation | leased)
    return [dict(row) for row in taken]


async def _operation_taken(work: Transaction, operation_id: str, lease_seconds: float) -> list[Row]:
    row = await work.get(OPERATIONS, operation_id, lock=True)
    if row and row["state"] in OPEN:
        leased = {"attempts": row["attempts"] + 1, "due_time": work.in_seconds(lease_seconds)}
        work.put(OPERATIONS, operation_id, row | leased)
        return [{"operation_id": operation_id}]
    return []


async def _operation_later(
    work: Transaction, operation_id: str, due_seconds: float, **words: str
) -> list[Row]:
    row = await work.get(OPERATIONS, operation_id, lock=True)
    if row and row["state"] in OPEN:
        work.put(OPERATIONS, operation_id, row | words | {"due_time": work.in_seconds(due_seconds)})
    return []


async def _gateway_changed(
    work: Transaction, payment_id: str, version: int, operation_id: str, attempts: int, gateway: str
) -> list[Row]:
    payment = await work.get(PAYMENTS, payment_id, lock=True)
    operation = await work.get(OPERATIONS, operation_id, lock=True)
    if payment is None or operation is None:
        return []
    if payment["version"] != version or operation["attempts"] != attempts:
        return []
    work.put(PAYMENTS, payment_id, payment | {"gateway": gateway, "version": version + 1})
    work.put(OPERATIONS, operation_id, operation | {"gateway": gateway})
    return [{"operation_id": operation_id}]


async def _payments_expiring(work: Transaction, size: int) -> list[Row]:
    now = work.in_seconds(0)
    found = [row for _, row in work.seen(PAYMENTS) if row["expire_time"] and row["expire_time"] <= now]
    return sorted(found, key=lambda row: row["expire_time"])[:size]


async def _expiry_later(work: Transaction, payment_id: str, seconds: float) -> list[Row]:
    row = await work.get(PAYMENTS, payment_id, lock=True)
    assert row is not None
    work.put(PAYMENTS, payment_id, row | {"expire_time": work.in_seconds(seconds)})
    return []


async def _dispute_known(work: Transaction, **values: Any) -> list[Row]:
    known = await work.get("disputes", values["dispute_id"], lock=True)
    changed = {name: values[name] for name in ("status", "close_time")}
    work.put("disputes", values["dispute_id"], known | changed if known else values)
    return []


async def _webhook_stored(
    work: Transaction, gateway: str, provider_event_id: str, payload: bytes
) -> list[Row]:
    key = (gateway, provider_event_id)
    if await work.get("webhooks", key, lock=True):
        return []
    work.put("webhooks", key, {"payload": payload, "problem": ""})
    return [{"provider_event_id": provider_event_id}]


async def _webhook_parked(work: Transaction, gateway: str, provider_event_id: str, problem: str) -> list[Row]:
    row = await work.get("webhooks", (gateway, provider_event_id), lock=True)
    assert row is not None
    work.put("webhooks", (gateway, provider_event_id), row | {"problem": problem})
    return []


def _operation(**values: Any) -> Row:
    empty: Row = {
        "settle_time": None,
        "request_id": None,
        "provider_reference": "",
        "reason": "",
        "failure_code": "",
        "wanted_minor_units": 0,
        "provider_message": "",
        "provider_request_id": "",
        "lines": json.dumps([]),
        "final": False,
    }
    return empty | {name: value for name, value in values.items() if name in operations.c}


STATEMENTS: Statements = {
    records.PAYMENT_RECORDED.name: _payment_recorded,
    records.PAYMENTS_RECORDED.name: _payments_recorded,
    records.TOMBSTONE.name: _tombstone,
    queries.PAYMENT.name: _payment,
    queries.PAYMENT_OF_ORDER.name: _payment_of_order,
    queries.PAYMENT_LOCKED.name: _locked,
    queries.PAYMENT_OF_ORDER_LOCKED.name: _locked_by_order,
    queries.PAYMENT_OF_OPERATION_LOCKED.name: _locked_by_operation,
    queries.PAYMENT_OF_REFERENCE_LOCKED.name: _locked_by_reference,
    records.OPERATION_RECORDED.name: _operation_recorded,
    records.PAYMENT_CHANGED.name: _payment_changed,
    records.PAYMENTS_CHANGED_AND_CLOSED.name: _payments_changed,
    queries.OPERATIONS_DUE.name: _operations_due,
    queries.OPERATION_TAKEN.name: _operation_taken,
    queries.OPERATION_LATER.name: _operation_later,
    records.OPERATION_UNANSWERED.name: _operation_later,
    queries.GATEWAY_CHANGED.name: _gateway_changed,
    queries.PAYMENTS_EXPIRING.name: _payments_expiring,
    queries.EXPIRY_LATER.name: _expiry_later,
    records.DISPUTE_KNOWN.name: _dispute_known,
    webhooks.WEBHOOK_STORED.name: _webhook_stored,
    webhooks.WEBHOOK_PARKED.name: _webhook_parked,
}
