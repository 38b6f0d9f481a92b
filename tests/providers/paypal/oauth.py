"""Access tokens: client credentials in, bearer tokens out, and they expire."""

import base64
import binascii
import secrets
from datetime import datetime, timedelta

from aiohttp import web

from tests.providers.paypal.book import Book, iso
from tests.providers.paypal.errors import Problem

SCOPE = " ".join(
    f"https://uri.paypal.com/services/{name}"
    for name in (
        "payments/payment/authcapture",
        "payments/refund",
        "disputes/read-seller",
        "reporting/search/read",
    )
)


class Tokens:
    def __init__(self, book: Book, client_id: str, client_secret: str) -> None:
        self.book, self.credentials = book, f"{client_id}:{client_secret}"
        self.seconds = 32_400
        self.valid: dict[str, datetime] = {}

    async def grant(self, request: web.Request) -> web.Response:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        if kind != "Basic" or not secrets.compare_digest(decoded(given), self.credentials):
            return refusal("invalid_client", "Client Authentication failed")
        if (await request.post()).get("grant_type") != "client_credentials":
            return refusal("unsupported_grant_type", "unsupported grant_type", 400)
        token = f"A21AA{secrets.token_urlsafe(48)}"
        self.valid[token] = self.book.now() + timedelta(seconds=self.seconds)
        body = {
            "scope": SCOPE,
            "access_token": token,
            "token_type": "Bearer",
            "app_id": "APP-80W284485P519543T",
            "expires_in": self.seconds,
            "nonce": f"{iso(self.book.now())}{secrets.token_urlsafe(16)}",
        }
        return web.json_response(body)

    def refused(self, request: web.Request) -> web.Response | None:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            return web.json_response(Problem(401).json(), status=401)
        if self.valid.get(token, self.book.now()) <= self.book.now():
            return refusal("invalid_token", "Token signature verification failed")
        return None


def decoded(given: str) -> str:
    try:
        return base64.b64decode(given, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def refusal(error: str, description: str, status: int = 401) -> web.Response:
    return web.json_response({"error": error, "error_description": description}, status=status)
