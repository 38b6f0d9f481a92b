"""Keys come and go while the gateway runs; what is no file of keys changes nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from joserfc.jwk import ECKey

from tests.gateway.conftest import Gateway, Keys, own_gateway, until

ORDER_PATH = "/v1/orders/018f0000-0000-7000-8000-000000000009"
REFUSED = "jwt_authn.(config_fail|update_failure)"


def fresh(kid: str) -> ECKey:
    return ECKey.generate_key("P-256", parameters={"kid": kid}, auto_kid=False)


def written(keys: Keys, *published: ECKey) -> None:
    """Replace the file whole."""
    text = json.dumps({"keys": [key.as_dict(private=False) for key in published]})
    fresh_file = keys.jwks.with_suffix(".new")
    fresh_file.write_text(text)
    fresh_file.replace(keys.jwks)


@pytest.fixture
async def turning(gateway: Gateway, tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway of its own, which has read its keys; they may be changed."""
    key = fresh("first")
    jwks = tmp_path / "jwks.json"
    keys = Keys(key, jwks)
    written(keys, key)
    async with own_gateway(dataclasses.replace(gateway, keys=keys), tmp_path) as own:

        async def read() -> bool:
            return await counted(own, "jwt_authn.update_success") > 0

        await until(read, "the keys are not read")
        yield own


async def status(gateway: Gateway, key: ECKey) -> int:
    """What a call with a token of a key is answered."""
    token = Keys(key, gateway.keys.jwks).token()
    headers = {"authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(gateway.url, headers=headers) as client,
        client.get(ORDER_PATH) as reply,
    ):
        return reply.status


async def test_a_key_that_is_added_is_taken_and_the_old_one_stays(turning: Gateway) -> None:
    first, second = turning.keys.key, fresh("second")
    assert (await status(turning, first), await status(turning, second)) == (200, 401)

    written(turning.keys, first, second)

    async def taken() -> bool:
        return await status(turning, second) == 200

    await until(taken, "the new key is not taken")
    assert await status(turning, first) == 200


async def test_a_key_that_is_withdrawn_signs_nothing_new(turning: Gateway) -> None:
    first, second = turning.keys.key, fresh("second")

    written(turning.keys, second)

    async def gone() -> bool:
        return await status(turning, first) == 401

    await until(gone, "the old key is still taken")
    assert await status(turning, second) == 200


async def test_a_key_that_is_withdrawn_takes_the_tokens_with_it_that_were_seen_before(
    turning: Gateway,
) -> None:
    token = turning.keys.token()

    async def answer() -> int:
        headers = {"authorization": f"Bearer {token}"}
        async with (
            aiohttp.ClientSession(turning.url, headers=headers) as client,
            client.get(ORDER_PATH) as reply,
        ):
            return reply.status

    assert [await answer() for _ in range(3)] == [200, 200, 200]
    written(turning.keys, fresh("second"))

    async def gone() -> bool:
        return await answer() == 401

    await until(gone, "the token is still taken")


async def test_keys_that_are_the_same_are_not_sent_again(turning: Gateway) -> None:
    async def asked() -> bool:
        return await counted(turning, "cluster.keys.upstream_rq_304") > 1

    await until(asked, "the keys are sent again")
    assert await counted(turning, "jwt_authn.config_reload") == 1
    assert await status(turning, turning.keys.key) == 200


async def test_a_file_that_is_written_in_place_is_read_too(turning: Gateway) -> None:
    second = fresh("second")
    turning.keys.jwks.write_text(json.dumps({"keys": [second.as_dict(private=False)]}))

    async def taken() -> bool:
        return await status(turning, second) == 200

    await until(taken, "the new key is not taken")


@pytest.mark.parametrize("what", ["torn", "empty", "missing", "no keys", "of something else", "a folder"])
async def test_what_is_no_file_of_keys_keeps_the_last_good_ones_and_alarms(
    turning: Gateway, what: str
) -> None:
    keys = turning.keys
    assert await status(turning, keys.key) == 200
    before, whole = await counted(turning, REFUSED), keys.jwks.read_text()
    keys.jwks.unlink()
    if what == "a folder":
        keys.jwks.mkdir()
    elif what != "missing":
        texts = {"torn": whole[:-20], "empty": "", "no keys": '{"keys": []}', "of something else": "[7]"}
        keys.jwks.write_text(texts[what])

    async def alarmed() -> bool:
        return await counted(turning, REFUSED) > before

    await until(alarmed, "no failure was counted")
    assert await status(turning, keys.key) == 200
    second = fresh("second")
    if what == "a folder":
        keys.jwks.rmdir()
    written(keys, second)

    async def taken() -> bool:
        return await status(turning, second) == 200

    await until(taken, "the keys are not taken after the trouble")


async def test_calls_that_come_before_the_keys_are_read_wait_for_them(
    gateway: Gateway, tmp_path: Path
) -> None:
    async with own_gateway(gateway, tmp_path) as own:
        answers = await asyncio.gather(*(status(own, own.keys.key) for _ in range(50)))
    assert set(answers) == {200}


async def counted(gateway: Gateway, what: str) -> int:
    url = f"http://{gateway.admin}/stats?filter={what}&format=json"
    async with aiohttp.ClientSession() as client, client.get(url) as reply:
        return sum(int(stat["value"]) for stat in (await reply.json())["stats"])
