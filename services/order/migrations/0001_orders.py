"""Orders, lines, timeline, copies of products and customers."""

from alembic import op

from services.order.tables import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind())
