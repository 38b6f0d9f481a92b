"""HTTP to providers: bounded in time, in size and in number; whatever is no answer is Unknown, or NotSent.

Of the JSON that they send, whatever is in it, a text can be stored, and sent on.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp

from services.payment.rules.outcomes import NotSent, Unknown, Words
from services.runtime import semantics, telemetry

REPLY_BYTES = 64 << 10
PAGE_BYTES = 8 << 20
KEYS = re.compile(r"\b(?:[rsp]k_(?:live|test)|whsec)_\w+|\bBearer \S+", re.ASCII)
# Where Stripe and the sandbox, PayPal (which does so in errors, too) and others name the request for their support.
REQUEST_IDS = ("request-id", "paypal-debug-id", "x-request-id")


# Stands for what is no character: half of a surrogate pair, a NUL (PostgreSQL stores none), bytes that are no UTF-8.
NO_CHARACTER = "\ufffd"


class Answer(NamedTuple):
    """What a provider answered: a JSON object, empty where the body was."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def words(self) -> Words:
        """What it says to people, where it is an error, and the provider's own id of the request."""
        ids = [self.headers.get(name) for name in REQUEST_IDS]
        return Words(_said(self.body), str(next(filter(None, [*ids, self.body.get("debug_id")]), "")))


class Http:
    """One pool of connections to one provider. Redirects are not followed."""

    def __init__(self, code: str, base_url: str, timeout_seconds: float, connections: int) -> None:
        """`code` is the gateway's, as traces name it."""
        self._code, self._base, self._timeout_seconds = code, base_url.rstrip("/"), timeout_seconds
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections),
            timeout=aiohttp.ClientTimeout(total=timeout_seconds),
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def ask(
        self,
        verb: str,
        route: str,
        *,
        parts: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        form: Mapping[str, str] | None = None,
        most_bytes: int = REPLY_BYTES,
        timeout_seconds: float | None = None,
    ) -> Answer | Unknown | NotSent:
        """Ask once.

        `route` is the path with {names} of its `parts`, which traces do not show; `body` is sent as JSON.
        """
        path = route.format_map({name: quote(part, safe="") for name, part in (parts or {}).items()})
        attributes = semantics.request(verb, self._base, route)
        with telemetry.span(f"{verb} {self._code} {route}", kind="client", attributes=attributes) as span:
            sent = {**(headers or {}), "traceparent": span.trace.traceparent}
            try:
                async with self._session.request(
                    verb,
                    self._base + path,
                    params=query,
                    headers=sent,
                    json=body,
                    data=form,
                    timeout=aiohttp.ClientTimeout(total=timeout_seconds or self._timeout_seconds),
                    allow_redirects=False,
                ) as reply:
                    span.set("http.response.status_code", reply.status)
                    raw = await _bounded(reply, most_bytes)
                answer = read_json(raw) if raw.strip() else {}
            except aiohttp.ClientConnectorError as error:
                span.fail(type(error).__name__)
                return NotSent(type(error).__name__)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError, RecursionError) as error:
                span.fail(type(error).__name__)
                return Unknown(type(error).__name__)
            is_object = isinstance(answer, dict)
            told = Answer(reply.status, answer if is_object else {}, reply.headers)
            if not is_object or reply.status >= 400:
                # A refusal is an error to whoever looks at traces; to whoever asked it is an answer.
                span.fail(str(reply.status))
            if not is_object or reply.status >= 500:
                return Unknown(f"answered {reply.status}", told.words)
            return told

    async def fetch(self, name: str, url: str, most_bytes: int = REPLY_BYTES) -> bytes | Unknown | NotSent:
        """Fetch a public document, which need not be JSON nor at the base URL; `name` is what traces show."""
        # Some URLs come with a message, as whoever sent it likes: of those nothing is remembered, and no path is told.
        with telemetry.span(f"GET {self._code} {name}", kind="client") as span:
            span.set("http.request.method", "GET")
            for key, value in semantics.server(url).items():
                span.set(key, value)
            try:
                async with self._session.get(url, allow_redirects=False) as reply:
                    span.set("http.response.status_code", reply.status)
                    raw = await _bounded(reply, most_bytes)
            except aiohttp.ClientConnectorError as error:
                span.fail(type(error).__name__)
                return NotSent(type(error).__name__)
            except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
                span.fail(type(error).__name__)
                return Unknown(type(error).__name__)
            if reply.status != 200:
                span.fail(str(reply.status))
                return Unknown(f"answered {reply.status}")
            return raw

    async def close(self) -> None:
        """Close the pool."""
        await self._session.close()


def _said(body: Mapping[str, Any]) -> str:
    """Return an error's message: within `error`, or beside `details` that say more."""
    error = body.get("error")
    inner = error if isinstance(error, dict) else body
    details = inner.get("details")
    more = details[0].get("description") if isinstance(details, list) and _is_object(details[:1]) else None
    return unkeyed(" ".join(text for text in (inner.get("message"), more) if isinstance(text, str)))


def unkeyed(text: str) -> str:
    """Return a provider's words without keys: one that is wrong is quoted by whom it was shown to."""
    return KEYS.sub("…", text)


def _is_object(values: list[Any]) -> bool:
    return bool(values) and isinstance(values[0], dict)


async def _bounded(reply: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """Read a body, but not without bound. Raises ValueError."""
    raw = b""
    async for chunk in reply.content.iter_any():
        raw += chunk
        if len(raw) > most_bytes:
            raise ValueError("the reply is too large")
    return raw


def read_json(body: bytes) -> Any:
    """Return what a body says. Raises ValueError or RecursionError."""
    text = body.decode("utf-8-sig", errors="replace")
    read = json.loads(text)
    return _storable(read) if "\\u" in text else read


def is_whole(text: str) -> bool:
    """Tell whether every character of a text is one, as an id's must be."""
    return NO_CHARACTER not in text


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="surrogatepass").decode(errors="replace").replace("\0", NO_CHARACTER)
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list) else value
