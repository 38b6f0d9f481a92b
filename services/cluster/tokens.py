"""The development key: made at a cluster's first start, it signs the tokens of a machine of one's own.

In production tokens come from the identity service and COMMERCE_JWKS_FILE names its public keys; the
cluster's own key then signs nothing but the services' tokens.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from services.cluster.home import Home, HomeError, write_private
from services.cluster.output import checked_id
from services.runtime.claims import needed

ISSUER = AUDIENCE = "commerce"
LIFETIME_SECONDS = 12 * 3600
SERVICE_LIFETIME_SECONDS = 30 * 24 * 3600
DEVELOPMENT = "development"
FOLLOW_SECONDS = 1.0


def key(home: Home) -> ECKey:
    """The cluster's private key, made when there is none."""
    path = home.keys / "private.json"
    if not path.exists():
        fresh = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
        write_private(path, json.dumps(fresh.as_dict(private=True)))
    return ECKey.import_key(json.loads(path.read_text()))


def publish(home: Home, environment: str) -> Path:
    """Writes the public keys that services and gateway trust: ours, and those of COMMERCE_JWKS_FILE."""
    write_private(home.keys / "environment", environment)
    path = home.keys / "jwks.json"
    keys = [key(home).as_dict(private=False), *_others()]
    write_private(path, json.dumps({"keys": keys}, indent=2))
    return path


async def follow(home: Home, environment: str) -> None:
    """Publishes again what COMMERCE_JWKS_FILE holds whenever that changes. What is no file of keys changes nothing."""
    known = _others()
    while True:
        await asyncio.sleep(FOLLOW_SECONDS)
        try:
            found = _others()
            if found != known:
                publish(home, environment)
                known = found
        except (OSError, ValueError, LookupError, TypeError) as error:
            print(f"COMMERCE_JWKS_FILE: {error}; the last good keys stay", file=sys.stderr)


def _others() -> list[Any]:
    path = os.environ.get("COMMERCE_JWKS_FILE")
    return list(json.loads(Path(path).read_text())["keys"]) if path else []


def mint(
    home: Home,
    role: str,
    store: str | None = None,
    customer: str | None = None,
    subject: str | None = None,
    lifetime: float = LIFETIME_SECONDS,
) -> str:
    """A signed token for a role of the contract ("store_admin"), valid for `lifetime` seconds.

    Raises ValueError for an unknown role or an id that is no UUID, HomeError where there is no development key.
    """
    if not (home.keys / "private.json").exists():
        raise HomeError(f"no development key in {home.path}; commerce up makes one")
    store = store and checked_id(store, "a store's id")
    customer = customer and checked_id(customer, "a customer's id")
    role = checked_role(role)
    return _sign(home, role, subject or customer or str(uuid.uuid4()), store, customer, lifetime)


def lacking(role: str, **given: str | None) -> str:
    """Return the options that a token of a role needs and was not given. Raises ValueError for an unknown role."""
    names = [name.removesuffix("_id") for name in needed(checked_role(role))]
    return " and ".join(f"--{name}" for name in names if not given[name])


def for_service(home: Home, code: str) -> str:
    """The token with which a service calls others."""
    return _sign(home, "SERVICE", code, None, None, SERVICE_LIFETIME_SECONDS)


def checked_role(role: str) -> str:
    """The contract's name of a role, without its prefix. Raises ValueError for an unknown one."""
    from commerce.options.v1 import options_pb2

    names = {name.removeprefix("ROLE_") for name in options_pb2.Role.keys()} - {"UNSPECIFIED", "SELF"}
    if role.upper() not in names:
        raise ValueError(f"no role is called {role}; there are {', '.join(sorted(names)).lower()}")
    return role.upper()


def environment(home: Home) -> str:
    """The environment of the home's last cluster, which its keys belong to. Raises HomeError when there was none."""
    path = home.keys / "environment"
    if not path.exists():
        raise HomeError(f"no development key in {home.path}; commerce up makes one")
    return path.read_text().strip()


def check_development(environment: str) -> None:
    """Raises HomeError unless the cluster is a development one: elsewhere nobody mints tokens by hand."""
    if environment != DEVELOPMENT:
        raise HomeError(f"this cluster's environment is {environment}: tokens come from its identity service")


def _sign(
    home: Home, role: str, subject: str, store: str | None, customer: str | None, lifetime: float
) -> str:
    now = int(time.time())
    claims: dict[str, str | int] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "role": role,
        "iat": now,
        "exp": int(now + lifetime),
    }
    claims |= {name: value for name, value in (("store_id", store), ("customer_id", customer)) if value}
    signing = key(home)
    return jwt.encode({"alg": "ES256", "kid": signing.kid, "typ": "JWT"}, claims, signing)
