"""Events sent to the merchant: https://docs.stripe.com/webhooks (signatures, retries, no order promised)."""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass

import aiohttp

from .book import Clock, Event

TRIES = 6
FIRST_PAUSE_SECONDS = 0.05
TIMEOUT_SECONDS = 10.0
AT_ONCE = 8


@dataclass(frozen=True)
class Delivery:
    """One sending of an event: what to POST, byte for byte."""

    body: bytes
    headers: dict[str, str]


def signature(body: bytes, secret: str, timestamp: int) -> str:
    """HMAC-SHA256 of `{timestamp}.{body}` with the endpoint's secret, in hexadecimal."""
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()


class Webhooks:
    def __init__(self, clock: Clock, url: str | None, secret: str, automatic: bool) -> None:
        self.url, self.secret, self.automatic = url, secret, automatic
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(AT_ONCE)
        self._under_way: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS))

    async def close(self) -> None:
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        if self._session:
            await self._session.close()

    def signed(self, event: Event, *, timestamp: int | None = None, secret: str | None = None) -> Delivery:
        at = self._clock.seconds() if timestamp is None else timestamp
        v1 = signature(event.body, secret or self.secret, at)
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            # v0 is a scheme of test events that a receiver must ignore.
            "Stripe-Signature": f"t={at},v1={v1},v0={v1[::-1]}",
        }
        return Delivery(event.body, headers)

    def happened(self, event: Event) -> None:
        if self.automatic and self.url:
            task = asyncio.create_task(self._send_until_taken(event))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def idle(self) -> None:
        while self._under_way:
            await asyncio.gather(*self._under_way)

    async def send(self, event: Event, delivery: Delivery | None = None) -> int:
        """The receiver's status; 0 when it was not reached or did not answer."""
        assert self._session and self.url, "the server is not running, or has no webhook_url"
        sent = delivery or self.signed(event)
        try:
            async with self._session.post(self.url, data=sent.body, headers=sent.headers) as reply:
                status = reply.status
        except (aiohttp.ClientError, TimeoutError):
            status = 0
        event.attempts.append(status)
        return status

    async def _send_until_taken(self, event: Event) -> None:
        """Stripe tries for three days with growing pauses; here a few times within seconds."""
        for attempt in range(TRIES):
            async with self._places:
                status = await self.send(event)
            if 200 <= status < 300:
                return
            await asyncio.sleep(FIRST_PAUSE_SECONDS * 2**attempt)
