"""Who may call: every service reads the token itself and trusts nobody before it."""

import base64
import json
import time
import uuid

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey

from services.cluster.tokens import key
from tests.runtime.conftest import ask
from tests.shop import refused


def signed(shop, signing=None, algorithm="ES256", kid=None, **changed):
    """A token of a store's administrator with some claims changed; None takes one away."""
    signing = signing or key(shop.clients.cluster.home)
    now = int(time.time())
    claims = {
        "iss": "commerce",
        "aud": "commerce",
        "sub": str(uuid.uuid4()),
        "role": "STORE_ADMIN",
        "store_id": shop.store_id,
        "iat": now,
        "exp": now + 60,
    } | changed
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": kid or signing.kid}, claims, signing, algorithms=[algorithm])


async def test_a_good_token_is_taken(toy):
    await ask(toy.with_token(signed(toy)))


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": 1_700_000_000},
        {"exp": None},
        {"iss": "somebody"},
        {"aud": "somebody"},
        {"iss": None},
        {"role": None},
        {"role": "EMPEROR"},
        {"sub": None},
        {"store_id": None},
        {"store_id": "mine"},
        {"role": "CUSTOMER"},
    ],
    ids=str,
)
async def test_a_token_that_says_too_little_or_too_much_is_refused(toy, changed):
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED) as said:
        await ask(toy.with_token(signed(toy, **changed)))

    assert said.metadata["cause"]


async def test_a_token_that_somebody_else_signed_is_refused(toy):
    ours = key(toy.clients.cluster.home)
    theirs = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)

    for token in (signed(toy, theirs), signed(toy, theirs, kid=ours.kid)):
        with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
            await ask(toy.with_token(token))


async def test_the_public_key_is_no_password(toy):
    """A token signed with HMAC, the public key as its secret, and one that says it needs no signature."""
    ours = key(toy.clients.cluster.home)
    public = OctKey.import_key(json.dumps(ours.as_dict(private=False)))
    head = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    body = signed(toy).split(".")[1]

    for token in (signed(toy, public, algorithm="HS256", kid=ours.kid), f"{head}.{body}."):
        with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
            await ask(toy.with_token(token))


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "Bearer"])
async def test_what_is_no_token_is_refused(toy, token):
    with refused(ErrorReason.ERROR_REASON_UNAUTHENTICATED):
        await ask(toy.with_token(token))


async def test_a_role_that_the_contract_does_not_name_is_refused_before_its_request_is_read(toy):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="COURIER"):
        await ask(toy.as_("courier"), "x" * 500)
