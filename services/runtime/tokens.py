"""Bearer tokens (RFC 7235, RFC 7515): compact JWS, ES256, verified against the JWKS file."""

import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.util import urlsafe_b64decode

from services.runtime import claims, times
from services.runtime.callers import Caller, unauthenticated
from services.runtime.claims import EXPIRED, LEEWAY_SECONDS, UNREADABLE
from services.runtime.keys import Keys
from services.runtime.refusals import invalid

ALGORITHMS = ["ES256"]
# A scheme in any case, blanks, three parts. Longer headers than this are no longer the gateway's to hand on.
_CREDENTIALS = re.compile(r"bearer +([\w-]+\.[\w-]+\.[\w-]+)", re.IGNORECASE | re.ASCII)
_TWO = re.compile(r"bearer .*,.*|.*, *bearer .*", re.IGNORECASE | re.DOTALL)
_LONGEST = 8 << 10
_REMEMBERED = 10_000
_REGISTRY = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)


class Tokens:
    """Verifies tokens; one that was verified is remembered until it expires, for ECDSA costs as much as a call."""

    def __init__(self, jwks: Path) -> None:
        self._keys = Keys(jwks)
        self._known: OrderedDict[str, Caller] = OrderedDict()

    def caller(self, authorization: str | None) -> Caller:
        """Return who an `authorization` header speaks for, or refuse it with UNAUTHENTICATED and the cause."""
        caller = self._known.get(authorization) if authorization else None
        if caller is None:
            caller = self._verified(authorization or "")
            self._known[authorization or ""] = caller
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        if caller.expires < times.signed_now() - LEEWAY_SECONDS:
            raise unauthenticated(EXPIRED)
        return caller

    def look(self) -> None:
        """Take up keys that were added or withdrawn; what was verified with one that is gone is forgotten."""
        if self._keys.look():
            for authorization, caller in list(self._known.items()):
                if not self._keys.have(caller.key):
                    del self._known[authorization]

    def fault(self, caller: Caller) -> str:
        """Return why a caller's token is no longer good, or nothing. Who needs none has none."""
        if caller.expires <= times.signed_now():
            return EXPIRED
        if caller.key and not self._keys.have(caller.key):
            return "the key that signed the token was withdrawn"
        return ""

    def _verified(self, authorization: str) -> Caller:
        if len(authorization) > _LONGEST:
            raise unauthenticated("the token is longer than any of ours")
        if _TWO.fullmatch(authorization):
            raise invalid("authorization", "the header authorization is given twice")
        credentials = _CREDENTIALS.fullmatch(authorization)
        if credentials is None:
            bearer = authorization[:7].lower() == "bearer "
            raise unauthenticated(UNREADABLE if bearer else "a bearer token is missing")
        try:
            token = credentials[1]
            claims.check_header(claims.read_object(urlsafe_b64decode(token.partition(".")[0].encode())))
            signature = jws.extract_compact(token.encode(), registry=_REGISTRY)
            key: Any = self._keys.key(signature.headers().get("kid"))
            if not jws.validate_compact(signature, key, registry=_REGISTRY):
                raise unauthenticated(UNREADABLE)
            said = claims.read_object(signature.payload)
        except (JoseError, ValueError, KeyError, TypeError):
            raise unauthenticated(UNREADABLE) from None
        return claims.caller_of(said, key.thumbprint())
