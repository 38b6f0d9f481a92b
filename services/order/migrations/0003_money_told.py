"""What payments tell: what was taken, until when it is promised, why it is not paid for, what went back."""

from sqlalchemy import text

from services.runtime.online import batches, build_index, online

revision = "0003"
down_revision = "0002"

ORDERS = """
ALTER TABLE orders
    ADD COLUMN IF NOT EXISTS captured_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN IF NOT EXISTS payment_expire_time TIMESTAMP WITH TIME ZONE,
    ADD COLUMN IF NOT EXISTS unpaid_reason TEXT DEFAULT '' NOT NULL
"""

RETURNS = """
ALTER TABLE order_returns
    ADD COLUMN IF NOT EXISTS refunded_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN IF NOT EXISTS unrefunded_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN IF NOT EXISTS unrefunded_reason TEXT DEFAULT '' NOT NULL
"""

REFUNDED = text(
    "UPDATE order_returns SET refunded_minor_units = refund_minor_units WHERE return_id = ANY(:ids)"
)


def upgrade() -> None:
    with online() as connection:
        connection.exec_driver_sql(ORDERS)
        connection.exec_driver_sql(RETURNS)
        for rows in batches(
            connection, "order_returns", ["return_id"], "refunded_minor_units <> refund_minor_units"
        ):
            connection.execute(REFUNDED, {"ids": [row[0] for row in rows]})
        build_index(connection, "orders_unpaid", "orders (update_time) WHERE unpaid_reason <> ''")
