"""First replies, outbox, inbox, dead letters. As it was then: tables.py says what it is now."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE dead_letters (
    event_id UUID NOT NULL,
    type TEXT NOT NULL,
    payload BYTEA NOT NULL,
    traceparent TEXT NOT NULL,
    reason TEXT NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (event_id)
);

CREATE TABLE event_streams (
    name TEXT NOT NULL,
    created TEXT NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE first_replies (
    request_id UUID NOT NULL,
    request_hash BYTEA NOT NULL,
    reply BYTEA NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (request_id)
);

CREATE INDEX first_replies_by_time ON first_replies (create_time);

CREATE TABLE inbox (
    event_id UUID NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (event_id)
);

CREATE INDEX inbox_by_time ON inbox USING brin (create_time);

CREATE TABLE outbox (
    event_id UUID NOT NULL,
    type TEXT NOT NULL,
    payload BYTEA NOT NULL,
    traceparent TEXT NOT NULL,
    create_time TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    publish_time TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (event_id)
);

CREATE INDEX outbox_by_time ON outbox USING brin (create_time);

CREATE INDEX outbox_unpublished ON outbox (create_time) WHERE publish_time IS NULL
"""


def upgrade() -> None:
    for statement in TABLES.split(";"):
        op.execute(statement)
