"""The runtime's own tables, in the schema of every service: see work.py, outbox.py and consumers.py for their use."""

from sqlalchemy import (
    Column,
    Index,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
)

from services.runtime.columns import ID, NOW, TIME, time_column, uuid_column

METADATA = MetaData()

# The first reply to each request_id, written in the transaction of its effect. The hash begins with who asked.
first_replies = Table(
    "first_replies",
    METADATA,
    Column("request_id", ID),
    Column("request_hash", LargeBinary, nullable=False),
    Column("reply", LargeBinary, nullable=False),
    Column("create_time", TIME, nullable=False, server_default=NOW),
    PrimaryKeyConstraint("request_id", name="first_replies_pkey"),
    Index("first_replies_by_time", "create_time"),
)

# Events, written in the transaction of the state that they describe. `publish_time` is empty until JetStream has them.
outbox = Table(
    "outbox",
    METADATA,
    uuid_column("event_id", primary_key=True),
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("create_time", TIME, nullable=False, server_default=NOW),
    time_column("publish_time", nullable=True),
)
Index("outbox_unpublished", outbox.c.create_time, postgresql_where=outbox.c.publish_time.is_(None))
Index("outbox_by_time", outbox.c.create_time, postgresql_using="brin")

# Events that took effect here, written in the transaction of the effect.
inbox = Table(
    "inbox",
    METADATA,
    uuid_column("event_id", primary_key=True),
    Column("create_time", TIME, nullable=False, server_default=NOW),
    Index("inbox_by_time", "create_time", postgresql_using="brin"),
)

# Events that could not take effect, with the reason: for a person to look at and to replay.
dead_letters = Table(
    "dead_letters",
    METADATA,
    uuid_column("event_id", primary_key=True),
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("traceparent", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("create_time", TIME, nullable=False, server_default=NOW),
)

# When the JetStream stream that our events went to was created: another time means that its store was lost.
event_streams = Table(
    "event_streams",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("created", Text, nullable=False),
)
