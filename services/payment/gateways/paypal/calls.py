"""Calls to PayPal's REST API, with an access token that is fetched, kept and renewed here."""

import asyncio
import base64
import re
import time
from dataclasses import replace
from typing import Any

from services.payment.gateways.http import Answer, Http
from services.payment.rules.outcomes import DISPUTED, NotSent, Outcome, Refused, Told, Unknown, Words
from services.payment.settings import PaymentSettings

TOKEN = re.compile(r"[\x21-\x7e]{1,8000}")
ISSUE = re.compile(r"[A-Z0-9_]{1,100}")
# So long before its end a token is not used any more.
SPARE_SECONDS = 60
# The operation may have been done, only not by this request: look.
NOT_FINAL = {
    "DUPLICATE_INVOICE_ID",
    "DUPLICATE_REQUEST_ID",
    "DUPLICATE_TRANSACTION",
    "ORDER_ALREADY_AUTHORIZED",
    "ORDER_ALREADY_CAPTURED",
    "ORDER_ALREADY_COMPLETED",
    "ORDER_COMPLETED_OR_VOIDED",
    "PREVIOUS_REQUEST_IN_PROGRESS",
}
# A refund has to wait until it is decided whose the money is.
DISPUTES = ("REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK", "TRANSACTION_DISPUTED")
# What an issue says of the charge, in our words.
CHARGE = {
    "AUTHORIZATION_ALREADY_CAPTURED": "captured",
    "AUTHORIZATION_DENIED": "declined",
    "AUTHORIZATION_EXPIRED": "expired",
    "AUTHORIZATION_VOIDED": "voided",
    "CAPTURE_FULLY_REFUNDED": "refunded",
    "ORDER_EXPIRED": "expired",
    "ORDER_NOT_APPROVED": "requires_action",
    "PREVIOUSLY_CAPTURED": "captured",
    "PREVIOUSLY_VOIDED": "voided",
}


class Calls:
    """Asks PayPal as us."""

    def __init__(self, settings: PaymentSettings, http: Http) -> None:
        self._http = http
        pair = f"{settings.paypal_client_id.get_secret_value()}:{settings.paypal_client_secret.get_secret_value()}"
        self._basic = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._token, self._usable_until = "", 0.0
        self._fetching: asyncio.Task[str | NotSent] | None = None

    async def ask(
        self, verb: str, route: str, *, key: str = "", **options: Any
    ) -> Answer | Unknown | NotSent:
        """Ask as `Http.ask` does, with `key` as the request's id; a token that is not taken is renewed once."""
        answer: Answer | Unknown | NotSent = NotSent("unauthorized")
        for _ in range(2):
            token = await self._kept()
            if isinstance(token, NotSent):
                return token
            headers = {"Authorization": f"Bearer {token}", "Prefer": "return=representation"}
            if key:
                headers["PayPal-Request-Id"] = key
            answer = await self._http.ask(verb, route, headers=headers, **options)
            if not isinstance(answer, Answer) or answer.status != 401:
                return answer
            if token == self._token:
                self._token = ""
        return NotSent("unauthorized")

    async def close(self) -> None:
        """Give up a token that is being fetched."""
        if self._fetching is not None:
            self._fetching.cancel()

    async def _kept(self) -> str | NotSent:
        """Return the token; whoever needs one while it is fetched waits for the same."""
        if self._token and time.monotonic() < self._usable_until:
            return self._token
        if self._fetching is None or self._fetching.done():
            self._fetching = asyncio.create_task(self._fetched())
        return await asyncio.shield(self._fetching)

    async def _fetched(self) -> str | NotSent:
        answer = await self._http.ask(
            "POST",
            "/v1/oauth2/token",
            headers={"Authorization": self._basic},
            form={"grant_type": "client_credentials"},
        )
        if not isinstance(answer, Answer) or answer.status != 200:
            return NotSent("no token")
        token, seconds = answer.body.get("access_token"), answer.body.get("expires_in")
        if not isinstance(token, str) or not TOKEN.fullmatch(token) or type(seconds) is not int:
            return NotSent("no token")
        self._token = token
        self._usable_until = time.monotonic() + max(seconds - SPARE_SECONDS, seconds / 2)
        return token


def issue_of(answer: Answer) -> str:
    """Return the first issue of an error, or its name; "" where it is no error of PayPal's."""
    details = answer.body.get("details")
    detail = details[0] if isinstance(details, list) and details else None
    issue = detail.get("issue") if isinstance(detail, dict) else None
    issue = issue or answer.body.get("name")
    return issue if isinstance(issue, str) and ISSUE.fullmatch(issue) else ""


def refused(answer: Answer, charge: str = "") -> Refused | Unknown | NotSent:
    """Return what an error means: whatever does not say that nothing was done is Unknown."""
    issue = issue_of(answer)
    if answer.status == 403 and issue in ("", "NOT_AUTHORIZED"):
        return NotSent("forbidden", answer.words)
    if answer.status not in (400, 403, 404, 422) or not issue or issue in NOT_FINAL:
        return Unknown(f"answered {answer.status} {issue}".strip(), answer.words)
    code = DISPUTED if issue in DISPUTES else issue.lower()
    return Refused(code, CHARGE.get(issue, charge), answer.words)


def answered(outcome: Outcome, answer: Answer) -> Outcome:
    """Return an outcome with the name of the request that it came of, where it is a failure."""
    if isinstance(outcome, Told):
        return outcome
    return replace(outcome, words=Words(outcome.words.message, answer.words.request_id))
