"""Whoever abuses HTTP/2 at a service's own port costs it little, and nobody else notices."""

import asyncio

import psutil
import pytest

from tests import hostile
from tests.bench.replay import head
from tests.runtime.conftest import ask

MOST_BYTES = 128 << 20
METHOD = "commerce.customer.v1.CustomerService/ListCustomers"


def floods(address, token):
    headers = head(address, METHOD, token)
    return {
        "rapid resets": hostile.rapid_resets(headers, 30_000),
        "resets without a token": hostile.rapid_resets(head(address, METHOD, ""), 30_000),
        "streams": hostile.many_streams(headers, 30_000),
        "pings": hostile.pings(200_000),
        "settings": hostile.settings(200_000),
        "endless headers": hostile.endless_headers(headers, 20_000),
    }


@pytest.mark.parametrize("kind", floods("", ""))
async def test_a_flood_costs_little_and_nobody_else_notices(toy, kind):
    cluster = toy.clients.cluster
    process, address = psutil.Process(cluster.process("toy").pid), cluster.address("toy")
    restarts, before, most = cluster.process("toy").restarts, process.memory_info().rss, 0
    other = toy.another()

    def look(_=0):
        nonlocal most
        most = max(most, process.memory_info().rss)

    flood = asyncio.create_task(hostile.flood(address, floods(address, toy.token)[kind], look))
    while not flood.done():
        await ask(other)
        look()
    for _ in range(20):
        await ask(other)
        look()

    assert most - before < MOST_BYTES
    assert await flood
    assert cluster.process("toy").restarts == restarts


async def test_whoever_pings_for_ever_is_cut_off(toy):
    assert await hostile.flood(toy.clients.cluster.address("toy"), hostile.pings(400_000)) < 400_000


async def test_the_gateways_headers_do_not_fill_a_service(toy):
    """What is larger than a service takes is refused before it is a call."""
    address = toy.clients.cluster.address("toy")
    headers = head(address, METHOD, toy.token or "", *((f"x-{n}", "y" * 500) for n in range(40)))
    await hostile.flood(address, hostile.many_streams(headers[:16000], 50))
    await ask(toy)
