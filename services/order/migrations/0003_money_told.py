"""What payments tell: what was taken, until when it is promised, why it is not paid for, what went back."""

from alembic import op

revision = "0003"
down_revision = "0002"

# A new database has the returns' columns already: 0002 makes whole tables as they are today.
COLUMNS = """
ALTER TABLE orders
    ADD COLUMN captured_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN payment_expire_time TIMESTAMP WITH TIME ZONE,
    ADD COLUMN unpaid_reason TEXT DEFAULT '' NOT NULL;

ALTER TABLE order_returns
    ADD COLUMN IF NOT EXISTS refunded_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN IF NOT EXISTS unrefunded_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN IF NOT EXISTS unrefunded_reason TEXT DEFAULT '' NOT NULL;

UPDATE order_returns SET refunded_minor_units = refund_minor_units;

CREATE INDEX orders_unpaid ON orders (update_time) WHERE unpaid_reason <> ''
"""


def upgrade() -> None:
    for statement in COLUMNS.split(";"):
        op.execute(statement)
