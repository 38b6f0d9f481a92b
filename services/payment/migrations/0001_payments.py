"""Payments, operations, webhooks, and a ledger that refuses to be unbalanced or rewritten. As it was then."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE payments (
    payment_id UUID NOT NULL,
    order_id UUID NOT NULL,
    store_id UUID NOT NULL,
    customer_id UUID NOT NULL,
    state SMALLINT NOT NULL,
    amount_minor_units BIGINT DEFAULT '0' NOT NULL,
    currency_code TEXT NOT NULL,
    captured_minor_units BIGINT DEFAULT '0' NOT NULL,
    refunded_minor_units BIGINT DEFAULT '0' NOT NULL,
    gateway TEXT DEFAULT '' NOT NULL,
    payment_method TEXT DEFAULT '' NOT NULL,
    provider_reference TEXT DEFAULT '' NOT NULL,
    decline_code TEXT DEFAULT '' NOT NULL,
    next_action_url TEXT DEFAULT '' NOT NULL,
    version BIGINT NOT NULL,
    cancelled BOOLEAN NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    update_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (payment_id),
    CONSTRAINT payments_order_key UNIQUE (order_id),
    CONSTRAINT payments_sums CHECK (0 <= refunded_minor_units AND refunded_minor_units <= captured_minor_units
        AND captured_minor_units <= amount_minor_units)
);

CREATE TABLE operations (
    operation_id UUID NOT NULL,
    payment_id UUID NOT NULL,
    store_id UUID NOT NULL,
    kind TEXT NOT NULL,
    state SMALLINT NOT NULL,
    amount_minor_units BIGINT DEFAULT '0' NOT NULL,
    attempts INTEGER NOT NULL,
    traceparent TEXT DEFAULT '' NOT NULL,
    request_id UUID,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    due_time TIMESTAMP WITH TIME ZONE NOT NULL,
    settle_time TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (operation_id),
    CONSTRAINT operations_settled CHECK ((state IN (1, 4)) = (settle_time IS NULL)),
    FOREIGN KEY(payment_id) REFERENCES payments (payment_id)
);

CREATE INDEX operations_due ON operations (due_time) WHERE state IN (1, 4);

CREATE INDEX operations_of_payment ON operations (payment_id);

CREATE UNIQUE INDEX operations_one_authorize ON operations (payment_id) WHERE kind = 'authorize';

CREATE UNIQUE INDEX operations_one_open ON operations (payment_id) WHERE state IN (1, 4);

CREATE TABLE webhooks (
    gateway TEXT NOT NULL,
    provider_event_id TEXT NOT NULL,
    payload BYTEA NOT NULL,
    problem TEXT DEFAULT '' NOT NULL,
    receive_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (gateway, provider_event_id)
);

CREATE INDEX webhooks_parked ON webhooks (receive_time) WHERE problem <> '';

CREATE TABLE ledger_entries (
    transaction_id UUID NOT NULL,
    account TEXT NOT NULL,
    store_id UUID NOT NULL,
    currency_code TEXT NOT NULL,
    debit_minor_units BIGINT DEFAULT '0' NOT NULL,
    credit_minor_units BIGINT DEFAULT '0' NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (transaction_id, account),
    CONSTRAINT ledger_entries_one_side CHECK (debit_minor_units >= 0 AND credit_minor_units >= 0
        AND (debit_minor_units = 0) <> (credit_minor_units = 0))
);

CREATE INDEX ledger_entries_of_store ON ledger_entries (store_id)
"""

BALANCED = """
CREATE FUNCTION ledger_balanced() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ledger_entries WHERE transaction_id = NEW.transaction_id
        GROUP BY currency_code HAVING sum(debit_minor_units) <> sum(credit_minor_units)
    ) THEN
        RAISE EXCEPTION 'transaction % does not balance', NEW.transaction_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_balanced';
    END IF;
    RETURN NULL;
END $$
"""

AT_COMMIT = """
CREATE CONSTRAINT TRIGGER ledger_balanced AFTER INSERT ON ledger_entries
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_balanced()
"""

APPEND_ONLY = """
CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append only'
        USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'ledger_append_only';
END $$
"""

ALWAYS = """
CREATE TRIGGER ledger_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entries
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()
"""


def upgrade() -> None:
    for statement in TABLES.split(";"):
        op.execute(statement)
    for statement in (BALANCED, AT_COMMIT, APPEND_ONLY, ALWAYS):
        op.execute(statement)
