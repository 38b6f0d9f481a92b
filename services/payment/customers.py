"""Whose payments, or payment methods, a caller looks at."""

from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime.callers import Caller
from services.runtime.refusals import Refusal


def own(caller: Caller, customer_id: str) -> str:
    """Return the customer as the database writes their id. Customers look at their own only."""
    customer_id = customer_id.lower()
    if caller.role == "CUSTOMER" and customer_id != caller.customer_id:
        raise Refusal(
            ErrorReason.ERROR_REASON_CUSTOMER_NOT_FOUND,
            f"There is no customer {customer_id}",
            customer_id=customer_id,
        )
    return customer_id
