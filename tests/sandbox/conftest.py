"""The real process on a free port with a book of its own, and the merchant's side of the webhooks."""

import asyncio
import hashlib
import hmac
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import aiohttp
import pytest
from aiohttp import web

from tests.ports import free_port
from tests.shop import WAIT_SECONDS, eventually

API_KEY = "sandbox-test-key"
SECRET = "sandbox-test-secret"
# Long enough to look at what is not decided yet.
LATE_SECONDS = 2.0


class Reply:
    def __init__(self, status: int, headers: Any, raw: bytes, body: Any) -> None:
        self.status, self.headers, self.raw, self.body = status, headers, raw, body

    @property
    def code(self) -> str:
        return str(self.body["error"]["code"])


class Sandbox:
    """One provider. It may be killed and started again; its book and its port stay."""

    def __init__(self, directory: Path, webhook_url: str = "", **settings: str) -> None:
        self.listen = f"127.0.0.1:{free_port()}"
        self.environment = {
            "COMMERCE_SANDBOX_LISTEN": self.listen,
            "COMMERCE_SANDBOX_BOOK": str(directory / "book.db"),
            "COMMERCE_SANDBOX_API_KEY": API_KEY,
            "COMMERCE_SANDBOX_WEBHOOK_URL": webhook_url,
            "COMMERCE_SANDBOX_WEBHOOK_SECRET": SECRET,
            "COMMERCE_SANDBOX_LATE_SECONDS": str(LATE_SECONDS),
            **{f"COMMERCE_SANDBOX_{name.upper()}": value for name, value in settings.items()},
        }
        self.log = directory / "sandbox.log"
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "services.sandbox"],
                env={**os.environ, **self.environment},
                stderr=log,
            )
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                with urlopen(f"http://{self.listen}/healthz", timeout=1):
                    return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL: no handler, no flush, no goodbye."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(timeout=WAIT_SECONDS)


class Merchant:
    """A client with the API key."""

    def __init__(self, http: aiohttp.ClientSession, sandbox: Sandbox) -> None:
        self.http, self.sandbox = http, sandbox

    async def send(self, verb: str, path: str, headers: dict[str, str], **rest: Any) -> Reply:
        url = f"http://{self.sandbox.listen}{path}"
        async with self.http.request(verb, url, headers=headers, **rest) as reply:
            raw = await reply.read()
            body = await reply.json() if reply.content_type == "application/json" else None
            return Reply(reply.status, reply.headers, raw, body)

    async def get(self, path: str) -> Reply:
        return await self.send("GET", path, {"Authorization": f"Bearer {API_KEY}"})

    async def post(
        self, path: str, body: Any, key: str | None = None, timeout: float = WAIT_SECONDS
    ) -> Reply:
        headers = {"Authorization": f"Bearer {API_KEY}", "Idempotency-Key": key or new_key()}
        limit = aiohttp.ClientTimeout(total=timeout)
        return await self.send("POST", path, headers, json=body, timeout=limit)

    async def charge(
        self, method: str = "ok", key: str | None = None, timeout: float = WAIT_SECONDS, **changed: Any
    ) -> Reply:
        return await self.post("/v1/charges", wanted(method, **changed), key, timeout)

    async def captured(self, method: str = "ok", amount: int = 1999, **changed: Any) -> Any:
        """A charge of 1999 of which an amount is captured."""
        charge = (await self.charge(method, **changed)).body
        path = f"/v1/charges/{charge['id']}/capture"
        return (await self.post(path, {"amount_minor_units": amount})).body

    async def silence(self, method: str, key: str) -> "asyncio.Task[Reply]":
        """A charge that has come to the provider, which does not answer it."""
        asking = asyncio.create_task(self.charge(method, key=key))
        # They are taken in turn: what came before these are answered has come, however slow the machine.
        for _ in range(5):
            await self.get("/healthz")
        assert not asking.done()
        return asking

    async def becomes(self, path: str, **wanted: Any) -> Any:
        """What is found there, once it is so."""

        async def found() -> Any:
            body = (await self.get(path)).body
            return body if body.items() >= wanted.items() else None

        return await eventually(found)

    async def operation(self, key: str) -> Reply:
        return await self.get(f"/v1/operations/{key}")

    async def book(self) -> list[Any]:
        charges = (await self.get("/v1/book")).body["charges"]
        assert isinstance(charges, list)
        return charges

    async def booked(self, charge_id: str) -> Any:
        return next(charge for charge in await self.book() if charge["id"] == charge_id)


class Receiver:
    """Takes webhooks, checks each signature, and answers what the test says (200 when it says nothing)."""

    def __init__(self) -> None:
        self.url = ""
        self.events: list[dict[str, Any]] = []
        self.arrivals: list[float] = []
        self.answers: list[int] = []

    async def has(self, *types: str) -> list[dict[str, Any]]:
        """The events, once there is one of each of these types."""

        async def came() -> bool:
            return {event["type"] for event in self.events} >= set(types)

        await eventually(came)
        return [next(event for event in self.events if event["type"] == type_) for type_ in types]

    async def receive(self, request: web.Request) -> web.Response:
        raw = await request.read()
        match = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", request.headers["Sandbox-Signature"])
        assert match is not None and abs(int(match[1]) - time.time()) < 5
        expected = hmac.new(SECRET.encode(), match[1].encode() + b"." + raw, hashlib.sha256).hexdigest()
        assert match[2] == expected
        self.events.append(await request.json())
        self.arrivals.append(time.monotonic())
        return web.Response(status=self.answers.pop(0) if self.answers else 200)


def new_key() -> str:
    return str(uuid.uuid4())


def wanted(method: str = "ok", **changed: Any) -> dict[str, Any]:
    """The body of a charge; a field that is changed to None is left out."""
    body = {
        "amount_minor_units": 1999,
        "currency_code": "EUR",
        "payment_method": f"pm_sandbox_{method}",
        "reference": "order-1",
        **changed,
    }
    return {name: value for name, value in body.items() if value is not None}


@pytest.fixture(scope="module")
def shared_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield sandbox
    assert sandbox.stop() == 0
    assert '"level": "error"' not in sandbox.log.read_text()


@pytest.fixture
async def merchant(shared_sandbox: Sandbox) -> AsyncIterator[Merchant]:
    async with aiohttp.ClientSession() as http:
        yield Merchant(http, shared_sandbox)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    app = web.Application()
    app.router.add_post("/webhooks", receiver.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/webhooks"
    yield receiver
    await runner.cleanup()


@pytest.fixture
async def open_sandbox(tmp_path: Path) -> AsyncIterator[Any]:
    """Makes a merchant with a provider of its own, which the test may kill."""
    opened: list[Sandbox] = []
    async with aiohttp.ClientSession() as http:

        def open_one(webhook_url: str = "", **settings: str) -> Merchant:
            opened.append(Sandbox(tmp_path, webhook_url, **settings))
            return Merchant(http, opened[-1])

        yield open_one
    for sandbox in opened:
        sandbox.kill()
