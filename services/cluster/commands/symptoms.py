"""What `commerce doctor` asks the database and the event stream: what waits for too long, and what has failed.

Straight from the schemas, as an administrator: it must be seen also while the services that would tell do not answer.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from commerce.order.v1.order_pb2 import OrderState
from commerce.payment.v1.payment_pb2 import PaymentOperationState, PaymentState
from nats.js import JetStreamContext
from nats.js.api import ConsumerInfo
from nats.js.errors import NotFoundError

# Longer than any step takes that nothing holds up: a provider's answer, a driver's next look, a batch of events.
LATE_SECONDS = 30
# What failed: longer ago than a weekend and a holiday, somebody has seen it.
RECENT_DAYS = 30
STREAM = "COMMERCE"
LATE = f"now() - interval '{LATE_SECONDS} seconds'"
RECENT = f"now() - interval '{RECENT_DAYS} days'"
# Written as SQL's lists are.
DRIVEN = (
    OrderState.ORDER_STATE_PENDING,
    OrderState.ORDER_STATE_RESERVED,
    OrderState.ORDER_STATE_AWAITING_CUSTOMER,
    OrderState.ORDER_STATE_PAYMENT_UNKNOWN,
)
UNANSWERED = (
    PaymentOperationState.PAYMENT_OPERATION_STATE_PENDING,
    PaymentOperationState.PAYMENT_OPERATION_STATE_UNKNOWN,
)


@dataclass(frozen=True)
class Symptom:
    """Rows of a table that there should not be, and the command that goes on with one of them."""

    what: str
    table: str
    id: str
    since: str
    condition: str
    command: str
    # One line for each of its values.
    by: str = "''"

    @property
    def sql(self) -> str:
        first = f"(array_agg({self.id}::text ORDER BY {self.since}))[1]"
        return (
            f"SELECT {self.by} AS whose, count(*) AS count, {first} AS id, min({self.since}) AS since"
            f" FROM {self.table} AS this WHERE {self.condition} GROUP BY 1 ORDER BY 1"
        )


SYMPTOMS = (
    Symptom(
        "orders whose provider has not said what became of the payment",
        '"order".orders',
        "order_id",
        "update_time",
        f"state = {OrderState.ORDER_STATE_PAYMENT_UNKNOWN} AND NOT parked",
        "orders explain {id}",
    ),
    Symptom(
        "orders that were given up until somebody looks",
        '"order".orders',
        "order_id",
        "update_time",
        "parked",
        "orders explain {id}",
    ),
    Symptom(
        "orders that wait for nobody, as no driver looks after them",
        '"order".orders',
        "order_id",
        "update_time",
        f"state IN {DRIVEN} AND NOT parked AND coalesce(due_time, update_time) < {LATE}",
        "orders retry {id}",
    ),
    Symptom(
        "orders that are under way and not paid for",
        '"order".orders',
        "order_id",
        "update_time",
        "unpaid_reason <> ''",
        "orders explain {id}",
        by="unpaid_reason",
    ),
    Symptom(
        "payments whose provider does not answer",
        '"payment".operations',
        "payment_id",
        "create_time",
        # Where the customer has to confirm, the provider has answered.
        f"state IN {UNANSWERED} AND create_time < {LATE} AND NOT EXISTS"
        ' (SELECT FROM "payment".payments AS of WHERE of.payment_id = this.payment_id'
        f" AND of.state = {PaymentState.PAYMENT_STATE_REQUIRES_ACTION})",
        "payments settle {id}",
        by="gateway",
    ),
    Symptom(
        "payments with a failed operation",
        '"payment".operations',
        "payment_id",
        "settle_time",
        f"state = {PaymentOperationState.PAYMENT_OPERATION_STATE_FAILED}"
        f" AND kind <> 'authorize' AND settle_time > {RECENT} AND NOT EXISTS"
        ' (SELECT FROM "payment".operations AS later WHERE later.payment_id = this.payment_id'
        " AND later.kind = this.kind AND later.operation_id > this.operation_id"
        f" AND later.state = {PaymentOperationState.PAYMENT_OPERATION_STATE_SUCCEEDED})",
        "payments show {id}",
        by="kind",
    ),
    Symptom(
        "providers' messages that could not be applied",
        '"payment".webhooks',
        "provider_event_id",
        "receive_time",
        "problem <> ''",
        "webhooks parked",
        by="gateway",
    ),
)


def _of_service(code: str) -> Iterator[Symptom]:
    yield Symptom(
        f"events that {code} could not take in",
        f'"{code}".dead_letters',
        "event_id",
        "create_time",
        "true",
        "dead-letters",
    )
    yield Symptom(
        f"events of {code} that were not published",
        f'"{code}".outbox',
        "event_id",
        "create_time",
        f"publish_time IS NULL AND create_time < {LATE}",
        "status",
    )


async def of_database(database: asyncpg.Connection, codes: Iterable[str]) -> AsyncIterator[tuple[bool, str]]:
    """For each question whether all is well, and what is said of it; several lines when several have it."""
    for symptom in (*SYMPTOMS, *(each for code in codes for each in _of_service(code))):
        if await database.fetchval("SELECT to_regclass($1)", symptom.table) is None:
            continue
        rows = await database.fetch(symptom.sql)
        for row in rows:
            whose = f" ({row['whose']})" if row["whose"] else ""
            oldest = f"{row['count']}, the oldest {row['id']} for {age(row['since'])}"
            command = symptom.command.format(id=row["id"])
            yield False, f"{symptom.what}{whose}: {oldest}; go on with: commerce {command}"
        if not rows:
            yield True, f"no {symptom.what}"


async def of_stream(stream: JetStreamContext) -> AsyncIterator[tuple[bool, str]]:
    """For each service whether it takes in the events as they come."""
    for consumer in await stream.consumers_info(STREAM):
        since = await _waiting_since(stream, consumer)
        if since is not None and datetime.now(UTC) - since > timedelta(seconds=LATE_SECONDS):
            count = (consumer.num_pending or 0) + (consumer.num_ack_pending or 0)
            said = f"{consumer.name} is {age(since)} behind the events, {count} wait for it"
            yield False, f"{said}; its log says why, see: commerce status"
        else:
            yield True, f"{consumer.name} takes in events as they come"


async def _waiting_since(stream: JetStreamContext, consumer: ConsumerInfo) -> datetime | None:
    """When the first event was published that a service has not taken in; None when there is none."""
    if not (consumer.num_pending or consumer.num_ack_pending):
        return None
    taken = (consumer.ack_floor and consumer.ack_floor.stream_seq) or 0
    times = []
    for subject in consumer.config.filter_subjects or [consumer.config.filter_subject or ">"]:
        try:
            event = await stream.get_msg(STREAM, seq=taken + 1, subject=subject, next=True)
        except NotFoundError:
            continue
        times.append(event.time)
    return min((time for time in times if time is not None), default=None)


def age(since: datetime) -> str:
    """How long ago a time is, as people say it."""
    seconds: Any = max(0, int((datetime.now(UTC) - since).total_seconds()))
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size} {name}"
    return f"{seconds} seconds"
