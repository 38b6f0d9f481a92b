"""The connection to NATS, and the one JetStream stream that holds all events for a while.

PostgreSQL is the truth: when the stream's store was lost, every outbox sends again what it still has (outbox.py), and
every inbox drops what already took effect (consumers.py).
"""

import asyncio

import nats
from nats.aio.client import Client
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
