"""Tokens that nobody should take."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import serialization
from joserfc import jwt
from joserfc.jwk import ECKey

from services.cluster import tokens
from services.cluster.home import Home
from tests.shop import new_id


@dataclass(frozen=True)
class Forge:
    """Makes tokens of a store with the cluster's own key, or nearly."""

    home: Home
    store_id: str

    @property
    def kid(self) -> str:
        return str(self.key.kid)

    @property
    def key(self) -> ECKey:
        return tokens.key(self.home)

    def claims(self, **changes: Any) -> dict[str, Any]:
        """A store administrator's; None takes a claim away."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": "commerce",
            "aud": "commerce",
            "sub": new_id(),
            "role": "STORE_ADMIN",
        }
        claims |= {"iat": now, "exp": now + 600, "store_id": self.store_id, **changes}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, **changes: Any) -> str:
        return self.signed(self.key, {"kid": self.kid}, self.claims(**changes))

    @staticmethod
    def signed(key: ECKey, header: dict[str, Any], claims: dict[str, Any]) -> str:
        return str(jwt.encode({"alg": "ES256", **header}, claims, key))


def bearer(token: str) -> str:
    return f"Bearer {token}"


def _alg_none(forge: Forge, name: str = "none") -> str:
    payload = _part(forge.claims())
    return f"{_part({'alg': name, 'kid': forge.kid})}.{payload}."


def _symmetric(forge: Forge, secret: bytes) -> str:
    header = _part({"alg": "HS256", "kid": forge.kid})
    signed = f"{header}.{_part(forge.claims(role='PLATFORM_ADMIN', store_id=None))}"
    return f"{signed}.{_encoded(hmac.digest(secret, signed.encode(), 'sha256'))}"


def _public_pem(forge: Forge) -> bytes:
    public = forge.key.public_key
    return bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def _altered(forge: Forge) -> str:
    header, _, signature = forge.token().split(".")
    return f"{header}.{_part(forge.claims(role='PLATFORM_ADMIN', store_id=None))}.{signature}"


def _part(value: Any) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _stranger(forge: Forge, kid: str) -> str:
    return forge.signed(ECKey.generate_key("P-256"), {"kid": kid}, forge.claims())


# What stands in the authorization header ("": there is none), and a part of the cause that the refusal names.
# Envoy knows these by itself; a call with one never reaches a service.
FORGED: dict[str, tuple[Callable[[Forge], str], str]] = {
    "missing": (lambda _: "", "missing"),
    "empty": (lambda _: "Bearer ", ""),
    "of another scheme": (lambda _: "Basic YWRtaW46YWRtaW4=", "missing"),
    "garbage": (lambda _: bearer("garbage"), "unreadable"),
    "dots": (lambda _: bearer(".."), "unreadable"),
    "cut short": (lambda forge: bearer(forge.token()[:-20]), "unreadable"),
    "expired": (lambda forge: bearer(forge.token(exp=int(time.time()) - 60)), "expired"),
    "not valid yet": (lambda forge: bearer(forge.token(nbf=int(time.time()) + 600)), "unreadable"),
    "without an expiry": (lambda forge: bearer(forge.token(exp=None)), ""),
    "of another key with our key's id": (lambda forge: bearer(_stranger(forge, forge.kid)), "unreadable"),
    "of another key with its own id": (lambda forge: bearer(_stranger(forge, "another")), "unreadable"),
    "of alg none": (lambda forge: bearer(_alg_none(forge)), "unreadable"),
    "of alg nOnE": (lambda forge: bearer(_alg_none(forge, "nOnE")), "unreadable"),
    "signed with the public key": (lambda forge: bearer(_symmetric(forge, _public_pem(forge))), "unreadable"),
    "altered": (lambda forge: bearer(_altered(forge)), "unreadable"),
    "of another issuer": (lambda forge: bearer(forge.token(iss="somebody")), "somebody else"),
    "of no issuer": (lambda forge: bearer(forge.token(iss=None)), "somebody else"),
    "for another audience": (lambda forge: bearer(forge.token(aud="somebody")), "somebody else"),
}
# Ours, as far as Envoy can tell, but no service would make them.
MISMADE: dict[str, Callable[[Forge], str]] = {
    "without a subject": lambda forge: bearer(forge.token(sub=None)),
    "without a role": lambda forge: bearer(forge.token(role=None)),
    "of an unknown role": lambda forge: bearer(forge.token(role="GOD")),
    "of the unspecified role": lambda forge: bearer(forge.token(role="UNSPECIFIED")),
    "of many roles": lambda forge: bearer(forge.token(role=["STORE_ADMIN"])),
    "of a store's role without a store": lambda forge: bearer(forge.token(store_id=None)),
    "of a store that is no UUID": lambda forge: bearer(forge.token(store_id="%")),
    "of a store in a list": lambda forge: bearer(forge.token(store_id=[forge.store_id])),
    "of a customer without a customer": lambda forge: bearer(forge.token(role="CUSTOMER")),
}
