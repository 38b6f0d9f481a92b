"""The ids of operations, which are the providers' idempotency keys. Derived: what is done anew is done once. Pure."""

from uuid import UUID, uuid5

from services.payment.rules.payment import Kind, Payment

_OPERATIONS = UUID("3f1b6a52-5c0e-5d0b-9c57-6c8d1a0f2e44")


def key_of(payment: Payment, kind: Kind, cause: str) -> str:
    """Return the id of an operation on a payment; `cause` is the id of the request, parcel … that wants it.

    When history was lost, by a restore or a fail-over, and the same happens again, the provider sees the same key. The
    payment is named by its order, which outlives it. Of several attempts for one cause each has its own key.
    """
    known = {operation.operation_id for operation in payment.operations}
    attempt = 1
    while (key := _key(payment.order_id, kind, cause, attempt)) in known:
        attempt += 1
    return key


def _key(*parts: object) -> str:
    return str(uuid5(_OPERATIONS, " ".join(map(str, parts))))
