"""What providers said in their own words, and an index of the captures and refunds that failed."""

from services.runtime.online import build_index, online

revision = "0004"
down_revision = "0003"

WORDS = """
ALTER TABLE operations
    ADD COLUMN IF NOT EXISTS provider_message TEXT DEFAULT '' NOT NULL,
    ADD COLUMN IF NOT EXISTS provider_request_id TEXT DEFAULT '' NOT NULL
"""


def upgrade() -> None:
    with online() as connection:
        connection.exec_driver_sql(WORDS)
        build_index(
            connection,
            "operations_failed",
            "operations (settle_time) WHERE operations.state = 3 AND operations.kind IN ('capture', 'refund')",
        )
