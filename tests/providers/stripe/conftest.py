"""A local Stripe, clients of it by Stripe's own SDK, and a merchant that takes webhooks."""

import aiohttp
import pytest
import stripe
from aiohttp import web

from tests.providers.stripe.asks import KEY, SECRET
from tests.providers.stripe.server import StripeServer


class Merchant:
    """A merchant's webhook address, which takes events or refuses the first few."""

    def __init__(self):
        self.taken, self.refuse, self.url = [], 0, ""

    async def receive(self, request):
        body, signature = await request.read(), request.headers["Stripe-Signature"]
        if self.refuse:
            self.refuse -= 1
            return web.Response(status=503)
        self.taken.append(stripe.Webhook.construct_event(body, signature, SECRET))
        return web.Response()


@pytest.fixture
async def merchant():
    merchant = Merchant()
    app = web.Application()
    app.router.add_post("/hook", merchant.receive)
    runner = web.AppRunner(app, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    merchant.url = f"http://{host}:{port}/hook"
    yield merchant
    await runner.cleanup()


@pytest.fixture
async def server():
    async with StripeServer(webhook_secret=SECRET, api_key=KEY) as server:
        yield server


@pytest.fixture
async def connect():
    opened = []

    def connect(server, key=KEY, timeout=5.0):
        http = stripe.AIOHTTPClient(timeout=aiohttp.ClientTimeout(total=timeout))
        opened.append(http)
        return stripe.StripeClient(
            key, base_addresses={"api": server.url}, http_client=http, max_network_retries=0
        )

    yield connect
    for http in opened:
        await http.close_async()


@pytest.fixture
def client(server, connect):
    return connect(server)
