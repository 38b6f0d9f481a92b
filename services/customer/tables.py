"""Customers."""

from sqlalchemy import BigInteger, Column, Index, MetaData, Table, Text, func

from services.runtime.columns import text_column, time_column, uuid_column

METADATA = MetaData()

customers = Table(
    "customers",
    METADATA,
    uuid_column("customer_id", primary_key=True),
    uuid_column("store_id"),
    Column("full_name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("phone", Text, nullable=False),
    Column("version", BigInteger, nullable=False),
    time_column("create_time"),
    time_column("update_time"),
    # Name, mail address and telephone number without case and accents (rules.searchable_of).
    text_column("searchable"),
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
