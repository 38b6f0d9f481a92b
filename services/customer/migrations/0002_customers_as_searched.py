"""What customers are found by: their names without case and accents, as products are.

A customer whom the version before creates meanwhile is found once they change; nobody is lost.
"""

from alembic import op

from services.customer.rules import searchable_of
from services.runtime.backfill import backfill

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("ALTER TABLE customers ADD COLUMN searchable TEXT DEFAULT '' NOT NULL")
    sources = ("full_name", "email", "phone")
    backfill(op.get_bind(), "customers", "customer_id", sources, "searchable", searchable_of)
    op.execute("DROP INDEX customers_by_part")
    op.execute("CREATE INDEX customers_by_part ON customers USING gin (store_id, searchable gin_trgm_ops)")
