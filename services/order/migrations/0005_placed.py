"""The order as it was placed. Orders of before have none, and are read from their columns."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE orders ADD COLUMN placed BYTEA")
