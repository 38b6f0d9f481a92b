"""Whatever people do with orders, in whatever order, goods and money add up when all is still.

Every life is lived by the real services, many at a time, while processes die. COMMERCE_SEED=… draws the same lives
again; COMMERCE_LIVES=… how many.
"""

import asyncio
import os
import random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from services.cluster.cluster import Cluster
from tests.oracle import judge
from tests.oracle.lives import Kill, Life, kills, lives
from tests.oracle.people import People
from tests.saga.checkouts import everything_ready
from tests.shop import Clients, Shop

AT_ONCE = 30
LIVES = int(os.environ.get("COMMERCE_LIVES", "300"))
SEED = int(os.environ.get("COMMERCE_SEED", "0")) or random.randrange(1, 1 << 32)


@pytest.fixture(scope="module")
async def oracle(tmp_path_factory):
    home = tmp_path_factory.mktemp("oracle")
    # An event that is refused for good is given up after seconds, not a minute.
    async with Cluster(home, environment={"COMMERCE_DELIVERY_ATTEMPTS": "5"}) as cluster:
        clients = Clients(cluster)
        yield clients
        await clients.close()


async def test_goods_and_money_add_up_whatever_people_do(oracle):
    """A history that does not is shrunk to the steps that it takes; its lives are printed with what is wrong."""
    print(f"COMMERCE_SEED={SEED}")
    loop = asyncio.get_running_loop()

    @seed(SEED)
    @settings(
        max_examples=-(-LIVES // AT_ONCE),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
        print_blob=False,
    )
    @given(st.lists(lives, min_size=AT_ONCE, max_size=AT_ONCE), kills)
    def all_agree(lived: list[Life], killed: tuple[Kill, ...]) -> None:
        asyncio.run_coroutine_threadsafe(lived_through(oracle, lived, killed), loop).result()

    await asyncio.to_thread(all_agree)


async def lived_through(clients: Clients, lived: list[Life], killed: tuple[Kill, ...]) -> None:
    """Live through lives at the same time while processes die; raise with those on which not all agree."""
    people = [People(Shop(clients), life) for life in lived]
    await asyncio.gather(*(each.open() for each in people))
    await asyncio.gather(*(each.live() for each in people), *(_dies(clients, kill) for kill in killed))
    await everything_ready(clients.cluster)
    await asyncio.gather(*(each.rest() for each in people))
    await judge.still(clients, people)
    wrong = [f"{complaints}\n  of {each}" for each in people if (complaints := await judge.wrong(each))]
    assert not wrong, f"{len(wrong)} of {len(people)} lives, {killed}:\n" + "\n".join(wrong)


async def _dies(clients: Clients, kill: Kill) -> None:
    await asyncio.sleep(kill.tenths / 10)
    clients.cluster.kill(kill.code)
