"""What a return is owed is asked for anew under the same id: one attempt at a time."""

from services.runtime.online import build_index, drop_index, online

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    with online() as connection:
        build_index(
            connection,
            "operations_one_attempt",
            "operations (payment_id, request_id) WHERE request_id IS NOT NULL AND settle_time IS NULL",
            unique=True,
        )
        drop_index(connection, "operations_one_a_request")
