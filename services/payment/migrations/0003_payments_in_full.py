"""Parts, expiry, disputes, settings, saved methods, settlements; books by line and day, in a chain, never edited."""

from alembic import op

revision = "0003"
down_revision = "0002"

PAYMENTS = """
ALTER TABLE payments
    ADD COLUMN voided_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN disputed_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN charged_back_minor_units BIGINT DEFAULT '0' NOT NULL,
    ADD COLUMN capture_mode SMALLINT DEFAULT '1' NOT NULL,
    ADD COLUMN lines JSONB DEFAULT '[]' NOT NULL,
    ADD COLUMN expire_time TIMESTAMP WITH TIME ZONE,
    DROP CONSTRAINT payments_sums,
    ADD CONSTRAINT payments_sums CHECK (0 <= refunded_minor_units AND refunded_minor_units <= captured_minor_units
        AND 0 <= voided_minor_units AND captured_minor_units + voided_minor_units <= amount_minor_units
        AND 0 <= disputed_minor_units AND 0 <= charged_back_minor_units
        AND disputed_minor_units + charged_back_minor_units <= captured_minor_units);

ALTER TABLE operations
    ADD COLUMN gateway TEXT DEFAULT '' NOT NULL,
    ADD COLUMN provider_reference TEXT DEFAULT '' NOT NULL,
    ADD COLUMN reason TEXT DEFAULT '' NOT NULL,
    ADD COLUMN failure_code TEXT DEFAULT '' NOT NULL,
    ADD COLUMN lines JSONB DEFAULT '[]' NOT NULL,
    ADD COLUMN final BOOLEAN DEFAULT false NOT NULL;

UPDATE operations SET gateway = payments.gateway FROM payments WHERE payments.payment_id = operations.payment_id;

UPDATE payments SET voided_minor_units = amount_minor_units
    WHERE state = 6 AND EXISTS (
        SELECT FROM operations WHERE operations.payment_id = payments.payment_id AND kind = 'authorize' AND state = 2
    )
"""

LEDGER = """
DROP TRIGGER ledger_append_only ON ledger_entries;

DROP TRIGGER ledger_balanced ON ledger_entries;

ALTER TABLE ledger_entries
    ADD COLUMN position SMALLINT,
    ADD COLUMN kind TEXT,
    ADD COLUMN payment_id UUID,
    ADD COLUMN order_id UUID,
    ADD COLUMN product_id UUID,
    ADD COLUMN xid BIGINT DEFAULT CAST(CAST(pg_current_xact_id() AS TEXT) AS BIGINT) NOT NULL;

UPDATE ledger_entries SET position = CASE WHEN debit_minor_units > 0 THEN 1 ELSE 2 END, kind = operations.kind,
    payment_id = payments.payment_id, order_id = payments.order_id
    FROM operations JOIN payments USING (payment_id) WHERE operation_id = transaction_id;

ALTER TABLE ledger_entries
    ALTER COLUMN position SET NOT NULL,
    ALTER COLUMN kind SET NOT NULL,
    DROP CONSTRAINT ledger_entries_pkey,
    ADD CONSTRAINT ledger_entries_pkey PRIMARY KEY (transaction_id, position);

INSERT INTO ledger_entries (transaction_id, position, store_id, kind, account, currency_code, debit_minor_units,
        credit_minor_units, payment_id, order_id, create_time)
    SELECT operation_id, position, payments.store_id, 'authorize', account, currency_code,
        CASE position WHEN 1 THEN payments.amount_minor_units ELSE 0 END,
        CASE position WHEN 2 THEN payments.amount_minor_units ELSE 0 END,
        payment_id, order_id, coalesce(settle_time, operations.create_time)
    FROM payments JOIN operations USING (payment_id)
    CROSS JOIN (VALUES (1, 'customer_receivable'), (2, 'authorizations')) AS side (position, account)
    WHERE payments.state = 4 AND kind = 'authorize' AND payments.amount_minor_units > 0;

DROP INDEX ledger_entries_of_store
"""

TABLES = """
CREATE TABLE ledger_chain (
    store_id UUID NOT NULL,
    number BIGINT NOT NULL,
    transaction_id UUID NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (store_id, number),
    CONSTRAINT ledger_chain_transaction UNIQUE (transaction_id)
);

CREATE TABLE ledger_days (
    store_id UUID NOT NULL,
    day DATE NOT NULL,
    currency_code TEXT NOT NULL,
    account TEXT NOT NULL,
    debit_minor_units BIGINT DEFAULT '0' NOT NULL,
    credit_minor_units BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (store_id, day, currency_code, account)
);

CREATE TABLE ledger_seal (
    one BOOLEAN DEFAULT 'true' NOT NULL,
    xid BIGINT NOT NULL,
    transaction_id UUID NOT NULL,
    PRIMARY KEY (one),
    CONSTRAINT ledger_seal_one CHECK (one)
);

CREATE TABLE payment_methods (
    payment_method_id UUID NOT NULL,
    customer_id UUID NOT NULL,
    store_id UUID NOT NULL,
    gateway TEXT NOT NULL,
    token TEXT NOT NULL,
    brand TEXT NOT NULL,
    last_four TEXT DEFAULT '' NOT NULL,
    expiry_month SMALLINT NOT NULL,
    expiry_year SMALLINT NOT NULL,
    preferred BOOLEAN NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    remove_time TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (payment_method_id),
    CONSTRAINT payment_methods_last_four CHECK (last_four ~ '^([0-9]{4})?$'),
    CONSTRAINT payment_methods_kept CHECK (NOT (preferred AND remove_time IS NOT NULL))
);

CREATE INDEX payment_methods_by_token ON payment_methods (token) WHERE remove_time IS NULL;

CREATE UNIQUE INDEX payment_methods_once ON payment_methods (customer_id, store_id, token) WHERE remove_time IS NULL;

CREATE UNIQUE INDEX payment_methods_preferred ON payment_methods (customer_id, store_id) WHERE preferred;

CREATE TABLE settlements (
    settlement_id UUID NOT NULL,
    gateway TEXT NOT NULL,
    begin_time TIMESTAMP WITH TIME ZONE NOT NULL,
    end_time TIMESTAMP WITH TIME ZONE NOT NULL,
    batches INTEGER NOT NULL,
    complete BOOLEAN NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (settlement_id)
);

CREATE TABLE store_settings (
    store_id UUID NOT NULL,
    settings BYTEA NOT NULL,
    update_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (store_id)
);

CREATE TABLE discrepancies (
    discrepancy_id UUID NOT NULL,
    settlement_id UUID NOT NULL,
    gateway TEXT NOT NULL,
    store_id UUID,
    payment_id UUID,
    operation_id UUID,
    reason SMALLINT NOT NULL,
    line_id TEXT DEFAULT '' NOT NULL,
    charge_reference TEXT DEFAULT '' NOT NULL,
    our_currency_code TEXT DEFAULT '' NOT NULL,
    our_minor_units BIGINT,
    their_currency_code TEXT DEFAULT '' NOT NULL,
    their_minor_units BIGINT,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    resolve_time TIMESTAMP WITH TIME ZONE,
    resolution TEXT DEFAULT '' NOT NULL,
    PRIMARY KEY (discrepancy_id),
    FOREIGN KEY(settlement_id) REFERENCES settlements (settlement_id)
);

CREATE INDEX discrepancies_of_line ON discrepancies (gateway, line_id) WHERE line_id != '';

CREATE INDEX discrepancies_of_operation ON discrepancies (operation_id) WHERE operation_id IS NOT NULL;

CREATE INDEX discrepancies_of_settlement ON discrepancies (settlement_id, discrepancy_id);

CREATE INDEX discrepancies_of_store ON discrepancies (store_id, discrepancy_id);

CREATE TABLE disputes (
    dispute_id UUID NOT NULL,
    payment_id UUID NOT NULL,
    store_id UUID NOT NULL,
    status SMALLINT NOT NULL,
    amount_minor_units BIGINT NOT NULL,
    fee_minor_units BIGINT DEFAULT '0' NOT NULL,
    reason TEXT DEFAULT '' NOT NULL,
    provider_reference TEXT NOT NULL,
    open_time TIMESTAMP WITH TIME ZONE NOT NULL,
    close_time TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (dispute_id),
    CONSTRAINT disputes_once UNIQUE (payment_id, provider_reference),
    CONSTRAINT disputes_closed CHECK ((status = 1) = (close_time IS NULL)),
    FOREIGN KEY(payment_id) REFERENCES payments (payment_id)
);

CREATE INDEX disputes_by_reference ON disputes (provider_reference);

CREATE TABLE settlement_lines (
    gateway TEXT NOT NULL,
    line_id TEXT NOT NULL,
    settlement_id UUID NOT NULL,
    kind SMALLINT NOT NULL,
    charge_reference TEXT DEFAULT '' NOT NULL,
    operation_reference TEXT DEFAULT '' NOT NULL,
    currency_code TEXT NOT NULL,
    gross_minor_units BIGINT NOT NULL,
    fee_minor_units BIGINT NOT NULL,
    time TIMESTAMP WITH TIME ZONE NOT NULL,
    payment_id UUID,
    operation_id UUID,
    dispute_id UUID,
    matched BOOLEAN NOT NULL,
    PRIMARY KEY (gateway, line_id),
    FOREIGN KEY(settlement_id) REFERENCES settlements (settlement_id)
);

CREATE UNIQUE INDEX settlement_lines_of_operation ON settlement_lines (operation_id) WHERE operation_id IS NOT NULL;

CREATE INDEX settlement_lines_of_payment ON settlement_lines (payment_id) WHERE payment_id IS NOT NULL;

CREATE INDEX settlement_lines_of_settlement ON settlement_lines (settlement_id)
"""

INDEXES = """
CREATE INDEX ledger_entries_by_xid ON ledger_entries (xid, transaction_id);

CREATE INDEX ledger_entries_of_account ON ledger_entries (store_id, account, create_time, transaction_id)
    WHERE account IN ('bank', 'disputes', 'fees', 'refunds');

CREATE INDEX ledger_entries_of_payment ON ledger_entries (payment_id);

CREATE INDEX ledger_entries_of_store ON ledger_entries (store_id, create_time, transaction_id, position);

CREATE INDEX operations_by_reference ON operations (gateway, provider_reference) WHERE provider_reference != '';

CREATE INDEX operations_settled_by_time ON operations (gateway, settle_time) WHERE kind IN ('capture', 'refund') AND
    state = 2;

CREATE INDEX operations_waiting ON operations (operation_id) WHERE operations.state = 5;

CREATE INDEX payments_by_reference ON payments (gateway, provider_reference) WHERE provider_reference != '';

CREATE INDEX payments_expiring ON payments (expire_time) WHERE expire_time IS NOT NULL;

CREATE INDEX payments_of_customer ON payments (customer_id, payment_id);

CREATE INDEX payments_of_store ON payments (store_id, payment_id);

CREATE INDEX payments_of_store_by_amount ON payments (store_id, currency_code, amount_minor_units, payment_id);

CREATE INDEX payments_of_store_by_gateway ON payments (store_id, gateway, payment_id);

CREATE INDEX payments_of_store_by_state ON payments (store_id, state, payment_id)
"""

# Its plan is kept by the connection that made it, however large the table grows and however little was known of it:
# each transaction is found by the index. Joined to what was posted, all entries may be read.
BALANCED = """
CREATE OR REPLACE FUNCTION ledger_balanced() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT transaction_id FROM posted) AS written, LATERAL (
            SELECT FROM ledger_entries WHERE ledger_entries.transaction_id = written.transaction_id
            GROUP BY currency_code
            HAVING sum(debit_minor_units) <> sum(credit_minor_units) OR min(xid) <> max(xid)
        ) AS wrong
    ) THEN
        RAISE EXCEPTION 'a transaction of the ledger does not balance, or was posted before'
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    RETURN NULL;
END $$
"""

# At once, over all that a statement posts: a transaction is posted by one statement.
AT_ONCE = """
CREATE TRIGGER ledger_balanced AFTER INSERT ON ledger_entries
    REFERENCING NEW TABLE AS posted FOR EACH STATEMENT EXECUTE FUNCTION ledger_balanced()
"""

APPEND_ONLY = """
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only();

CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_chain
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only();

REVOKE UPDATE, DELETE, TRUNCATE ON ledger_entries, ledger_chain FROM CURRENT_USER;

INSERT INTO ledger_seal (xid, transaction_id) VALUES (0, '00000000-0000-0000-0000-000000000000')
"""


def upgrade() -> None:
    for script in (PAYMENTS, LEDGER, TABLES, INDEXES):
        for statement in script.split(";"):
            op.execute(statement)
    op.execute(BALANCED)
    op.execute(AT_ONCE)
    for statement in APPEND_ONLY.split(";"):
        op.execute(statement)
