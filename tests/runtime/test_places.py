"""Places that stores share: a store's own few are always there, and nobody takes all of them from the others."""

import asyncio
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.runtime.places import Places, Turns
from services.runtime.shares import BURST_SECONDS, Bucket
from tests.shop import WAIT_SECONDS

# Three stores take all sixteen places, and a fourth comes.
FULL = [(store, True) for store, times in enumerate((12, 3, 1, 1)) for _ in range(times)]
steps = st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=400)


@example(16, FULL)
@given(st.integers(1, 200), steps)
def test_a_store_is_let_in_to_its_own_places_whatever_others_hold(most, steps):
    places, held = Places(most), Counter[int]()
    for store, comes in steps:
        if comes:
            has_room = places.has_room(held[store])
            assert has_room or held[store] >= places.own
            held[store] += has_room
            places.taken += has_room
        elif held[store]:
            held[store] -= 1
            places.taken -= 1
        assert all(each <= max(places.own, 3 * most // 4 + 1) for each in held.values())
        assert places.taken <= most + places.own * len(held)


@pytest.mark.parametrize("most", [16, 128, 536, 20_000])
def test_a_store_alone_has_three_quarters_and_one_that_comes_then_finds_places(most):
    places = Places(most)
    held = Counter[str]()
    for store in ("greedy", "modest"):
        while places.has_room(held[store]):
            held[store] += 1
            places.taken += 1
    assert held["greedy"] == most * 3 // 4
    assert held["modest"] >= most * 3 // 16


@pytest.mark.parametrize("most", [1, 2, 3, 64])
async def test_never_more_than_all_places_are_taken_by_turns_and_everybody_gets_one(most):
    turns, at_once, most_at_once, served = Turns(most), 0, 0, Counter[str]()

    async def one(store):
        nonlocal at_once, most_at_once
        async with turns.turn(store):
            at_once += 1
            most_at_once = max(most_at_once, at_once)
            await asyncio.sleep(0)
            at_once -= 1
            served[store] += 1

    await asyncio.gather(*(one(str(n % 7)) for n in range(210)))

    assert most_at_once <= most
    assert served == {str(n): 30 for n in range(7)}


async def test_a_store_that_comes_is_served_next_however_many_of_another_wait():
    turns, order = Turns(1), []

    async def one(store):
        async with turns.turn(store):
            order.append(store)
            await asyncio.sleep(0)

    greedy = [asyncio.create_task(one("greedy")) for _ in range(50)]
    await asyncio.sleep(0)
    modest = [asyncio.create_task(one("modest")) for _ in range(3)]
    await asyncio.gather(*greedy, *modest)

    begin = order.index("modest")
    assert begin <= 3
    assert order[begin : begin + 5] == ["modest", "greedy", "modest", "greedy", "modest"]


async def test_whoever_gives_up_waiting_leaves_no_place_taken():
    turns = Turns(2)
    done = []

    async def one(store, seconds=0.0):
        async with turns.turn(store):
            await asyncio.sleep(seconds)
            done.append(store)

    holding = [asyncio.create_task(one("a", 60)) for _ in range(2)]
    waiting = [asyncio.create_task(one(store)) for store in "aabbab"]
    await asyncio.sleep(0.01)
    # Also one whose turn has come, and who is told of it too late.
    holding[0].cancel()
    await asyncio.sleep(0)
    for task in (*waiting, *holding):
        task.cancel()
    await asyncio.gather(*waiting, *holding, return_exceptions=True)
    done.clear()

    async with asyncio.timeout(WAIT_SECONDS):
        await asyncio.gather(*(one(store) for store in "abcabcabc"))

    assert sorted(done) == sorted("abcabcabc")


@given(st.lists(st.tuples(st.floats(0, 3), st.sampled_from([1.0, 10.0])), min_size=1, max_size=200))
def test_a_bucket_gives_a_burst_and_then_so_much_a_second(asks):
    bucket, now, given_, first = Bucket(20), 100.0, 0.0, None
    for pause, weight in asks:
        now += pause
        first = first if first is not None else now
        late = bucket.take(weight, now)
        if not late:
            given_ += weight
        else:
            assert bucket.take(weight, now + late + 1e-6) == 0 or late < 1e-6
            given_ += weight
            now += late + 1e-6
        assert given_ <= 20 * (BURST_SECONDS + now - first) + 1e-6


def test_a_bucket_that_rested_gives_its_burst_again():
    bucket = Bucket(10)
    assert [bucket.take(1, 5) for _ in range(40)] == [0] * 40
    assert bucket.take(1, 5) == pytest.approx(0.1)
    assert [bucket.take(1, 9) for _ in range(40)] == [0] * 40
