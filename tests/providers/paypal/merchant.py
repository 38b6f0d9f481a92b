"""A plain client of the server, as a merchant would write one by the documentation."""

import json
from typing import Any
from uuid import uuid4

import aiohttp

from tests.providers.paypal import Event, PaypalServer

RETURNS = {"return_url": "https://shop.test/back?cart=1", "cancel_url": "https://shop.test/no"}
WALLET = {"paypal": {"experience_context": RETURNS}}
ORDERS = "/v2/checkout/orders"


class Merchant:
    """A plain client: what a merchant's server would send, and nothing cleverer."""

    def __init__(self, server: PaypalServer) -> None:
        self.server = server
        self.session = aiohttp.ClientSession(server.url)
        self.token = ""

    async def sign_in(self) -> Any:
        status, granted = await self.ask_token(self.server.client_id, self.server.client_secret)
        assert status == 200, granted
        self.token = granted["access_token"]
        return granted

    async def ask_token(self, client_id: str, client_secret: str) -> tuple[int, Any]:
        headers = {"Authorization": aiohttp.encode_basic_auth(client_id, client_secret)}
        form = {"grant_type": "client_credentials"}
        async with self.session.post("/v1/oauth2/token", headers=headers, data=form) as answer:
            return answer.status, await answer.json()

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, whole: bool = True
    ) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        if whole:
            headers["Prefer"] = "return=representation"
        if key:
            headers["PayPal-Request-Id"] = key
        if method == "POST" and body is None:
            body = {}
        async with self.session.request(method, path, json=body, headers=headers) as answer:
            return answer.status, json.loads(await answer.read() or b"null")

    async def order(self, value="100.00", currency="EUR", intent="AUTHORIZE", source=WALLET, **unit) -> Any:
        amount = {"currency_code": currency, "value": value}
        body = {"intent": intent, "purchase_units": [{"amount": amount, **unit}], "payment_source": source}
        status, order = await self.call("POST", ORDERS, body, key=str(uuid4()))
        assert status == 201, order
        return order

    async def authorization(self, value="100.00", **unit) -> Any:
        order = await self.order(value, **unit)
        self.server.approve(order["id"])
        status, paid = await self.call("POST", f"{ORDERS}/{order['id']}/authorize", key=str(uuid4()))
        assert status == 201, paid
        return paid["purchase_units"][0]["payments"]["authorizations"][0]

    async def step(
        self, kind: str, of: str, step: str, value: str | None = None, **fields: Any
    ) -> tuple[int, Any]:
        amount = {"amount": {"currency_code": "EUR", "value": value}} if value else {}
        key = fields.pop("key", None) or str(uuid4())
        return await self.call("POST", f"/v2/payments/{kind}/{of}/{step}", amount | fields, key=key)


def issue(body: Any) -> str:
    found: str = body["details"][0]["issue"]
    return found


def kinds(events: list[Event]) -> list[str]:
    return [event.event_type for event in events]
