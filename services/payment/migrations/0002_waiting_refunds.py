"""Operations that wait for their turn, and one operation a request."""

from alembic import op

revision = "0002"
down_revision = "0001"

CONSTRAINTS = """
ALTER TABLE operations
    DROP CONSTRAINT operations_settled,
    ADD CONSTRAINT operations_settled CHECK ((state IN (1, 4, 5)) = (settle_time IS NULL));

CREATE UNIQUE INDEX operations_one_a_request ON operations (payment_id, request_id) WHERE request_id IS NOT NULL
"""


def upgrade() -> None:
    for statement in CONSTRAINTS.split(";"):
        op.execute(statement)
