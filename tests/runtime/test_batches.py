"""Group commit: what is asked for meanwhile goes together, and nobody pays for that but who is at fault."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from services.runtime.batches import Batches, LeftOut
from tests.shop import WAIT_SECONDS


class Bench:
    """Does what is asked for when it is let, and keeps how.

    What is asked for is a word: "bad" fails, and "late" is left out of each batch.
    """

    def __init__(self, most: int = 10, away: Exception | None = None) -> None:
        self.batches = Batches("words", self.alone, self.together, most)
        self.away, self.stuck = away, ""
        self.free = asyncio.Event()
        self.done: list[list[str]] = []
        self._gate = asyncio.Semaphore(0)

    def let(self, times: int = 99) -> None:
        """Let it do so many things."""
        for _ in range(times):
            self._gate.release()

    async def alone(self, word: str) -> str:
        return (await self._do([word]))[0]

    async def together(self, words: Sequence[str]) -> Sequence[str | Exception]:
        if self.away:
            raise self.away
        found = iter(await self._do([word for word in words if word != "late"]))
        told = [LeftOut() if word == "late" else next(found) for word in words]
        return [KeyError("own") if each == "OWN" else each for each in told]

    async def _do(self, words: Sequence[str]) -> list[str]:
        await self._gate.acquire()
        if self.stuck in words:
            await self.free.wait()
        if "bad" in words:
            raise ValueError("bad")
        self.done.append(list(words))
        return [word.upper() for word in words]

    def ask(self, *words: str) -> list[asyncio.Task[str]]:
        return [asyncio.create_task(self.batches.do(word)) for word in words]


async def all_of(asked: Sequence[asyncio.Task[str]]) -> list[str | BaseException]:
    async with asyncio.timeout(WAIT_SECONDS):
        return await asyncio.gather(*asked, return_exceptions=True)


async def test_who_comes_when_nothing_runs_goes_at_once_and_alone():
    bench = Bench()
    bench.let()

    assert [await bench.batches.do(word) for word in ("a", "b")] == ["A", "B"]
    assert bench.done == [["a"], ["b"]]


async def test_those_who_come_meanwhile_go_together_and_each_is_told_their_own():
    bench = Bench(most=3)
    asked = bench.ask(*"abcdefg")
    await asyncio.sleep(0)
    bench.let()

    assert await all_of(asked) == list("ABCDEFG")
    assert bench.done == [["a"], ["b", "c", "d"], ["e", "f", "g"]]


async def test_nobody_is_told_before_it_is_done():
    bench = Bench()
    asked = bench.ask("a")
    await asyncio.sleep(0)
    asked += bench.ask("b", "c")
    bench.let(1)
    await asked[0]
    for _ in range(20):
        await asyncio.sleep(0)

    assert bench.done == [["a"]]
    assert not any(each.done() for each in asked[1:])
    bench.let()
    assert await all_of(asked) == ["A", "B", "C"]


async def test_one_who_is_at_fault_fails_alone():
    bench = Bench()
    asked = bench.ask("a", "b", "bad", "c")
    await asyncio.sleep(0)
    bench.let()

    first, second, bad, last = await all_of(asked)
    assert (first, second, last) == ("A", "B", "C")
    assert isinstance(bad, ValueError)


async def test_what_became_of_one_by_itself_is_told_to_that_one():
    bench = Bench()
    asked = bench.ask("a", "b", "own", "c")
    await asyncio.sleep(0)
    bench.let()

    first, second, own, last = await all_of(asked)
    assert (first, second, last) == ("A", "B", "C")
    assert isinstance(own, KeyError)
    assert bench.done == [["a"], ["b", "own", "c"]]


async def test_what_may_have_been_done_when_the_database_went_away_is_not_done_again():
    bench = Bench(away=asyncpg.ConnectionDoesNotExistError("gone"))
    asked = bench.ask("a", "b", "c")
    await asyncio.sleep(0)
    bench.let()

    first, *others = await all_of(asked)
    assert first == "A"
    assert [type(each) for each in others] == [asyncpg.ConnectionDoesNotExistError] * 2
    assert bench.done == [["a"]]


@pytest.mark.parametrize("leaves", [0, 1])
async def test_who_leaves_takes_nobody_along(leaves):
    bench = Bench()
    asked = bench.ask("a", "b", "c", "d")
    await asyncio.sleep(0)
    asked[leaves].cancel()
    bench.let()

    answers = await all_of(asked)
    assert isinstance(answers.pop(leaves), asyncio.CancelledError)
    assert answers == [word.upper() for number, word in enumerate("abcd") if number != leaves]
    assert await bench.batches.do("e") == "E"


async def test_who_has_left_when_a_batch_fails_is_not_done_by_itself():
    """What their work was to publish was let go when they left."""
    bench = Bench()
    asked = bench.ask("a", "b", "bad", "c")
    await asyncio.sleep(0)
    bench.let(1)
    await asked[0]
    await asyncio.sleep(0)
    asked[1].cancel()
    bench.let()

    answers = await all_of(asked[2:])
    assert isinstance(answers[0], ValueError)
    assert answers[1] == "C"
    assert bench.done == [["a"], ["c"]]


async def test_who_is_left_out_of_a_batch_is_done_by_itself():
    bench = Bench()
    asked = bench.ask("a", "b", "late", "c")
    await asyncio.sleep(0)
    bench.let()

    assert await all_of(asked) == ["A", "B", "LATE", "C"]
    assert bench.done == [["a"], ["b", "c"], ["late"]]


async def test_who_waits_for_something_else_is_not_waited_for():
    bench = Bench()
    stuck = bench.ask("a")
    await asyncio.sleep(0)
    asked = bench.ask("b", "c")
    bench.stuck = "a"
    bench.let()

    assert await all_of(asked) == ["B", "C"]
    assert not stuck[0].done()
    bench.free.set()
    assert await all_of(stuck) == ["A"]
