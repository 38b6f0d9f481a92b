"""Keys change under a running cluster: callers see it at every door, whatever was remembered of their tokens."""

import asyncio
import json

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from services.cluster import tokens
from services.cluster.home import write_private
from tests.edge.answers import ask, rest
from tests.edge.contract import closed
from tests.shop import WAIT_SECONDS


@pytest.fixture
def file(shop):
    path = shop.clients.cluster.home.keys / "jwks.json"
    before = path.read_text()
    yield path
    write_private(path, before)


async def test_a_key_is_taken_and_withdrawn_at_every_door_within_five_seconds(shop, gateway, forge, file):
    second = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, auto_kid=True)
    token = jwt.encode({"alg": "ES256", "kid": second.kid}, forge.claims(), second)
    caller = shop.with_token(token)
    public = [key.as_dict(private=False) for key in (tokens.key(shop.clients.cluster.home), second)]
    lists = [rpc for rpc in closed() if rpc.names_a_store and rpc.asks_for_nothing is False]
    (products,) = [rpc for rpc in lists if rpc.name == "ListProducts"]
    (customers,) = [rpc for rpc in lists if rpc.name == "ListCustomers"]

    async def answers():
        found = set()
        for rpc in (products, customers):
            request = rpc.request(store_id=shop.store_id)
            data = request.SerializeToString()
            found.add((await ask(caller, rpc, data)).reason)
            found.add((await ask(caller.at(gateway), rpc, data)).reason)
            found.add((await rest(caller, rpc, request)).reason)
        return found

    async def become(keys, reason):
        write_private(file, json.dumps({"keys": keys}))
        async with asyncio.timeout(WAIT_SECONDS):
            while await answers() != {reason}:  # noqa: ASYNC110 (what is asked is other processes)
                await asyncio.sleep(0.1)

    assert await answers() == {"UNAUTHENTICATED"}
    await become(public, "OK")
    await become(public[:1], "UNAUTHENTICATED")
    await become(public, "OK")
    assert (await ask(shop.at(gateway), products, products.least(shop.store_id))).reason != "UNAUTHENTICATED"
