"""What a provider's own library confirms a payment with, while its customer is waited for."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.execute("ALTER TABLE payments ADD COLUMN client_secret TEXT DEFAULT '' NOT NULL")
