"""A service follows its file of public keys: what is added counts, what is withdrawn does not, what is torn alarms."""

import asyncio
import json
import time
import uuid

import grpc
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.order_service_pb2 import WatchOrderRequest
from joserfc import jwt
from joserfc.jwk import ECKey

from services.cluster.home import write_private
from services.cluster.tokens import key
from tests.runtime.conftest import ask
from tests.shop import WAIT_SECONDS, eventually, refused

ALARM = "keys not read"


@pytest.fixture
def file(toy):
    """The toy's file of keys, as it was again afterwards."""
    path = toy.clients.cluster.home.keys / "jwks.json"
    before = path.read_text()
    yield path
    if path.is_dir():
        path.rmdir()
    write_private(path, before)


@pytest.fixture
def second():
    return ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)


def published(file, *keys):
    write_private(file, json.dumps({"keys": [each.as_dict(private=False) for each in keys]}))


def own(toy):
    return key(toy.clients.cluster.home)


def by(toy, signing):
    """The toy's administrator with a token that a key has signed."""
    now = int(time.time())
    claims = {
        "iss": "commerce",
        "aud": "commerce",
        "sub": str(uuid.uuid4()),
        "role": "STORE_ADMIN",
        "store_id": toy.store_id,
        "iat": now,
        "exp": now + 600,
    }
    return toy.with_token(jwt.encode({"alg": "ES256", "kid": signing.kid}, claims, signing))


async def is_taken(shop):
    try:
        await ask(shop)
    except grpc.aio.AioRpcError as error:
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
        return False
    return True


async def test_a_key_that_is_added_is_taken_and_the_old_one_stays(toy, file, second):
    newcomer = by(toy, second)
    assert not await is_taken(newcomer)

    published(file, own(toy), second)

    await eventually(lambda: is_taken(newcomer))
    assert await is_taken(toy)


async def test_a_token_that_is_remembered_ends_with_its_key_and_no_other_one_does(toy, file, second):
    published(file, own(toy), second)
    leaver = by(toy, second)
    await eventually(lambda: is_taken(leaver))

    published(file, own(toy))

    async def is_refused():
        return not await is_taken(leaver)

    await eventually(is_refused)
    assert await is_taken(toy)


async def test_another_key_under_the_same_name_is_another_key(toy, file, second):
    published(file, own(toy), second)
    leaver = by(toy, second)
    await eventually(lambda: is_taken(leaver))
    other = ECKey.generate_key("P-256", {"kid": second.kid}, auto_kid=False)

    published(file, own(toy), other)

    await eventually(lambda: is_taken(by(toy, other)))
    assert not await is_taken(leaver)


async def test_a_stream_ends_with_the_key_of_its_token(toy, file, second):
    published(file, own(toy), second)
    leaver = by(toy, second)
    await eventually(lambda: is_taken(leaver))
    stays, ends = (
        shop.orders.WatchOrder(WatchOrderRequest(order_id=str(uuid.uuid4()))) for shop in (toy, leaver)
    )
    await stays.read()
    await ends.read()

    published(file, own(toy))

    with refused(
        ErrorReason.ERROR_REASON_UNAUTHENTICATED, cause="the key that signed the token was withdrawn"
    ):
        async with asyncio.timeout(WAIT_SECONDS):
            await ends.read()
    assert not stays.done()
    stays.cancel()


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"keys": []}', "[7]", "null", '{"keys": 7}', '{"keys": [{"kty": "oct", "k": "AAAA"}]}'],
)
async def test_what_is_no_file_of_keys_keeps_the_last_good_ones_and_alarms_once(toy, file, second, text):
    log = toy.clients.cluster.process("toy").spec.log
    read_before = len(log.read_text())

    write_private(file, text)

    await eventually(lambda: _says(log, read_before, ALARM))
    await asyncio.sleep(1.5)
    assert await is_taken(toy)
    assert await is_taken(by(toy, own(toy)))
    assert log.read_text()[read_before:].count(ALARM) == 1
    published(file, own(toy), second)
    await eventually(lambda: is_taken(by(toy, second)))


@pytest.mark.parametrize("what", ["missing", "a folder"])
async def test_a_file_that_is_away_keeps_the_last_good_keys_and_alarms(toy, file, what):
    log = toy.clients.cluster.process("toy").spec.log
    read_before = len(log.read_text())

    file.unlink()
    if what == "a folder":
        file.mkdir()

    await eventually(lambda: _says(log, read_before, ALARM))
    assert await is_taken(by(toy, own(toy)))


async def test_keys_that_nobody_can_use_here_may_stand_beside(toy, file, second):
    keys = [each.as_dict(private=False) for each in (own(toy), second)]
    strange = [
        {"kty": "ML-DSA", "kid": "x"},
        {"kty": "EC", "crv": "P-256", "x": "!"},
        7,
        dict(ECKey.generate_key("P-384").as_dict(private=False)),
        {"kty": "RSA", "kid": second.kid, "n": "AQAB", "e": "AQAB"},
    ]
    write_private(file, json.dumps({"keys": [*strange, *keys]}))

    await eventually(lambda: is_taken(by(toy, second)))


async def _says(log, since, text):
    return text in log.read_text()[since:]
