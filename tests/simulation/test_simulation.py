"""A thousand worlds: messages are lost, repeated, reordered and late, processes die at any step; the promises hold.

A world that fails prints its seed: COMMERCE_SEED=… repeats that world alone, exactly. COMMERCE_SEEDS=… runs more.
"""

import hashlib
import random
from itertools import pairwise

import pytest

from services.catalog.rules import HELD
from services.order import life
from services.order.life import CONFIRMED, ENDS, name_of
from services.runtime import logs, times
from tests.simulation import loop, neighbours, seeds
from tests.simulation.world import World


def simulate(number: int) -> tuple[str, World]:
    """Run the world of a seed; a hash of everything that happened, and the world."""
    seed = random.Random(number)
    random.seed(number)  # The driver draws its back-offs from the interpreter's own.

    async def main(running: loop.SimulatedLoop) -> World:
        world = World(running, seed)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(times, "now", world.now)
            await world.run()
            diary = list(world.network.diary)
            check(world)
            await running.end(world.processes)
            world.network.diary = diary
        return world

    world = loop.run(seed, main)
    return hashlib.sha256("\n".join(world.network.diary).encode()).hexdigest(), world


def check(world: World) -> None:
    """The promises."""
    orders = world.database.orders
    assert len(orders) == len(world.buyers), "an order was lost, or became two"
    assert not world.refused, f"left to a person: {world.refused}"
    for buyer in world.buyers:
        row, events = orders[buyer.order_id], world.database.events[buyer.order_id]
        told = " → ".join(name_of(event["state"]) for event in events)
        assert row["state"] in ENDS | {CONFIRMED}, f"stands still: {told}"
        assert [event["sequence"] for event in events] == list(range(1, len(events) + 1)), told
        for before, event in pairwise(events):
            assert life.LIFE[event["step"], before["state"]] == event["state"], told
        assert buyer.seen == [event["sequence"] for event in events], f"watched {buyer.seen} of {told}"
        _money(world, buyer.order_id, told)
        _units(world, buyer.order_id, told)


def _money(world: World, order_id: str, life: str) -> None:
    charge = world.till.charges.get(order_id)
    promised = charge is not None and charge.payment.state == neighbours.AUTHORIZED
    assert promised == (world.database.orders[order_id]["state"] == CONFIRMED), f"{charge} after {life}"


def _units(world: World, order_id: str, life: str) -> None:
    reservation = world.warehouse.reservations.get(order_id)
    held = reservation is not None and reservation.state == HELD
    assert held == (world.database.orders[order_id]["state"] == CONFIRMED), f"{reservation} after {life}"


@pytest.fixture(autouse=True)
def quiet():
    logs.configure("simulation", "critical")


@pytest.mark.parametrize("batch", range(seeds.BATCHES))
def test_the_promises_hold_in_every_world(batch):
    seeds.hold(simulate, batch)


def test_a_seed_is_a_world():
    assert simulate(7)[0] == simulate(7)[0]
    assert simulate(7)[0] != simulate(8)[0]


def test_the_worlds_know_trouble_and_every_end():
    """What never goes wrong proves nothing."""
    ends, diary = set(), ""
    for number in range(40):
        _, world = simulate(number)
        ends |= {name_of(row["state"]) for row in world.database.orders.values()}
        diary += "\n".join(world.network.diary)

    assert ends == {"CONFIRMED", "REJECTED", "PAYMENT_FAILED", "CANCELLED", "EXPIRED"}
    for trouble in (
        "dies",
        "lost",
        "unanswered",
        "hears PaymentAuthorized",
        "hears PaymentExpired",
        "refused",
    ):
        assert trouble in diary, trouble
