"""One service process, from its settings to its end.

run(DEFINITION, build)   where build(Runtime) -> Parts names the handlers, reactions and workers
"""

import asyncio
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc
import uvloop
from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.message import Message
from nats.aio.client import Client

from services.runtime import channels, jetstream, logs, telemetry
from services.runtime.admission import Admission
from services.runtime.consumers import Consumer
from services.runtime.database import Database, Searches
from services.runtime.definition import Definition
from services.runtime.housekeeping import Housekeeping
from services.runtime.hub import Hub, Latest, Source
from services.runtime.migrations import RUNTIME, migrate
from services.runtime.outbox import Relay
from services.runtime.pages import Pages
from services.runtime.pipeline import Environment, Gate
from services.runtime.server import Server, run_until
from services.runtime.sessions import Sessions
from services.runtime.settings import Settings
from services.runtime.shares import Shares
from services.runtime.statements import Statement
from services.runtime.tokens import Tokens
from services.runtime.work import End, Reaction, Work, commit_together

CANCELLED_AGAIN_SECONDS = 2.0


class Worker(Protocol):
    """Something that runs as long as the service does."""

    async def run(self) -> None:
        """Work until cancelled."""
        ...


class Streams(Worker, Protocol):
    """A worker that feeds open streams."""

    def close(self) -> None:
        """End them: the service stops."""
        ...


@dataclass(frozen=True)
class Parts:
    """What a service is made of."""

    handlers: Sequence[Any]
    reactions: Mapping[type[Message], Reaction] = field(default_factory=dict)
    workers: Sequence[Worker] = ()
    hubs: Sequence[Streams] = ()
    constraints: Mapping[str, ErrorReason.ValueType] = field(default_factory=dict)
    # By an RPC's name: refuses a call that there is no room for.
    gates: Mapping[str, Gate] = field(default_factory=dict)
    on_stop: Sequence[Callable[[], Awaitable[None]]] = ()


class Runtime:
    """What a service's parts are built from."""

    def __init__(
        self, definition: Definition, settings: Settings, database: Database, client: Client
    ) -> None:
        self.definition, self.settings, self.database, self.client = definition, settings, database, client
        self.pages = Pages(settings.page_key.get_secret_value())
        self.relay = Relay(definition.code, database, client, settings)

    def channel(self, code: str) -> grpc.aio.Channel:
        """Return a channel to a required service, for its generated stubs."""
        return channels.channel(self.settings.address(code), self.settings.service_token.get_secret_value())

    def hub(self, topic: str, source: Source, latest: Latest) -> Hub:
        """Return a hub for the live updates of a topic."""
        return Hub(
            topic, self.client, source, latest, self.settings.heartbeat_seconds, self.settings.recheck_seconds
        )

    async def carry_out(self, body: Callable[[Work], Awaitable[None]], *names: str) -> None:
        """Run a unit of work outside a call: commit at the end, roll back when it raises, publish what it published."""
        work = self.work(*names)
        try:
            await body(work)
            await work.close()
        except BaseException as error:
            await work.roll_back(error)
            raise
        self.relay.committed(work.announced())

    def work(self, *names: str) -> Work:
        """Return a unit of work outside a call, for whoever ends it: failpoints call it by the names."""
        return Work(self.database, None, *names)

    async def end_together(self, last: Statement, ends: Sequence[End], **values: Any) -> list[End]:
        """End many works outside calls with one statement, and publish what those that were held published."""
        held = await self.commit_together(last, ends, **values)
        for end in held:
            self.relay.committed(end.work.announced())
        return held

    async def commit_together(self, last: Statement, ends: Sequence[End], **values: Any) -> list[End]:
        """End many works with one statement: see there."""
        return await commit_together(self.database, last, ends, **values)


Build = Callable[[Runtime], Parts]


def run(definition: Definition, build: Build) -> None:
    """Run the service until SIGTERM or SIGINT, then drain it."""
    settings = Settings.load()
    logs.configure(definition.code, settings.log_level)
    telemetry.start(definition.code, definition.version)
    try:
        with runner() as loop:
            loop.run(_run(definition, settings, build))
    finally:
        telemetry.stop()


def runner() -> asyncio.Runner:
    """What a service runs on: libuv's loop takes a fifth less CPU a call than asyncio's own (measured)."""
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def quieten() -> None:
    """Have the collector leave alone what is alive now, and look at the rest seldom: a fan-out takes half as long."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 50)


async def _run(definition: Definition, settings: Settings, build: Build) -> None:
    dsn = settings.database_url.get_secret_value()
    own = Path(__file__).parent.parent / definition.code / "migrations"
    # A service without tables of its own has no migrations of its own.
    await migrate(dsn, {"runtime_revision": RUNTIME} | ({"service_revision": own} if own.is_dir() else {}))
    async with AsyncExitStack() as stack:
        database = Database(dsn, settings.database_connections, settings.database_timeout_seconds)
        await database.start()
        stack.push_async_callback(database.stop)
        client = await jetstream.connect(settings.nats_url.get_secret_value(), definition.code)
        stack.push_async_callback(client.close)
        runtime = Runtime(definition, settings, database, client)
        await _serve(runtime, build(runtime))


async def _serve(runtime: Runtime, parts: Parts) -> None:
    settings = runtime.settings
    sessions = Sessions(Tokens(settings.jwks_file))
    at = Environment(
        database=runtime.database,
        sessions=sessions,
        calls=Admission(settings.calls_in_flight, "calls"),
        streams=Admission(settings.open_streams, "streams"),
        shares=Shares(settings),
        searches=Searches(
            runtime.database,
            # Never all of them, where there are more than one.
            min(settings.search_connections, max(1, settings.database_connections - 1)),
            settings.search_timeout_seconds,
        ),
        default_seconds=settings.call_seconds,
        committed=runtime.relay.committed,
        constraints=dict(parts.constraints),
        gates=parts.gates,
    )
    workers: list[Worker] = [
        runtime.relay,
        sessions,
        Housekeeping(runtime.database, settings),
        *parts.hubs,
        *parts.workers,
    ]
    if parts.reactions:
        workers.append(
            Consumer(
                runtime.definition.code,
                runtime.database,
                runtime.client,
                settings,
                parts.reactions,
                runtime.relay.committed,
            )
        )
    # Until here a signal ends the process at once: nothing was begun that would have to be finished.
    stop = asyncio.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    tasks = [asyncio.create_task(worker.run(), name=type(worker).__name__) for worker in workers]
    server = Server(settings, runtime.definition.proto_services, parts.handlers, at)
    await server.start()
    quieten()
    logs.log.info("serving", listen=settings.listen)
    try:
        await run_until(stop, tasks)
    finally:
        logs.log.info("draining")
        for hub in parts.hubs:
            hub.close()
        await server.drain()
        await end(tasks)
        for action in parts.on_stop:
            await action()


async def end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended, again and again: a library can lose a cancellation.

    Python 3.11's `wait_for` does when what it waits for comes at the same moment. The pause lets a task that heard put
    its things away.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCELLED_AGAIN_SECONDS)
    await asyncio.gather(*tasks, return_exceptions=True)
