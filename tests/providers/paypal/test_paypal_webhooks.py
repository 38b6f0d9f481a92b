"""What the server sends is signed as PayPal signs, and can be proved both ways."""

import asyncio
import base64
import json
import zlib
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.providers.paypal import Event, PaypalServer


async def test_a_webhook_is_verified_offline_and_by_the_endpoint(server, merchant):
    await merchant.authorization()
    event = server.events[-1]
    headers = {name.removeprefix("PAYPAL-").lower().replace("-", "_"): v for name, v in event.headers.items()}

    async with merchant.session.get(headers["cert_url"]) as answer:
        key = x509.load_pem_x509_certificate(await answer.read()).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    sent = (
        headers["transmission_id"],
        headers["transmission_time"],
        server.webhook_id,
        zlib.crc32(event.body),
    )
    signature = base64.b64decode(headers["transmission_sig"])
    key.verify(signature, "|".join(map(str, sent)).encode(), padding.PKCS1v15(), hashes.SHA256())

    async def verdict(of: Event, **changed: Any) -> str:
        names = ("transmission-id", "transmission-time", "transmission-sig", "cert-url", "auth-algo")
        body = {name.replace("-", "_"): of.headers[f"PAYPAL-{name.upper()}"] for name in names}
        body |= {"webhook_id": server.webhook_id, "webhook_event": json.loads(of.body)} | changed
        status, answered = await merchant.call("POST", "/v1/notifications/verify-webhook-signature", body)
        assert status == 200
        return str(answered["verification_status"])

    assert await verdict(event) == "SUCCESS"
    assert await verdict(event, webhook_event=json.loads(event.body) | {"event_type": "X"}) == "FAILURE"
    assert await verdict(event, webhook_id="ANOTHER") == "FAILURE"
    assert await verdict(server.forged(event)) == "FAILURE"
    assert await verdict(server.altered(event, status="VOIDED")) == "SUCCESS"
    server.rotate_certificate()
    assert await verdict(server.resigned(event)) == "SUCCESS"


async def test_webhooks_are_delivered_until_they_are_taken():
    taken: list[tuple[str, bytes]] = []

    async def take(request: web.Request) -> web.Response:
        taken.append((request.headers["PAYPAL-TRANSMISSION-ID"], await request.read()))
        return web.Response(status=500 if len(taken) == 1 else 200)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"

    async with PaypalServer(webhook_url=url) as server:
        server.add_payment_token("buyer")
        await asyncio.gather(*server.webhooks.tasks)
        event = server.events[0]
        assert taken == [(event.headers["PAYPAL-TRANSMISSION-ID"], event.body)] * 2

        server.hold_webhooks()
        server.add_payment_token("buyer")
        assert await server.deliver(server.events[1], times=2) == [200, 200]
    await runner.cleanup()
