"""The rules of a customer: what a change makes of it, and what a search looks for. Pure."""

from commerce.customer.v1.customer_pb2 import Customer
from commerce.customer.v1.customer_service_pb2 import UpdateCustomerRequest

from services.runtime.refusals import invalid

CHANGEABLE = ("full_name", "email", "phone")
REMOVABLE = ("phone",)


def changed(customer: Customer, request: UpdateCustomerRequest) -> Customer:
    """Return the customer as the request wants it, of the next version; of the same one when nothing differs."""
    wanted = Customer()
    wanted.CopyFrom(customer)
    for field in request.update_mask.paths or CHANGEABLE:
        if request.HasField(field):  # type: ignore[arg-type]
            setattr(wanted, field, getattr(request, field))
        elif request.update_mask.paths:
            if field not in REMOVABLE:
                raise invalid(field, "may not be emptied")
            setattr(wanted, field, "")
    if wanted != customer:
        wanted.version += 1
    return wanted


def pattern(query: str) -> str:
    """Return the LIKE pattern of everything that contains the query, whatever its characters mean to LIKE."""
    for special in ("\\", "%", "_"):
        query = query.replace(special, "\\" + special)
    return f"%{query}%"
