"""Who calls: bearer tokens (JWT, ES256, RFC 7519) verified against a JWKS file, and the contract's access rule."""

import hashlib
import time
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from commerce.common.v1.error_reason_pb2 import ErrorReason
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.runtime.contract import ROLES, Method
from services.runtime.ids import is_uuid
from services.runtime.refusals import Refusal

ISSUER = AUDIENCE = "commerce"
ALGORITHMS = ["ES256"]
LEEWAY_SECONDS = 5
_REMEMBERED = 10_000
FINGERPRINT_BYTES = 16


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a token speaks for. `store_id` and `customer_id` are empty where the token is not bound to one."""

    subject: str
    role: str
    store_id: str = ""
    customer_id: str = ""
    expires: float = float("inf")

    @property
    def fingerprint(self) -> bytes:
        """What tells callers apart: who they are, and what they may see. A renewed token is of the same caller."""
        # The subject, in which any character may be, comes last.
        text = f"{self.role} {self.store_id} {self.customer_id} {self.subject}"
        return hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:FINGERPRINT_BYTES]

    @property
    def actor(self) -> str:
        """Role and subject, as timelines show them."""
        return f"{self.role} {self.subject}"

    def may_see(self, store_id: str, customer_id: str = "") -> bool:
        """Tell whether something of this store (and customer) is the caller's to see."""
        if self.store_id and self.store_id != store_id.lower():
            return False
        return self.role != "CUSTOMER" or self.customer_id == customer_id.lower()


ANYONE = Caller(subject="anyone", role="ANYONE")


class Tokens:
    """Verifies tokens; one that was verified is remembered until it expires, for ECDSA costs as much as a call."""

    def __init__(self, jwks: Path) -> None:
        self._path = jwks
        self._keys = KeySet.import_key_set(_read(jwks))
        self._modified = jwks.stat().st_mtime
        self._known: OrderedDict[str, Caller] = OrderedDict()

    def caller(self, authorization: str | None) -> Caller:
        """Return who an `authorization` header speaks for, or refuse it with UNAUTHENTICATED and the cause."""
        if not authorization or not authorization.startswith("Bearer "):
            raise unauthenticated("a bearer token is missing")
        token = authorization[7:]
        caller = self._known.get(token)
        if caller is None:
            caller = self._verified(token)
            self._known[token] = caller
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        if caller.expires < time.time() - LEEWAY_SECONDS:
            raise unauthenticated("the token has expired")
        return caller

    def _verified(self, token: str) -> Caller:
        self._reload()
        try:
            claims = jwt.decode(token, self._keys, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, KeyError, TypeError):
            raise unauthenticated("the token is unreadable, or not signed by a key that we know") from None
        if claims.get("iss") != ISSUER or claims.get("aud") != AUDIENCE:
            raise unauthenticated("the token was issued by, or for, somebody else")
        begins = claims.get("nbf", 0)
        if not isinstance(begins, int | float) or begins > time.time() + LEEWAY_SECONDS:
            raise unauthenticated("the token is not valid yet")
        return _caller(claims)

    def _reload(self) -> None:
        """Take up a key that was added or withdrawn since; what was verified with the old ones is forgotten."""
        modified = self._path.stat().st_mtime
        if modified != self._modified:
            self._keys, self._modified = KeySet.import_key_set(_read(self._path)), modified
            self._known.clear()


def _caller(claims: dict[str, object]) -> Caller:
    role, subject, expires = claims.get("role"), claims.get("sub"), claims.get("exp")
    store, customer = claims.get("store_id", ""), claims.get("customer_id", "")
    known = role in ROLES.values() and role != ROLES[0]
    if not isinstance(expires, int | float) or not isinstance(subject, str) or not known:
        raise unauthenticated("the token lacks a subject, a role or an expiry")
    for name, value in (("store_id", store), ("customer_id", customer)):
        if not isinstance(value, str) or (value and not is_uuid(value)):
            raise unauthenticated(f"the token's {name} is no UUID")
    if role not in ("PLATFORM_ADMIN", "SERVICE") and not store:
        raise unauthenticated("the token's role needs a store_id")
    if role == "CUSTOMER" and not customer:
        raise unauthenticated("a customer's token needs a customer_id")
    return Caller(subject, str(role), str(store).lower(), str(customer).lower(), float(expires))


def allowed(method: Method, caller: Caller) -> None:
    """Refuse a caller whose role the contract does not name for this RPC."""
    if caller.role not in method.allow:
        raise Refusal(
            ErrorReason.ERROR_REASON_PERMISSION_DENIED,
            f"{caller.role} may not call {method.name}",
            role=caller.role,
        )


def unauthenticated(cause: str) -> Refusal:
    """Refuse a token, with the cause."""
    return Refusal(ErrorReason.ERROR_REASON_UNAUTHENTICATED, cause, cause=cause)


def _read(jwks: Path):  # type: ignore[no-untyped-def]
    import json

    return json.loads(jwks.read_text())
