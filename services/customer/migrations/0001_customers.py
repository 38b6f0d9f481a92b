"""Customers. As it was then: tables.py says what it is now."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE customers (
    customer_id UUID NOT NULL,
    store_id UUID NOT NULL,
    full_name TEXT NOT NULL,
    email TEXT NOT NULL,
    phone TEXT NOT NULL,
    version BIGINT NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    update_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (customer_id)
);

CREATE INDEX customers_by_store ON customers (store_id, customer_id);

CREATE UNIQUE INDEX customers_store_email_key ON customers (store_id, lower(email));

CREATE INDEX customers_by_part ON customers
    USING gin (store_id, full_name gin_trgm_ops, email gin_trgm_ops, phone gin_trgm_ops)
"""


def upgrade() -> None:
    for statement in TABLES.split(";"):
        op.execute(statement)
