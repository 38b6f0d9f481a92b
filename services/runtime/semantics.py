"""What spans say in the words of OpenTelemetry's semantic conventions, so that any tool understands them.

Each function returns attributes that are the same on every span of their kind: they are made once, and never copied.
"""

import re
from collections.abc import Mapping
from functools import cache
from urllib.parse import parse_qs, unquote, urlsplit

from services.runtime.telemetry import Value

Attributes = Mapping[str, Value]

# A step of a statement and its table, which a lock, an upsert's SET and a function's rows do not have.
_STEP = re.compile(
    r"\b(?P<verb>INSERT INTO|DELETE FROM|(?<!FOR )(?<!KEY )UPDATE(?! SET\b)|SELECT|FROM|JOIN)\b"
    r'(?:\s+(?!LATERAL\b)"?(?P<table>\w+)"?(?!\w|"?\())?'
)
_DEFINED = re.compile(r'"?(\w+)"?(?:\([^)]*\))?\s+AS\s+(?:(?:NOT )?MATERIALIZED\s*)?\(')
_SUMMARY_LIMIT = 255


@cache
def rpc(method: str) -> Attributes:
    """An RPC, by its full name: "pkg.Service/Method"."""
    return {"rpc.system.name": "grpc", "rpc.method": method}


def server(address: str) -> Attributes:
    """Who is asked, by host:port; of several, or where that is no address, it cannot be told who."""
    plain = address.removeprefix("dns:///")
    parts = urlsplit(plain if "://" in plain else f"//{plain}")
    if not parts.hostname or "," in parts.netloc:
        return {}
    port = parts.port
    return {"server.address": parts.hostname, **({"server.port": port} if port else {})}


def database(dsn: str) -> Attributes:
    """A service's own schema, which has the name of its role, in a database of PostgreSQL."""
    parts = urlsplit(dsn)
    namespace = "|".join(unquote(name) for name in (parts.path.strip("/"), parts.username) if name)
    # A socket in the file system is named beside the rest.
    sockets = parse_qs(parts.query).get("host", [])
    where = {"server.address": sockets[0]} if len(sockets) == 1 else server(dsn)
    return {"db.system.name": "postgresql", "db.namespace": namespace, **where}


def query(sql: str) -> Attributes:
    """A statement: its text has no values in it."""
    summary = summary_of(sql)
    return {
        "db.operation.name": summary.partition(" ")[0],
        "db.query.summary": summary,
        "db.query.text": sql,
    }


def summary_of(sql: str) -> str:
    """Return what a statement does, in its order, and to which tables: "INSERT orders SELECT customers"."""
    defined = set(_DEFINED.findall(sql))
    words: list[str] = []
    verb = ""
    for step in _STEP.finditer(sql):
        if step["verb"] not in ("FROM", "JOIN"):
            verb = step["verb"].split()[0]
        if step["table"] and step["table"] not in defined and step["verb"] != "SELECT":
            word = f"{verb} {step['table']}".strip()
            verb = ""
            if not words or word != words[-1]:
                words.append(word)
    return _cut(words) or sql.split(None, 1)[0]


def _cut(words: list[str]) -> str:
    summary = ""
    for word in words:
        if len(summary) + 1 + len(word) > _SUMMARY_LIMIT:
            break
        summary = f"{summary} {word}"
    return summary.lstrip()


@cache
def published(event: str) -> Attributes:
    """An event that goes out: JetStream's subject is its full name."""
    return {**_of_messages(event), "messaging.operation.name": "publish", "messaging.operation.type": "send"}


@cache
def processed(event: str, consumer: str) -> Attributes:
    """An event that takes effect, in the consumer of a service."""
    return {
        **_of_messages(event),
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": consumer,
    }


def _of_messages(event: str) -> Attributes:
    return {"messaging.system": "nats", "messaging.destination.name": event}


@cache
def request(verb: str, base: str, route: str) -> Attributes:
    """An HTTP request below a base URL. What its path names, a customer or a payment, no trace tells."""
    return {
        "http.request.method": verb,
        "url.full": base + re.sub(r"\{\w+\}", "REDACTED", route),
        "url.template": route,
        **server(base),
    }
