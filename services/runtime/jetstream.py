"""The connection to NATS, and the one JetStream stream that holds all events for a while.

PostgreSQL is the truth: when the stream's store was lost, every outbox sends again what it still has (outbox.py), and
every inbox drops what already took effect (consumers.py).
"""

import asyncio
import json
from types import TracebackType
from typing import Self

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import RetentionPolicy, StorageType, StreamConfig, StreamInfo
from nats.js.errors import APIError, BadRequestError, NotFoundError

from services.runtime import logs

STREAM = "COMMERCE"
SUBJECTS = "commerce.>"
AWAY = (nats.errors.Error, APIError, TimeoutError, OSError)


async def connect(url: str, name: str) -> Client:
    """Connect, and from then on reconnect for ever: a service outlives its NATS."""

    async def on_error(error: Exception) -> None:
        logs.log.warning("nats", error=type(error).__name__)

    return await nats.connect(
        url,
        name=name,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        ping_interval=5,
        max_outstanding_pings=2,
        error_cb=on_error,
        allow_reconnect=True,
        # What a process tells all replicas it has told itself (hub.py): most messages it would get are its own.
        no_echo=True,
    )


async def ensure_stream(js: JetStreamContext, replicas: int, retention_days: int) -> StreamInfo:
    """Return the stream, made when it is not there."""
    try:
        return await js.stream_info(STREAM)
    except NotFoundError:
        pass
    config = StreamConfig(
        name=STREAM,
        subjects=[SUBJECTS],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        num_replicas=replicas,
        max_age=retention_days * 86_400,
        duplicate_window=120,
    )
    try:
        return await js.add_stream(config)
    except BadRequestError:  # Another service made it in the meantime.
        await asyncio.sleep(0)
        return await js.stream_info(STREAM)


def created(info: StreamInfo) -> str:
    """When the stream was created: it tells one store from the next."""
    return str(info.created)


async def give_back(messages: list[Msg], delay_seconds: float = 0.0) -> None:
    """Have messages delivered again that were not acknowledged yet."""
    for message in messages:
        if not message.is_acked:
            await message.nak(delay=delay_seconds)


class Pull:
    """A durable consumer's messages, as they come and in batches of what is there.

    One standing request a time: the client library's own fetch waits for a batch to fill. A request that gets neither a
    message nor its end in good time was lost with its server: `next` raises TimeoutError and the caller begins anew.
    """

    EXPIRES_SECONDS = 3.0
    GRACE_SECONDS = 2.0

    def __init__(self, client: Client, durable: str, batch: int) -> None:
        self._client, self._batch = client, batch
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{durable}"
        self._inbox = client.new_inbox()
        self._subscription: Subscription | None = None
        self._owed = 0  # Messages that the standing request may still bring.

    async def __aenter__(self) -> Self:
        self._subscription = await self._client.subscribe(self._inbox)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._subscription is not None and not self._client.is_closed:
            await self._subscription.unsubscribe()

    async def next(self) -> list[Msg]:
        """Wait for messages and return all that are there, in order; at least one."""
        assert self._subscription is not None
        batch: list[Msg] = []
        while not batch:
            if self._owed <= 0:
                await self._ask()
            message = await self._subscription.next_msg(self.EXPIRES_SECONDS + self.GRACE_SECONDS)
            self._sort(message, batch)
            while self._subscription.pending_msgs and len(batch) < self._batch:
                self._sort(await self._subscription.next_msg(1), batch)
            if (task := asyncio.current_task()) and task.cancelling():
                # Python 3.11's wait_for in next_msg loses a cancellation that comes together with a message.
                await give_back(batch)
                raise asyncio.CancelledError
        return batch

    def _sort(self, message: Msg, batch: list[Msg]) -> None:
        if message.reply:
            self._owed -= 1
            batch.append(message)
            return
        status = (message.headers or {}).get("Status", "")
        if status == "409" or status == "503":
            raise ConnectionError("the consumer is gone or its server is stopping")
        if status != "100":
            self._owed = 0

    async def _ask(self) -> None:
        request = {"batch": self._batch, "expires": int(self.EXPIRES_SECONDS * 1e9)}
        await self._client.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)
        self._owed = self._batch
