"""What happens to one payment at the same moment happens in one order or the other: everybody agrees afterwards.

Delays are drawn from a seed, which is printed: COMMERCE_SEED=… draws them again.
"""

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest

from services.runtime.refusals import reason_of
from tests.payment.agreement import Account, agree
from tests.payment.till import Till, line_amount, said
from tests.shop import eventually, new_id

AT_ONCE, BATCHES, ROUNDS = 12, 12, 2
AMOUNT = 2_100
PARCEL = 700
# When the answer to a question that was lost is known, about: the provider's time, and until it is asked again.
SILENCE = 3.0


@pytest.fixture
def chance():
    seed = int(os.environ.get("COMMERCE_SEED", "0")) or random.randrange(1, 1 << 32)
    print(f"COMMERCE_SEED={seed}")
    return random.Random(seed)


@dataclass
class Stage:
    """Where payments are made: a till, and delays of up to `span` seconds."""

    till: Till
    chance: random.Random
    span: float

    async def soon(self, call: Callable[[], Awaitable[Any]], after: float = 0) -> str:
        """Do something at some moment: the state that it led to, or why it was refused."""
        await asyncio.sleep(max(0.0, after + self.chance.uniform(0, self.span)))
        try:
            return said(await call())
        except grpc.aio.AioRpcError as error:
            return reason_of(error)

    async def taken(self, **given: Any) -> Any:
        return await self.till.capture(await self.till.authorize(minor_units=AMOUNT, **given))


@dataclass
class Meeting:
    """A payment, what the two who met at it were told, and how everybody has it afterwards."""

    payment: Any
    told: Sequence[str] = ("", "")
    account: Account | None = None

    @property
    def now(self) -> Account:
        assert self.account is not None
        return self.account


# How two things meet.


async def _refund_refund(stage: Stage) -> Meeting:
    """Two people give back the same money."""
    payment = await stage.taken()
    give = [stage.soon(lambda: stage.till.refund(payment, minor_units=1_200)) for _ in range(2)]
    told = await asyncio.gather(*give)
    assert sorted(told) == ["PARTIALLY_REFUNDED", "REFUND_TOO_LARGE"], told
    return Meeting(payment, told)


async def _capture_void(stage: Stage) -> Meeting:
    payment = await stage.till.authorize(minor_units=AMOUNT)
    told = await asyncio.gather(
        stage.soon(lambda: stage.till.capture(payment)), stage.soon(lambda: stage.till.void(payment))
    )
    assert "PAYMENT_OPERATION_NOT_ALLOWED" in told, told
    return Meeting(payment, told)


async def _parts_too_large(stage: Stage) -> Meeting:
    """Two parts that together are more than was promised."""
    payment = await stage.till.authorize(minor_units=AMOUNT)
    take = [stage.soon(lambda: stage.till.capture(payment, minor_units=1_200)) for _ in range(2)]
    told = await asyncio.gather(*take)
    assert sorted(told) == ["CAPTURE_TOO_LARGE", "PARTIALLY_CAPTURED"], told
    return Meeting(payment, told)


async def _parts_that_fit(stage: Stage) -> Meeting:
    payment = await stage.till.authorize(minor_units=AMOUNT)
    take = [
        stage.soon(lambda part=part: stage.till.capture(payment, minor_units=part))  # type: ignore[misc]
        for part in (600, 1_500)
    ]
    return Meeting(payment, await asyncio.gather(*take))


async def _webhook_confirm(stage: Stage) -> Meeting:
    """The customer confirms: the provider tells, and is asked, at once."""
    payment = await stage.till.authorize("requires_action", minor_units=AMOUNT)
    assert await stage.till.answer_challenge(payment, "pass") == 200
    told = await stage.soon(lambda: stage.till.confirm(payment))
    assert told == "AUTHORIZED", told
    return Meeting(payment, (told, ""))


async def _webhook_reply(stage: Stage) -> Meeting:
    """A webhook comes at about the time of the slow provider's own reply."""
    asking = stage.till.asking("slow", minor_units=AMOUNT)

    async def told() -> None:
        charge = None
        while charge is None:
            charge = next(iter(await stage.till.book(asking)), None)
        await asyncio.sleep(max(0.0, 1.5 - stage.chance.uniform(0, stage.span)))
        await stage.till.provider("POST", "/v1/webhooks/redeliver", {"charge_id": charge["id"]})

    payment, _ = await asyncio.gather(stage.till.ask(asking), told())
    came = await eventually(lambda: _webhook_time(stage, payment))
    settled = (await stage.till.get(payment)).operations[0].settle_time.ToDatetime(UTC)
    return Meeting(payment, (said(payment), "reply" if settled < came else "webhook"))


async def _webhook_time(stage: Stage, payment: Any) -> datetime | None:
    """When the transaction began that took the webhook about a payment in."""
    rows = await stage.till.shop.clients.rows(
        "SELECT receive_time FROM payment.webhooks WHERE position($1::bytea IN payload) > 0",
        payment.provider_reference.encode(),
    )
    return rows[0]["receive_time"] if rows else None


async def _expiry_capture(stage: Stage) -> Meeting:
    payment = await stage.till.authorize("expiring", minor_units=AMOUNT)
    told = await stage.soon(lambda: stage.till.capture(payment), _left(payment) - stage.span / 2)
    return Meeting(payment, (told, ""))


async def _expiry_part(stage: Stage) -> Meeting:
    """The rest is captured as its time is over."""
    payment = await stage.till.authorize("expiring", minor_units=AMOUNT)
    payment = await stage.till.capture(payment, minor_units=PARCEL)
    told = await stage.soon(lambda: stage.till.capture(payment), _left(payment) - stage.span / 2)
    return Meeting(payment, (told, ""))


async def _expiry_confirm(stage: Stage) -> Meeting:
    """The customer confirms as the store's patience is at its end."""
    payment = await stage.till.authorize("requires_action", minor_units=AMOUNT)
    await asyncio.sleep(max(0.0, _left(payment) - 0.1 + stage.chance.uniform(0, stage.span)))
    answered = await stage.till.answer_challenge(payment, "pass")
    assert answered in (200, 409)
    return Meeting(payment, (said(await stage.till.confirm(payment)), str(answered)))


async def _dispute_refund(stage: Stage) -> Meeting:
    """There is enough for both: the dispute, and a refund that may have been asked for before."""
    payment = await stage.taken()
    told = await asyncio.gather(
        stage.soon(lambda: stage.till.refund(payment, minor_units=500)), _disputed(stage, payment, 1_000)
    )
    return Meeting(payment, told)


async def _dispute_of_all_refund(stage: Stage) -> Meeting:
    """The bank takes everything back, unless something was given back before."""
    payment = await stage.taken()
    told = await asyncio.gather(
        stage.soon(lambda: stage.till.refund(payment, minor_units=500)), _disputed(stage, payment, AMOUNT)
    )
    return Meeting(payment, told)


async def _dispute_and_silence(stage: Stage) -> Meeting:
    """A refund's answer is lost, and a dispute begins and ends at about the time when it is known at last."""
    payment = await stage.taken()

    async def disputed() -> None:
        await asyncio.sleep(max(0.0, SILENCE - stage.span / 2))
        dispute = await _disputed(stage, payment, 900)
        await stage.till.decides(dispute, stage.chance.choice(["won", "lost"]))

    path = f"/v1/charges/{payment.provider_reference}/refund"
    await stage.till.misbehaves(path, "silent_after")
    await asyncio.gather(stage.till.refund(payment, minor_units=500), disputed())
    return Meeting(payment)


async def _dispute_dispute(stage: Stage) -> Meeting:
    """Two disputes begin at once, and end at once: one is won, one lost."""
    payment = await stage.taken()
    first, second = await asyncio.gather(*(_disputed(stage, payment, part) for part in (900, 800)))
    await asyncio.gather(stage.till.decides(first, "won"), stage.till.decides(second, "lost"))
    return Meeting(payment, (first, second))


async def _parcel_parcel(stage: Stage) -> Meeting:
    payment = await stage.till.authorize(minor_units=AMOUNT)
    parts = [(PARCEL, new_id()), (2 * PARCEL, new_id())]
    # Each is told twice besides.
    await asyncio.gather(*(_shipped(stage, payment, *part) for part in parts * 2))
    return Meeting(payment, (parts[0][1], parts[1][1]))


async def _parcel_return(stage: Stage) -> Meeting:
    """What was in the first parcel comes back as the second one is sent."""
    payment = await stage.till.authorize(minor_units=AMOUNT)
    await _shipped(stage, payment, PARCEL, new_id())

    async def returned() -> None:
        await asyncio.sleep(stage.chance.uniform(0, stage.span))
        await stage.till.applied(await stage.till.returned(payment, PARCEL))

    await asyncio.gather(_shipped(stage, payment, 2 * PARCEL, new_id()), returned())
    return Meeting(payment)


async def _shipped(stage: Stage, payment: Any, minor_units: int, shipment_id: str) -> None:
    await asyncio.sleep(stage.chance.uniform(0, stage.span))
    worth = line_amount("", minor_units)
    await stage.till.applied(await stage.till.shipped(payment, worth, shipment_id=shipment_id))


async def _disputed(stage: Stage, payment: Any, minor_units: int) -> str:
    await asyncio.sleep(stage.chance.uniform(0, stage.span))
    return await stage.till.disputes(payment, minor_units)


def _left(payment: Any) -> float:
    """Seconds until a payment's time is over."""
    return float(payment.expire_time.ToNanoseconds() / 1e9 - time.time())


# What came first, as everybody has it afterwards.


def _settled(account: Account, kind: str, index: int = 0) -> datetime:
    settled: datetime = account.done(kind)[index]["settle_time"]
    return settled


def _first_part(meeting: Meeting) -> bool:
    return bool(meeting.now.done("capture")[0]["amount_minor_units"] == 600)


def _not_asked(meeting: Meeting) -> bool:
    """Whether the provider had told before it could be asked."""
    return bool(meeting.now.operations[0]["attempts"] == 1)


def _refunded_first(meeting: Meeting) -> bool:
    done, disputes = meeting.now.done("refund"), meeting.now.disputes
    return bool(done) and not (disputes and disputes[0]["open_time"] < done[0]["settle_time"])


def _opened_first(meeting: Meeting) -> bool:
    first = min(meeting.now.disputes, key=lambda dispute: dispute["open_time"])
    return bool(first["provider_reference"] == meeting.told[0])


def _parcel_first(meeting: Meeting) -> bool:
    return str(meeting.now.done("capture")[0]["request_id"]) == meeting.told[0]


def _returned_last(meeting: Meeting) -> bool:
    return _settled(meeting.now, "capture", 1) < _settled(meeting.now, "refund")


@dataclass(frozen=True)
class Race:
    """How two things meet, within how many seconds, what tells which came first, and in which states it may end.

    It `tilts` when the one only waits: the longer, the more often the other is first.
    """

    meet: Callable[[Stage], Awaitable[Meeting]]
    span: float
    first: Callable[[Meeting], bool]
    ends: set[str]
    mode: str = ""
    action_wait: float = 0
    tilts: bool = False
    at_once: int = AT_ONCE


def _told(index: int, word: str) -> Callable[[Meeting], bool]:
    return lambda meeting: meeting.told[index] == word


RACES = {
    "refunded twice": Race(_refund_refund, 0.02, _told(0, "PARTIALLY_REFUNDED"), {"PARTIALLY_REFUNDED"}),
    "captured and voided": Race(_capture_void, 0.02, _told(0, "CAPTURED"), {"CAPTURED", "VOIDED"}),
    "captured in parts that are too large together": Race(
        _parts_too_large, 0.02, _told(0, "PARTIALLY_CAPTURED"), {"PARTIALLY_CAPTURED"}
    ),
    "captured in parts": Race(_parts_that_fit, 0.02, _first_part, {"CAPTURED"}),
    "told and asked about": Race(_webhook_confirm, 0.05, _not_asked, {"AUTHORIZED"}, tilts=True),
    "told before or after the reply": Race(
        _webhook_reply, 0.2, _told(1, "webhook"), {"AUTHORIZED"}, tilts=True
    ),
    "captured as its time is over": Race(
        _expiry_capture, 1.0, lambda meeting: meeting.now.state == "CAPTURED", {"CAPTURED", "EXPIRED"}
    ),
    "captured to the end as its time is over": Race(
        _expiry_part, 1.0, lambda meeting: meeting.now.sums["captured"] == AMOUNT, {"CAPTURED"}
    ),
    "confirmed as its time is over": Race(
        _expiry_confirm,
        1.0,
        lambda meeting: meeting.now.state == "EXPIRED",
        {"AUTHORIZED", "EXPIRED"},
        action_wait=1.0,
        tilts=True,
    ),
    "disputed and refunded": Race(_dispute_refund, 0.05, _refunded_first, {"DISPUTED"}),
    "disputed wholly and refunded": Race(
        _dispute_of_all_refund, 0.05, _refunded_first, {"DISPUTED", "PARTIALLY_REFUNDED"}
    ),
    "disputed while nobody knows of the refund": Race(
        _dispute_and_silence,
        2.0,
        _refunded_first,
        {"PARTIALLY_REFUNDED"},
        at_once=6,  # Fewer silent answers than make the service leave the provider alone.
    ),
    "disputed twice": Race(_dispute_dispute, 0.02, _opened_first, {"CAPTURED"}),
    "sent in two parcels": Race(_parcel_parcel, 0.02, _parcel_first, {"CAPTURED"}, mode="ON_SHIPMENT"),
    "sent and returned": Race(
        _parcel_return, 0.05, _returned_last, {"PARTIALLY_REFUNDED"}, mode="ON_SHIPMENT"
    ),
}


@pytest.mark.parametrize("race", RACES)
async def test_whatever_comes_first_all_agree_about_a_payment_that_is(till, chance, race):
    """Both orders of events are seen, again and again; told, state, sums, books and events always agree."""
    run = RACES[race]
    await till.sets(run.mode, run.action_wait)
    stage = Stage(till, chance, run.span)
    seen: Counter[bool] = Counter()
    for number in range(BATCHES):
        meetings = await asyncio.gather(*(run.meet(stage) for _ in range(run.at_once)))
        found = await agree(till)
        for meeting in meetings:
            meeting.account = found[meeting.payment.order_id]
            assert meeting.now.state in run.ends, meeting.now
        outcomes = Counter(run.first(meeting) for meeting in meetings)
        seen += outcomes
        # A box that is slower, or faster, than most.
        if 4 * min(outcomes[True], outcomes[False]) < run.at_once:
            stage.span *= 0.5 if run.tilts and outcomes[True] > outcomes[False] else 2
        if number >= ROUNDS - 1 and min(seen[True], seen[False]) >= 3:
            break

    print(f"{race}: {dict(seen)} in {stage.span} s")
    assert seen[True] and seen[False], f"only one order of events was seen: {seen}"
