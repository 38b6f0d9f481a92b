"""Customers."""

from sqlalchemy import BigInteger, Column, DateTime, Index, MetaData, Table, Text, func
from sqlalchemy.dialects.postgresql import UUID

METADATA = MetaData()
ID = UUID(as_uuid=True)
TIME = DateTime(timezone=True)

customers = Table(
    "customers",
    METADATA,
    Column("customer_id", ID, primary_key=True),
    Column("store_id", ID, nullable=False),
    Column("full_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("create_time", TIME, nullable=False),
    Column("update_time", TIME, nullable=False),
    # Name, mail address and telephone number without case and accents (rules.searchable_of).
    Column("searchable", Text, nullable=False, server_default=""),
)
Index("customers_by_store", customers.c.store_id, customers.c.customer_id)
Index("customers_store_email_key", customers.c.store_id, func.lower(customers.c.email), unique=True)
Index(
    "customers_by_searchable",
    customers.c.store_id,
    customers.c.searchable,
    postgresql_using="gin",
    postgresql_ops={"searchable": "gin_trgm_ops"},
)
