"""Whether one capture ends a payment's authorization, as its provider has told."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN captures_once BOOLEAN DEFAULT false NOT NULL")
