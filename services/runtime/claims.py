"""What an access token may say (RFC 7519, RFC 9068), read as strictly as the gateway reads it."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import ClaimError, ExpiredTokenError

from services.runtime import times
from services.runtime.callers import Caller, unauthenticated
from services.runtime.contract import ROLES

ISSUER = AUDIENCE = "commerce"
LEEWAY_SECONDS = 5
# The end of the year 9999: no RFC 3339 time is later.
_LAST_SECOND = 253_402_300_799
# Providers nest two or three deep; Envoy stops at 100.
_DEEPEST = 32
_LONGEST_SUBJECT = 255
_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_TYPES = ("jwt", "at+jwt", "application/jwt", "application/at+jwt")
# Where providers say in a claim what kind of token it is, and what an access token is called there.
_KINDS = {"typ": (*_TYPES, "bearer"), "token_use": ("access",)}
# A header that names its own key, or wants to be understood in a way that we do not know.
_UNTRUSTED = ("crit", "b64", "jwk", "jku", "x5u", "x5c")
UNREADABLE = "the token is unreadable, or not signed by a key that we know"
_FOREIGN = "the token was issued by, or for, somebody else"
_NOT_YET = "the token is not valid yet, or has a time that is none"
EXPIRED = "the token has expired"
# By the claim that is missing or wrong; the first of them is told.
_CAUSES = {
    "iss": _FOREIGN,
    "aud": _FOREIGN,
    "exp": "the token lacks an expiry, or has a time that is none",
    "nbf": _NOT_YET,
    "iat": _NOT_YET,
    "sub": "the token lacks a subject",
    "jti": UNREADABLE,
}
_REGISTERED = jwt.JWTClaimsRegistry(
    now=lambda: int(times.signed_now()),
    leeway=LEEWAY_SECONDS,
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": AUDIENCE},
    exp={"essential": True},
    sub={"essential": True},
)


def read_object(data: bytes) -> dict[str, Any]:
    """Read a JSON object: UTF-8, finite numbers, each member once, not too deep. Raises ValueError."""
    try:
        value = _STRICT.decode(data.decode())
    except RecursionError:
        raise ValueError("nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError("no object")
    _check_depth(value)
    json.dumps(value, ensure_ascii=False).encode()  # Half of a surrogate pair is no character.
    return value


def check_header(header: Mapping[str, Any]) -> None:
    """Refuse a header that is not of an access token of ours."""
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise unauthenticated("the token is no access token")
    if any(name in header for name in _UNTRUSTED):
        raise unauthenticated(UNREADABLE)


def caller_of(claims: Mapping[str, Any], key: str) -> Caller:
    """Return who a token speaks for that was signed with a key, or refuse it with the cause."""
    _check_registered(claims)
    _check_kind(claims)
    expires = _expiry(claims)
    role, subject = claims.get("role"), claims.get("sub")
    if role not in ROLES.values() or role == ROLES[0] or not _is_name(subject):
        raise unauthenticated("the token lacks a role, or a subject that can be read")
    store, customer = _id(claims, "store_id"), _id(claims, "customer_id")
    if "store_id" in needed(str(role)) and not store:
        raise unauthenticated("the token's role needs a store_id")
    if "customer_id" in needed(str(role)) and not customer:
        raise unauthenticated("a customer's token needs a customer_id")
    return Caller(str(subject), str(role), store, customer, expires, key)


def needed(role: str) -> tuple[str, ...]:
    """Return the claims without which a token of a role speaks for nobody."""
    if role in ("PLATFORM_ADMIN", "SERVICE"):
        return ()
    return ("store_id", "customer_id") if role == "CUSTOMER" else ("store_id",)


def _check_registered(claims: Mapping[str, Any]) -> None:
    """Check what RFC 7519 registers. Whether a token has expired is asked again at each call."""
    try:
        _REGISTERED.validate(dict(claims))
    except ExpiredTokenError:
        raise unauthenticated(EXPIRED) from None
    except ClaimError as error:
        named = str(error.claim).split(",")  # All that are missing, by name.
        raise unauthenticated(next(_CAUSES[name] for name in _CAUSES if name in named)) from None


def _check_kind(claims: Mapping[str, Any]) -> None:
    for name, kinds in _KINDS.items():
        value = claims.get(name, kinds[0])
        if not isinstance(value, str) or value.lower() not in kinds:
            raise unauthenticated("the token is no access token")


def _expiry(claims: Mapping[str, Any]) -> float:
    """Return when a token expires. A time is refused that no calendar has."""
    named = [claims[name] for name in ("exp", "nbf", "iat") if name in claims]
    if not all(0 <= seconds <= _LAST_SECOND for seconds in named):
        raise unauthenticated(_CAUSES["exp"])
    return float(claims["exp"])


def _is_name(value: object) -> bool:
    """A subject is written into the timelines of orders."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_SUBJECT and value.isprintable()


def _id(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or not (value == "" or _UUID.fullmatch(value)):
        raise unauthenticated(f"the token's {name} is no UUID")
    return value.lower()


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [inner for outer in level for inner in _within(outer)]
        if not level:
            return
    raise ValueError("nested too deep")


def _within(value: object) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member is given twice")
    return members


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError("a number is too large")
    return value


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


_STRICT = json.JSONDecoder(object_pairs_hook=_members, parse_float=_finite, parse_constant=_refuse)
