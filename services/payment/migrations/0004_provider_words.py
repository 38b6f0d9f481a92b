"""What providers said in their own words, and an index of the captures and refunds that failed."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE operations
            ADD COLUMN provider_message TEXT DEFAULT '' NOT NULL,
            ADD COLUMN provider_request_id TEXT DEFAULT '' NOT NULL
        """
    )
    op.execute(
        "CREATE INDEX operations_failed ON operations (settle_time)"
        " WHERE operations.state = 3 AND operations.kind IN ('capture', 'refund')"
    )
