"""What a return is worth, beside what is given back for it."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("ALTER TABLE operations ADD COLUMN wanted_minor_units BIGINT DEFAULT '0' NOT NULL")
