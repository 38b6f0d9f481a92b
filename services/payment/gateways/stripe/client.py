"""Stripe's SDK over our own pool: it authorizes, encodes and versions; Http bounds, traces and tells silence apart.

Its typed methods turn each answer into objects at ten times the price of reading it; raw requests do without.
"""

import json
import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import stripe

from services.payment.gateways.http import PAGE_BYTES, REPLY_BYTES, Answer, Http
from services.payment.rules.outcomes import NotSent, Unknown
from services.payment.settings import PaymentSettings

# /v1/payment_intents/pi_1/capture; what has no id is a collection, or searches one.
ONE = re.compile(r"(/v1/[a-z_]+)/(?!search$)([^/]+)(/[a-z_]+)?")

stripe.enable_telemetry = False
# Below that it logs requests and replies with all that is in them.
logging.getLogger("stripe").setLevel(logging.WARNING)


class Unanswered(stripe.APIConnectionError):
    """There was no answer; `outcome` says what is known of the request."""

    def __init__(self, outcome: Unknown | NotSent) -> None:
        super().__init__(outcome.cause)  # type: ignore[no-untyped-call]
        self.outcome = outcome


class Body(dict[str, Any]):
    """What Stripe told, and its id of the request."""

    def __init__(self, told: dict[str, Any], request_id: str) -> None:
        super().__init__(told)
        self.request_id = request_id


class Pool(stripe.HTTPClient):
    """Sends the SDK's requests through Http."""

    name = "aiohttp"

    def __init__(self, http: Http, base_url: str) -> None:
        super().__init__()
        self._http, self._base = http, base_url

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: str | None = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        """Ask once. Raises Unanswered."""
        asked = urlsplit(url.removeprefix(self._base))
        one = ONE.fullmatch(asked.path)
        answer = await self._http.ask(
            method.upper(),
            f"{one[1]}/{{id}}{one[3] or ''}" if one else asked.path,
            parts={"id": unquote(one[2])} if one else {},
            query=dict(parse_qsl(asked.query, keep_blank_values=True)),
            headers={**headers, "Accept-Encoding": "identity"},
            form=dict(parse_qsl(post_data or "", keep_blank_values=True)) or None,
            most_bytes=PAGE_BYTES if method == "get" and not one else REPLY_BYTES,
        )
        if not isinstance(answer, Answer):
            raise Unanswered(answer)
        if not 200 <= answer.status < 300 and not isinstance(answer.body.get("error"), dict):
            raise Unanswered(Unknown(f"answered {answer.status}"))
        try:
            return json.dumps(answer.body).encode(), answer.status, answer.headers
        except RecursionError:
            raise Unanswered(Unknown("RecursionError")) from None


class StripeClient:
    """Asks Stripe, once each time: retrying is the driver's."""

    def __init__(self, settings: PaymentSettings) -> None:
        base_url = settings.stripe_url.rstrip("/")
        self._http = Http(
            "stripe", base_url, settings.provider_timeout_seconds, settings.provider_connections
        )
        self._sdk = stripe.StripeClient(
            settings.stripe_secret_key.get_secret_value(),
            base_addresses={"api": base_url},
            http_client=Pool(self._http, base_url),
            max_network_retries=0,
        )

    async def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Return the JSON object at a path. Raises stripe.StripeError."""
        reply = await self._sdk.raw_request_async("get", path, **params)
        return reply.data  # type: ignore[no-any-return]

    async def post(self, path: str, key: str, **params: Any) -> dict[str, Any]:
        """Have something done once under a key; return the JSON object told. Raises stripe.StripeError."""
        reply = await self._sdk.raw_request_async("post", path, idempotency_key=key, **params)
        return Body(reply.data, reply.request_id or "")

    async def close(self) -> None:
        """Close the pool."""
        await self._http.close()
