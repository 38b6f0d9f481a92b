"""Misbehaviour on demand: for the next so many requests whose path matches."""

import asyncio
import re
from dataclasses import dataclass, field
from enum import StrEnum

from aiohttp import web


class Fault(StrEnum):
    SILENT_BEFORE = "never answers, nothing was done"
    SILENT_AFTER = "never answers, it was done"
    HANG_UP_BEFORE = "closes the connection, nothing was done"
    HANG_UP_AFTER = "closes the connection, it was done"
    SERVER_ERROR = "500, nothing was done"
    SERVER_ERROR_AFTER = "500, though it was done"
    RATE_LIMITED = "429, nothing was done"
    SLOW = "waits, then does it and answers"
    MALFORMED = "does it, answers half of the JSON"
    HUGE = "does it, answers many megabytes"


BEFORE = {Fault.SILENT_BEFORE, Fault.HANG_UP_BEFORE, Fault.SERVER_ERROR, Fault.RATE_LIMITED}


@dataclass
class Rule:
    """One misbehaviour. `await rule.reached.wait()` returns when a request has met it."""

    fault: Fault
    path: re.Pattern[str]
    method: str | None
    left: int
    seconds: float
    megabytes: int
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def fits(self, method: str, path: str) -> bool:
        return self.left > 0 and self.method in (None, method) and self.path.search(path) is not None


class Faults:
    def __init__(self) -> None:
        self.rules: list[Rule] = []
        # Set when the server ends, so that nobody is kept waiting for what never comes.
        self.ended = asyncio.Event()

    def take(self, method: str, path: str) -> Rule | None:
        for rule in self.rules:
            if rule.fits(method, path):
                rule.left -= 1
                return rule
        return None

    async def silence(self, request: web.Request) -> web.StreamResponse:
        await self.ended.wait()
        return hang_up(request)

    async def wait(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self.ended.wait(), seconds)
        except TimeoutError:
            return
        raise asyncio.CancelledError("the server ended")


def hang_up(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def halved(response: web.Response) -> web.Response:
    body = response.body if isinstance(response.body, bytes) else b""
    half = body[: len(body) // 2] or b'{"id": "'
    return web.Response(status=response.status, body=half, content_type="application/json")


async def huge(request: web.Request, status: int, megabytes: int) -> web.StreamResponse:
    """Valid JSON, were one to read it all."""
    response = web.StreamResponse(status=status, headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        await response.write(b'{"id": "')
        for _ in range(megabytes * 16):
            await response.write(b"A" * 65536)
        await response.write(b'"}')
    except ConnectionError:
        pass  # The client had seen enough.
    return response
