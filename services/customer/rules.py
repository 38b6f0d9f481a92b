"""The rules of a customer: what a change makes of it, and what a search looks for. Pure."""

import re

from commerce.customer.v1.customer_pb2 import Customer
from commerce.customer.v1.customer_service_pb2 import UpdateCustomerRequest

from services.runtime.refusals import invalid
from services.runtime.texts import searchable

CHANGEABLE = ("full_name", "email", "phone")
REMOVABLE = ("phone",)
_PHONE, _GAPS = re.compile(r"\s*\+[0-9 ()/.\u00a0\u2010\u2011-]+"), re.compile(r"[^0-9+]")


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


def searchable_of(full_name: str, email: str, phone: str) -> str:
    """Return what a customer is found by. No query holds a line break: none runs from one of these into the next."""
    return f"{searchable(full_name)}\n{searchable(email)}\n{phone}"


def pattern(query: str) -> str:
    """Return the LIKE pattern of everything that contains the query, whatever its characters mean to LIKE.

    A telephone number is kept without the blanks and strokes that people write in it.
    """
    query = _GAPS.sub("", query) if _PHONE.fullmatch(query) else searchable(query)
    for special in ("\\", "%", "_"):
        query = query.replace(special, "\\" + special)
    return f"%{query}%"
