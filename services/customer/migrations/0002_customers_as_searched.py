"""What customers are found by: their names without case and accents, as products are.

A customer whom the version before creates meanwhile is found once they change; nobody is lost. It searches without an
index from when the old one is dropped.
"""

from services.customer.rules import searchable_of
from services.runtime.online import backfill, build_index, drop_index, online

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with online() as connection:
        connection.exec_driver_sql(
            "ALTER TABLE customers ADD COLUMN IF NOT EXISTS searchable TEXT DEFAULT '' NOT NULL"
        )
        sources = ("full_name", "email", "phone")
        backfill(connection, "customers", "customer_id", sources, "searchable", searchable_of)
        build_index(
            connection, "customers_by_searchable", "customers USING gin (store_id, searchable gin_trgm_ops)"
        )
        drop_index(connection, "customers_by_part")
