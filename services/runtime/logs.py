"""JSON logs on stderr, one line each: ts, level, event, service, trace_id, then what the caller adds.

The standard library's loggers (grpc, nats, alembic, aiohttp, asyncio) come out in the same shape. Secrets
and personal data are dropped by the name of their key; card numbers are masked wherever they stand. An exception
says its type and where it went, with what is quoted in its text masked: such text may hold what a caller sent.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable
from functools import lru_cache
from types import TracebackType
from typing import Any, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from services.runtime import cards, telemetry, times

log: FilteringBoundLogger = structlog.get_logger()

# A key is dropped when these are among its words, in snake_case or camelCase.
SECRET = re.compile(
    r"""(?:^|_)(?:
        authorization | cookie | credential | dsn | jwt | passphrase | passwd | password | secret | signature
      | token | api_?key | private_key
      | payment_method | card | cvc | cvv | iban | pan
      | email | phone | full_name | recipient | delivery_address
    )s?(?:_|$)""",
    re.VERBOSE,
)
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|[^\s@]+@[^\s@]+|\d{9,}")
TEXT_LIMIT = 1000
FRAMES_LIMIT = 12
DEPTH_LIMIT = 4
# They say at INFO what our own lines and spans say already.
QUIET = ("aiohttp.access", "alembic.runtime.plugins", "httpx", "nats")

ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def configure(service: str, level: str = "INFO") -> None:
    """Sends every log line of the process to stderr, from `level` up ("DEBUG" … "CRITICAL")."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _exception,
            _shape(service),
            _line,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=Stderr,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers[:] = [FromStandardLibrary()]
    root.setLevel(number)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


class Stderr:
    """Where structlog's lines end."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, line: str) -> None:
        sys.stderr.write(line)
        sys.stderr.flush()

    debug = info = warning = error = critical = fatal = log = msg


class FromStandardLibrary(logging.Handler):
    """Turns a record of the standard library into one of our lines."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            added: dict[str, Any] = {"logger": record.name}
            if record.exc_info and record.exc_info[0] is not None:
                added["exc_info"] = record.exc_info
            log.log(record.levelno, record.getMessage(), **added)
        except Exception:
            self.handleError(record)


def redact(fields: EventDict, depth: int = 0) -> EventDict:
    """The fields without those whose names speak of secrets or persons, long texts cut."""
    return {cards.masked(key): _plain(value, depth) for key, value in fields.items() if not _is_secret(key)}


@lru_cache(maxsize=1024)
def _is_secret(key: str) -> bool:
    return SECRET.search("_".join(WORDS.findall(key)).lower()) is not None


def _plain(value: object, depth: int) -> object:
    if isinstance(value, str):
        text = cards.masked(value)
        return text if len(text) <= TEXT_LIMIT else text[:TEXT_LIMIT] + "…"
    if value is None or isinstance(value, bool | int | float):
        return cards.masked(str(value)) if cards.is_one(value) else value
    if depth >= DEPTH_LIMIT:
        return "…"
    if isinstance(value, dict):
        return redact({str(key): item for key, item in value.items()}, depth + 1)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, BaseException):
        return describe(value)
    return _plain(str(value), depth)


def describe(error: BaseException) -> str:
    """One line of an exception: its type, and the first line of its text with quoted values masked."""
    text = next(iter(str(error).splitlines()), "")
    masked = QUOTED.sub("'…'", text[:200])
    return f"{type(error).__qualname__}: {masked}" if masked else type(error).__qualname__


def _exception(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
    given = fields.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()[1]
    elif isinstance(given, tuple):
        given = cast(ExceptionInfo, given)[1]
    if isinstance(given, BaseException):
        fields["exception"] = _causes(given)
    return fields


def _causes(error: BaseException | None) -> list[dict[str, object]]:
    """The exception and what it came from, each with where it went: "file:line function", innermost last."""
    found: list[dict[str, object]] = []
    while error is not None and len(found) < DEPTH_LIMIT:
        frames = traceback.extract_tb(error.__traceback__)[-FRAMES_LIMIT:]
        where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        found.append({"error": describe(error), "frames": where})
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return found


def _shape(service: str) -> Callable[[WrappedLogger, str, EventDict], EventDict]:
    def shape(_: WrappedLogger, __: str, fields: EventDict) -> EventDict:
        first: EventDict = {
            "ts": times.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": fields.pop("level"),
            "event": _plain(fields.pop("event"), 0),
            "service": service,
        }
        if (trace := telemetry.current()) is not None:
            first["trace_id"] = trace.trace_id
        return {**first, **redact(fields)}

    return shape


def _line(_: WrappedLogger, __: str, fields: EventDict) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"
