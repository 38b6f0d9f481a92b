"""The customer service's SQL, by name."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from commerce.customer.v1.customer_pb2 import Customer
from sqlalchemy import Integer, insert, select, update

from services.customer.rules import searchable_of
from services.customer.tables import customers
from services.runtime.statements import param, statement
from services.runtime.work import closing

_c = customers.c

CUSTOMER_CREATED = closing(
    insert(customers).values({column.name: param(column.name) for column in _c}), "customer created"
)
CUSTOMER = statement(select(customers).where(_c.customer_id == param("customer_id")), "customer")
CUSTOMER_LOCKED = statement(
    select(customers).where(_c.customer_id == param("customer_id")).with_for_update(), "customer locked"
)
CUSTOMER_CHANGED = closing(
    update(customers)
    .where(_c.customer_id == param("id"))
    .values(
        {
            name: param(name)
            for name in ("full_name", "email", "phone", "version", "update_time", "searchable")
        }
    ),
    "customer changed",
)

_page = (
    select(customers)
    .where(_c.store_id == param("store_id"), _c.customer_id < param("before"))
    .order_by(_c.customer_id.desc())
    .limit(param("size", Integer))
)
CUSTOMERS = statement(_page, "customers")
CUSTOMERS_FOUND = statement(
    _page.where(_c.searchable.like(param("pattern"))),
    "customers found",
    fresh_plan=True,
)


def customer_of(row: Mapping[str, Any]) -> Customer:
    """Return a row as the contract has it."""
    return Customer(
        customer_id=str(row["customer_id"]),
        store_id=str(row["store_id"]),
        full_name=row["full_name"],
        email=row["email"],
        phone=row["phone"],
        version=row["version"],
        create_time=row["create_time"],
        update_time=row["update_time"],
    )


def values(customer: Customer) -> dict[str, Any]:
    """Return a customer as a row has it."""
    row = {field.name: getattr(customer, field.name) for field in customer.DESCRIPTOR.fields}
    row |= {name: row[name].ToDatetime(tzinfo=UTC) for name in ("create_time", "update_time")}
    return row | {"searchable": searchable_of(customer.full_name, customer.email, customer.phone)}
