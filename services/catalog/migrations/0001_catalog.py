"""Products, stock and its changes, reservations."""

from alembic import op

from services.catalog.tables import METADATA

revision = "0001"
down_revision = None


def upgrade() -> None:
    METADATA.create_all(op.get_bind())
