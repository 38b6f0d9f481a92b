"""Sends what the book has queued until the merchant answers 2xx: at least once, in no promised order."""

import asyncio
import hashlib
import hmac
import logging
import random
import time

import aiohttp

from .alarm import until
from .book import Book, Delivery
from .rules import webhook_delay
from .settings import Settings

CONCURRENT = 16
TIMEOUT_SECONDS = 5.0
# A delivery whose process died is taken up again after this long.
LEASE_SECONDS = TIMEOUT_SECONDS + 1.0

log = logging.getLogger("sandbox.webhooks")


def signature(secret: str, timestamp: int, body: bytes) -> str:
    """The Sandbox-Signature header: t=<Unix seconds>,v1=<hex HMAC-SHA256 of "t.body">."""
    digest = hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


class Sender:
    def __init__(self, book: Book, settings: Settings, bell: asyncio.Event) -> None:
        self._book = book
        self._settings = settings
        self._bell = bell
        self._sending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Sends until cancelled; what is then under way is sent again at the next start."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                while True:
                    free = CONCURRENT - len(self._sending)
                    for delivery in self._book.webhooks_due(time.time(), free, LEASE_SECONDS):
                        task = asyncio.create_task(self._send(http, delivery))
                        self._sending.add(task)
                        task.add_done_callback(self._done)
                    full = len(self._sending) >= CONCURRENT
                    await until(self._bell, None if full else self._book.next_webhook())
            finally:
                for task in self._sending:
                    task.cancel()

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        self._bell.set()

    async def _send(self, http: aiohttp.ClientSession, delivery: Delivery) -> None:
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "Sandbox-Signature": signature(self._settings.webhook_secret, now, delivery.body),
        }
        try:
            url = self._settings.webhook_url
            async with http.post(url, data=delivery.body, headers=headers, allow_redirects=False) as reply:
                problem = None if 200 <= reply.status < 300 else f"answered {reply.status}"
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = type(error).__name__
        if problem is None:
            self._book.webhook_delivered(delivery.row)
            return
        delay = webhook_delay(delivery.attempts, random.uniform(0.8, 1.2))
        self._book.webhook_failed(delivery.row, None if delay is None else time.time() + delay)
        log.log(
            logging.ERROR if delay is None else logging.INFO,
            "webhook %s, attempt %d: %s", delivery.event_id, delivery.attempts, problem,
        )  # fmt: skip
