"""RPCs that take many requests. Each message is a unit of work of its own, and the reply is one more:

async def ImportProducts(self, batches: Incoming[Request], call: Call) -> Response:
    last = await batches.each(take_in)     # take_in(request, call) is written as any handler is
    …                                      # then the reply, in the transaction of `call`
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Generic, TypeVar

from commerce.common.v1.error_reason_pb2 import ErrorReason
from google.protobuf.message import Message

from services.runtime import telemetry
from services.runtime.refusals import Refusal, invalid
from services.runtime.work import Call

Request = TypeVar("Request", bound=Message)
Handle = Callable[[Request, Call], Awaitable[None]]

# What a stream is about cannot change on its way.
_CONSTANT = ("store_id", "request_id", "validate_only")
# gRPC for Python ends the messages of a broken stream like those of a whole one, and cancels the call a moment later
# (0.1 ms, measured).
_MOMENT_SECONDS = 0.01


class Incoming(Generic[Request]):
    """The requests of one call. `read` turns a message into a request that may be handled, or refuses it."""

    def __init__(
        self,
        messages: AsyncIterator[bytes],
        read: Callable[[bytes], Request],
        carry_out: Callable[[Request, Handle[Request]], Awaitable[None]],
    ) -> None:
        self._messages, self._read, self._carry_out = messages, read, carry_out
        self._first: Request | None = None
        self._last: Request | None = None
        self._number = 0

    async def each(self, handle: Handle[Request]) -> Request:
        """Have each request handled in a transaction of its own, and return the last one when the client has ended.

        The first one that is refused ends the call; what was committed before stays. The refusal's metadata tell the
        number of the `message`, 1 for the first. A stream without any is refused.
        """
        async for data in self._messages:
            self._number += 1
            with telemetry.span("message") as span:
                span.set("rpc.message.id", self._number)
                try:
                    request = self._next(data)
                    await self._carry_out(request, handle)
                except Refusal as refusal:
                    refusal.message = f"Message {self._number}: {refusal.message}"
                    refusal.metadata["message"] = str(self._number)
                    raise
            self._last = request
        await asyncio.sleep(_MOMENT_SECONDS)
        if self._last is None:
            raise Refusal(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, "The stream holds no message")
        return self._last

    def _next(self, data: bytes) -> Request:
        request = self._read(data)
        self._first = self._first or request
        for name in _CONSTANT:
            if getattr(request, name, None) != getattr(self._first, name, None):
                raise invalid(name, "must be the same in every message")
        return request
