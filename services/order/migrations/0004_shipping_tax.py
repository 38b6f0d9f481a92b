"""The tax within the shipping fee."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE orders
            ADD COLUMN shipping_tax_minor_units BIGINT DEFAULT '0' NOT NULL,
            ADD COLUMN shipping_tax_rate_ppm INTEGER DEFAULT '0' NOT NULL
        """
    )
