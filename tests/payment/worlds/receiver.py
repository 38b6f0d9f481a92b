"""Somewhere for webhooks to arrive, and servers on ports of their own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Self

from aiohttp import web

from tests.payment.gateway_kit import Sent


@asynccontextmanager
async def serving(app: web.Application, port: int = 0) -> AsyncIterator[str]:
    """Serve an application meanwhile; its URL."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


class Receiver:
    """Takes every webhook, and keeps it as it came."""

    def __init__(self) -> None:
        self.received: list[Sent] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        self._stack = AsyncExitStack()
        app = web.Application(client_max_size=4 << 20)
        app.router.add_post("/", self._take)
        self.url = await self._stack.enter_async_context(serving(app)) + "/"
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._stack.aclose()

    async def _take(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        self.received.append(Sent(await request.read(), headers))
        return web.Response()
