"""The life of one RPC, composed when the server starts: one wrapper a method, no tower of interceptors.

trace → admission → identity → access → shares → validation → [transaction: handler, first reply, events] → reply
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import grpc
from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.message import Message
from sqlalchemy import select

from services.runtime import cards, logs, metrics, semantics, telemetry
from services.runtime.admission import Admission, Seldom
from services.runtime.callers import ANYONE, Caller, allowed
from services.runtime.contract import Method
from services.runtime.database import ATTEMPTS, AWAY, RETRIED, Database, Overtaken, Searches, unavailable
from services.runtime.deadlines import Deadlines
from services.runtime.incoming import Handle, Incoming
from services.runtime.json_names import rename
from services.runtime.refusals import Refusal, trailers
from services.runtime.sessions import Sessions
from services.runtime.shares import SEARCH, Shares
from services.runtime.spelling import canonical, unify
from services.runtime.statements import param, statement
from services.runtime.tables import first_replies
from services.runtime.validation import parsed, warm
from services.runtime.work import Call, Event, Key

# When the call being served must end, by time.monotonic(); calls to other services keep to it.
DEADLINE: ContextVar[float | None] = ContextVar("DEADLINE", default=None)
# Whom the call being served is for.
CALLER: ContextVar[Caller | None] = ContextVar("CALLER", default=None)

_FIRST_REPLY = statement(
    select(first_replies.c.request_hash, first_replies.c.reply).where(
        first_replies.c.request_id == param("request_id")
    ),
    "first reply",
)
_deadlines = Deadlines()
_overloaded: defaultdict[str, Seldom] = defaultdict(Seldom)
_UNLIMITED = nullcontext()
# A file that the gateway hands on as it comes has no place for a refusal after its first piece: what ended early would
# look whole. What is no message makes the gateway break the connection.
_NO_PIECE = b"\x07"
# What Envoy adds to a call that came by REST.
_HANDED_ON = "x-envoy-original-path"
# The trace of whoever called the gateway, where ours began.
_CLIENT_TRACE = "x-commerce-client-traceparent"
_Context = grpc.aio.ServicerContext[Any, Any]
Gate = Callable[[Caller, str], None]


@dataclass(frozen=True)
class Environment:
    """What all RPCs of a server share."""

    database: Database
    sessions: Sessions
    calls: Admission
    streams: Admission
    default_seconds: float
    committed: Callable[[list[Event]], None]
    constraints: dict[str, ErrorReason.ValueType]
    shares: Shares
    searches: Searches
    # What certain RPCs ask before a caller's request is read: the caller, and the store that they act for.
    gates: Mapping[str, Gate] = field(default_factory=dict)


def compose(
    method: Method, handler: Callable[..., Any], environment: Environment
) -> grpc.RpcMethodHandler[Any, Any]:
    """Return what gRPC calls for this RPC. Messages cross as bytes, so that ours are the only words on bad ones."""
    warm(method.request)
    served = _Served(method, handler, environment)
    if method.gathers:
        return grpc.stream_unary_rpc_method_handler(served.gather)
    if method.streams:
        return grpc.unary_stream_rpc_method_handler(served.stream)
    return grpc.unary_unary_rpc_method_handler(served.unary)


class _Served:
    def __init__(self, method: Method, handler: Callable[..., Any], environment: Environment) -> None:
        self._method, self._handler, self._at = method, handler, environment
        self._attributes = semantics.rpc(method.full_name)
        self._gate = environment.gates.get(method.name)
        self._seconds = method.deadline_seconds or environment.default_seconds

    async def unary(self, data: bytes, context: _Context) -> bytes:
        """Serve a call that has one request and one reply."""
        return await self._answer(self._reply, data, context, self._at.calls)

    async def gather(self, messages: AsyncIterator[bytes], context: _Context) -> bytes:
        """Serve a call that has many requests and one reply."""
        # A gateway that waits for a whole request, but not for ever, sees that this one was heard.
        await context.send_initial_metadata(())
        return await self._answer(self._gathered, messages, context, self._at.streams)

    async def _answer(
        self,
        reply_to: Callable[[Any, dict[str, Any]], Awaitable[bytes]],
        sent: Any,
        context: _Context,
        admission: Admission,
    ) -> bytes:
        metadata = _metadata(context)
        started = time.monotonic()
        remaining = context.time_remaining()
        end = started + (self._seconds if remaining is None else remaining)
        with self._span(metadata) as span:
            try:
                # A deadline of the client's own is gRPC's to keep.
                with admission.admit(), _deadlines.limit(end) if remaining is None else _UNLIMITED:
                    DEADLINE.set(end)
                    reply = await reply_to(sent, metadata)
                _ended(self._method, span, "OK", started)
                return reply
            except asyncio.CancelledError:
                _ended(self._method, span, "CANCELLED", started)
                raise
            except Exception as error:
                refusal = _refusal(error, self._at.constraints)
                _ended(self._method, span, refusal.code.name, started, refusal)
        await _abort(context, refusal, _HANDED_ON in metadata)
        raise AssertionError("abort returned")

    async def stream(self, data: bytes, context: _Context) -> AsyncIterator[bytes]:
        """Serve a call that has many replies."""
        metadata = _metadata(context)
        started, begun = time.monotonic(), False
        handed_on = _HANDED_ON in metadata
        file = self._method.file and handed_on
        with self._span(metadata) as span:
            try:
                with self._at.streams.admit(), self._at.sessions.open(self._caller(metadata)) as session:
                    caller = session.caller
                    store, request = self._store(data, caller)
                    with self._at.shares.of(self._method.cost, caller, store):
                        handled = self._handler(
                            request or self._request(data, caller), self._reading(caller, {}, store)
                        )
                        # A stream may stay open for hours, among thousands: it keeps what it needs only.
                        del data, metadata, request
                        async for message in handled:
                            begun = file
                            session.send()
                            yield message if isinstance(message, bytes) else message.SerializeToString()
                            session.go_on()
                _ended(self._method, span, "OK", started)
                return
            except (asyncio.CancelledError, GeneratorExit):
                _ended(self._method, span, "CANCELLED", started)
                raise
            except Exception as error:
                refusal = _refusal(error, self._at.constraints)
                _ended(self._method, span, refusal.code.name, started, refusal)
        if begun:
            yield _NO_PIECE
        await _abort(context, refusal, handed_on)

    async def _reply(self, data: bytes, metadata: dict[str, Any]) -> bytes:
        caller = self._caller(metadata)
        CALLER.set(caller)
        store, request = self._store(data, caller)
        with self._at.shares.of(self._method.cost, caller, store):
            if self._gate is not None:
                self._gate(caller, store)
            request = request or self._request(data, caller)
            if not self._method.mutates:
                reply: Message = await self._handler(request, self._reading(caller, metadata, store))
                return reply.SerializeToString()
            key = _key(self._method, request, caller)
            return await self._write(self._handler, request, caller, metadata, key)

    async def _gathered(self, messages: AsyncIterator[bytes], metadata: dict[str, Any]) -> bytes:
        caller = self._caller(metadata)
        CALLER.set(caller)

        def read(data: bytes) -> Message:
            self._at.streams.go_on()
            # The token may expire on the way.
            return self._request(data, self._caller(metadata))

        async def carry_out(request: Message, handle: Handle[Message]) -> None:
            await self._write(handle, request, caller, metadata, None)

        incoming = Incoming(messages, read, carry_out)
        with self._at.shares.of(self._method.cost, caller, caller.store_id):
            return await self._write(self._handler, incoming, caller, metadata, None)

    def _span(self, metadata: dict[str, Any]) -> telemetry.Span:
        parent = telemetry.Trace.parse(metadata.get("traceparent"))
        return telemetry.span(
            self._method.full_name,
            kind="server",
            parent=parent,
            links=_traces_of_client(metadata.get(_CLIENT_TRACE)),
            attributes=self._attributes,
        )

    def _caller(self, metadata: dict[str, Any]) -> Caller:
        if self._method.public:
            return ANYONE
        authorization = metadata.get("authorization")
        caller = self._at.sessions.tokens.caller(authorization if isinstance(authorization, str) else None)
        allowed(self._method, caller)
        return caller

    def _store(self, data: bytes, caller: Caller) -> tuple[str, Message | None]:
        """Return the store that a caller acts for, and the request where only that tells of it."""
        if caller.store_id or not self._method.store_scoped:
            return caller.store_id, None
        request = self._request(data, caller)
        return request.store_id.lower(), request  # type: ignore[attr-defined]

    def _reading(self, caller: Caller, metadata: dict[str, Any], store: str) -> Call:
        if self._method.cost == SEARCH:
            return _Searching(self._at.database, caller, metadata, self._at.searches, store)
        return _Reading(self._at.database, caller, metadata)

    def _request(self, data: bytes, caller: Caller) -> Message:
        request = parsed(self._method.request, data)
        unify(request, data)
        if self._method.store_scoped and caller.store_id and request.store_id != caller.store_id:  # type: ignore[attr-defined]
            raise Refusal(
                ErrorReason.ERROR_REASON_PERMISSION_DENIED, "The token is for another store", role=caller.role
            )
        return request

    async def _write(
        self,
        handler: Callable[[Any, Call], Awaitable[Message | None]],
        request: Any,
        caller: Caller,
        metadata: dict[str, Any],
        key: Key | None,
    ) -> bytes:
        attempts = ATTEMPTS
        while True:
            call = Call(self._at.database, caller, metadata, key, self._method.name)
            try:
                reply = await handler(request, call)
                await call.close(reply)
                break
            except BaseException as error:
                await call.roll_back(error)
                if isinstance(error, RETRIED):
                    attempts -= not isinstance(error, Overtaken)
                    if attempts:
                        continue
                    raise unavailable() from error
                first = await self._first_reply(key, error)
                if first is None:
                    raise
                return first
        self._at.committed(call.announced())
        return b"" if reply is None else reply.SerializeToString()

    async def _first_reply(self, key: Key | None, error: BaseException) -> bytes | None:
        """Return what this request was answered the first time, when it is a repetition that failed for being one."""
        if key is None or not isinstance(error, Refusal | asyncpg.IntegrityConstraintViolationError):
            return None
        if isinstance(error, Refusal) and error.reason == ErrorReason.ERROR_REASON_OVERLOADED:
            return None  # It comes back later; now it must cost nothing.
        row = await self._at.database.row(_FIRST_REPLY, request_id=key.request_id)
        if row is None:
            return None
        if row["request_hash"] == key.request_hash:
            reply: bytes = row["reply"]
            return reply
        # Somebody else is told what anybody is: that the id was used only if nothing else is wrong.
        if not key.is_of_same_caller(row["request_hash"]) and not _is_repeated_id(error):
            return None
        raise Refusal(
            ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
            "The request_id was used before with another request",
            request_id=key.request_id,
        )


def _is_repeated_id(error: BaseException) -> bool:
    return getattr(error, "constraint_name", None) == first_replies.primary_key.name


def _metadata(context: _Context) -> dict[str, Any]:
    pairs: Any = context.invocation_metadata() or ()
    metadata: dict[str, Any] = dict(pairs)
    if len(metadata) < len(pairs):
        # Two of them are one list of both (RFC 9110, section 5.3), which is no token.
        metadata["authorization"] = ", ".join(str(value) for key, value in pairs if key == "authorization")
    return metadata


def _traces_of_client(header: str | None) -> tuple[telemetry.Trace, ...]:
    """Return the caller's own trace. It writes the ids as it likes: with a card number as one, there is none."""
    trace = telemetry.Trace.parse(header)
    if trace is None or cards.found(f"{trace.trace_id}.{trace.span_id}"):
        return ()
    return (trace,)


class _Reading(Call):
    """A call that changes nothing: its statements take no transaction."""

    def __init__(self, database: Database, caller: Caller, metadata: dict[str, Any]) -> None:
        # It has nothing to write, so nothing that gathers what is to be written: that would cost every read.
        self._database, self.caller, self.metadata = database, caller, metadata

    async def rows(self, statement: Any, **values: Any) -> list[asyncpg.Record]:
        """Run a statement by itself and return its rows."""
        return await self._database.rows(statement, **values)


class _Searching(_Reading):
    """A call that changes nothing and looks through much."""

    def __init__(
        self, database: Database, caller: Caller, metadata: dict[str, Any], searches: Searches, store: str
    ) -> None:
        super().__init__(database, caller, metadata)
        self._searches, self._store = searches, store or caller.subject

    async def rows(self, statement: Any, **values: Any) -> list[asyncpg.Record]:
        """Run a statement by itself, in turns with other stores, and return its rows."""
        return await self._searches.rows(self._store, statement, values)


def _key(method: Method, request: Any, caller: Caller) -> Key | None:
    if not method.keyed:
        return None
    asked = hashlib.sha256(f"{method.full_name}\0".encode())
    asked.update(canonical(request))
    return Key(request.request_id, caller.fingerprint + asked.digest())


def _refusal(error: Exception, constraints: dict[str, ErrorReason.ValueType]) -> Refusal:
    """Turn whatever ended a call into a refusal. What we did not foresee says nothing but its trace id."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, asyncpg.IntegrityConstraintViolationError) and error.constraint_name in constraints:
        return Refusal(constraints[error.constraint_name])
    if isinstance(error, asyncpg.CharacterNotInRepertoireError):
        return Refusal(
            ErrorReason.ERROR_REASON_INVALID_ARGUMENT, "A text holds a NUL, which cannot be stored"
        )
    if isinstance(error, TimeoutError):
        return Refusal(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, "The call did not finish in its time")
    if isinstance(error, (*AWAY, *RETRIED)):
        return unavailable()
    trace = telemetry.current()
    logs.log.error("call failed", exc_info=error)
    return Refusal(
        ErrorReason.ERROR_REASON_INTERNAL, "The fault is ours", trace_id=trace.trace_id if trace else ""
    )


def _ended(method: Method, span: Any, code: str, started: float, refusal: Refusal | None = None) -> None:
    telemetry.end_rpc(span, code)
    seconds = time.monotonic() - started
    metrics.observe_rpc(method.full_name, code, seconds)
    if refusal is None:
        return
    times = 1
    if refusal.reason == ErrorReason.ERROR_REASON_OVERLOADED:
        times = _overloaded[method.full_name].due()
    if times:
        logs.log.info(
            "refused",
            rpc=method.full_name,
            code=code,
            reason=refusal.name,
            seconds=round(seconds, 4),
            times=times,
        )


async def _abort(context: _Context, refusal: Refusal, handed_on: bool) -> None:
    if handed_on:
        rename(refusal)
    await context.abort(refusal.code, refusal.message, trailers(refusal))
