"""The kit, third part: what the provider tells unasked, and its report."""

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.settlement_service_pb2 import SettlementLineKind as LineKind

from services.payment.rules.outcomes import DISPUTED
from services.payment.rules.payment import DISPUTE_LOST, DISPUTE_OPEN, DISPUTE_WON, Kind
from services.runtime.refusals import Refusal
from tests.payment.gateway_kit import AMOUNT, PART, Sums, buy, needs, unsigned


async def life(world):
    """A charge that has lived: what was asked of it."""
    purchase = await (await buy(world)).ready_for(Kind.REFUND)
    await purchase.done(Kind.REFUND, PART if world.gateway.abilities.partial_refund else None)
    return purchase


async def life_in_parts(world):
    """A part taken, the rest given up, a part of that given back."""
    needs(world, "partial_capture", "multiple_capture", "partial_refund")
    purchase = await buy(world)
    for kind, amount in ((Kind.AUTHORIZE, None), (Kind.CAPTURE, PART), (Kind.VOID, None), (Kind.REFUND, 1)):
        await purchase.done(kind, amount)
    return purchase


async def life_for_nothing(world):
    """Nothing taken."""
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    await purchase.done(Kind.VOID)
    return purchase


async def webhooks(world, purchase):
    sent = await world.webhooks(purchase.reference)
    assert sent
    return sent


def ours(notice, purchase):
    """Whether it names the charge, or one of its operations."""
    operations = [operation.operation_id for operation in purchase.payment.operations]
    return notice.charge_reference == purchase.reference or notice.operation_id in operations


LIVES = [life, life_in_parts, life_for_nothing]
# What a webhook may say has become of an operation.
NEWS = {
    Kind.AUTHORIZE: ("processing", "requires_action", "authorized", "declined", "voided", "expired"),
    Kind.CAPTURE: ("captured",),
    Kind.VOID: ("voided", "expired"),
    Kind.REFUND: ("refunded",),
}


@pytest.mark.parametrize("live", LIVES)
async def test_every_event_is_verified_and_names_the_charge_or_the_operation(world, live):
    purchase = await live(world)
    for sent in await webhooks(world, purchase):
        await world.gateway.verify(sent.body, sent.headers)
        notice = world.gateway.read(sent.body)
        assert notice.event_id
        assert notice.type
        assert ours(notice, purchase), notice


@pytest.mark.parametrize("live", LIVES)
async def test_what_an_event_tells_is_true_and_of_the_operation_that_did_it(world, live):
    purchase = await live(world)
    for sent in await webhooks(world, purchase):
        notice = world.gateway.read(sent.body)
        if notice.told:
            assert notice.told.reference == purchase.reference
            assert (notice.told.amount, notice.told.currency_code) == (AMOUNT, world.currencies[0])
            assert notice.told.captured <= purchase.payment.captured
            assert notice.told.refunded <= purchase.payment.refunded
            assert notice.told.status in NEWS[purchase.payment.operation(notice.operation_id).kind]


async def test_the_end_of_a_challenge_is_told_or_at_least_that_it_has_ended(world):
    needs(world, "customer_action")
    purchase = await buy(world, "challenge")
    authorization = purchase.asked(Kind.AUTHORIZE)
    await purchase.perform(authorization)
    reference = purchase.reference
    before = {world.gateway.read(sent.body).event_id for sent in await world.webhooks(reference)}

    await world.answer_challenge(reference, passed=True)

    notices = [world.gateway.read(sent.body) for sent in await webhooks(world, purchase)]
    news = [notice for notice in notices if notice.event_id not in before]
    assert any(notice.ask or (notice.told and notice.told.status == "authorized") for notice in news)
    assert all(ours(notice, purchase) for notice in news)


async def test_an_expiry_is_told_or_at_least_that_something_has_happened(world):
    purchase = await buy(world)
    await purchase.done(Kind.AUTHORIZE)
    before = len(await world.webhooks(purchase.reference))

    await world.expire(purchase.reference)

    notices = [world.gateway.read(sent.body) for sent in await webhooks(world, purchase)]
    news = [
        notice
        for notice in notices[before:]
        if notice.ask or (notice.told and notice.told.status in ("expired", "voided"))
    ]
    assert news
    assert all(ours(notice, purchase) for notice in news)


@pytest.mark.parametrize(("won", "end"), [(True, DISPUTE_WON), (False, DISPUTE_LOST)], ids=["won", "lost"])
async def test_a_dispute_is_told_as_it_stands(world, won, end):
    needs(world, "disputes")
    purchase = await (await buy(world)).ready_for(Kind.REFUND)
    before = len(await world.webhooks(purchase.reference))

    reference = await world.open_dispute(purchase.reference, PART)
    opened = await disputes(world, purchase, before)
    await world.close_dispute(reference, won=won)
    decided = await disputes(world, purchase, before)

    assert {dispute.status for dispute in opened} == {DISPUTE_OPEN}
    assert decided[-1].status == end
    for dispute in decided:
        assert (dispute.reference, dispute.amount) == (reference, PART)
        assert dispute.currency_code == world.currencies[0]
        assert dispute.reason
    [sums] = await purchase.charges()
    assert sums == Sums(AMOUNT, captured=AMOUNT, disputed=0 if won else PART)


async def test_a_refund_of_what_is_disputed_is_refused_as_that_and_done_when_the_dispute_is_won(world):
    needs(world, "disputes", "partial_refund")
    purchase = await (await buy(world)).ready_for(Kind.REFUND)
    reference = await world.open_dispute(purchase.reference, AMOUNT)

    refused = await purchase.do(Kind.REFUND, PART)
    assert (refused.code, bool(refused.words.message)) == (DISPUTED, True)
    await world.close_dispute(reference, won=True)

    assert (await purchase.done(Kind.REFUND, PART)).refunded == PART


async def disputes(world, purchase, before):
    sent = (await world.webhooks(purchase.reference))[before:]
    notices = [world.gateway.read(one.body) for one in sent]
    found = [notice for notice in notices if notice.dispute]
    assert all(ours(notice, purchase) for notice in found)
    return [notice.dispute for notice in found]


async def test_events_have_ids_of_their_own_and_keep_them(world):
    purchase = await life(world)
    first = [world.gateway.read(sent.body).event_id for sent in await webhooks(world, purchase)]
    again = [world.signed(sent, age_seconds=1) for sent in await webhooks(world, purchase)]
    assert len(set(first)) == len(first)
    for sent in again:
        await world.gateway.verify(sent.body, sent.headers)
    assert [world.gateway.read(sent.body).event_id for sent in again] == first


async def test_a_missing_signature_is_refused(world):
    purchase = await life(world)
    sent = (await webhooks(world, purchase))[0]
    assert await unsigned(world.gateway, sent._replace(headers={})) == "missing"


async def test_a_strangers_signature_is_refused(world):
    purchase = await life(world)
    for sent in await webhooks(world, purchase):
        assert await unsigned(world.gateway, world.signed(sent, by_stranger=True)) == "wrong"


async def test_the_signature_of_another_body_is_refused(world):
    purchase = await life(world)
    for sent in await webhooks(world, purchase):
        other = sent.body.replace(str(AMOUNT).encode(), b"1")
        other = sent.body + b" " if other == sent.body else other
        assert await unsigned(world.gateway, sent._replace(body=other)) == "wrong"


async def test_an_old_signature_is_refused(world):
    purchase = await life(world)
    sent = (await webhooks(world, purchase))[0]
    assert await unsigned(world.gateway, world.signed(sent, age_seconds=3600)) == "too old"
    ahead = world.signed(sent, age_seconds=-3600)
    assert await unsigned(world.gateway, ahead) == "too old"


@pytest.mark.parametrize(
    "value", [b"\xff\xfe", "", "t=,v1=", "x" * 10_000], ids=["bytes", "empty", "no values", "long"]
)
async def test_a_signature_that_is_none_is_refused(world, value):
    purchase = await life(world)
    sent = (await webhooks(world, purchase))[0]
    proofs = [name for name in sent.headers if "sig" in name]
    assert proofs
    for name in proofs:
        cause = await unsigned(world.gateway, sent._replace(headers={**sent.headers, name: value}))
        assert cause in ("missing", "malformed", "wrong")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"evt_1"',
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'{"id": 1, "type": 2, "event_type": 2, "data": 3, "resource": 3}',
        b'{"id": "", "type": "", "event_type": ""}',
        b'{"id": "evt_1"}',
    ],
)
def test_a_body_that_is_none_is_refused(world, body):
    with pytest.raises(Refusal) as refused:
        world.gateway.read(body)
    assert refused.value.reason == ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED


async def test_a_body_that_lacks_something_tells_nothing_that_is_wrong(world):
    """Each event with one field gone or odd: refused, or read as one that tells no more than it has."""
    purchase = await life(world)
    for sent in await webhooks(world, purchase):
        event = json.loads(sent.body)
        for body in list(without_each(event)):
            try:
                notice = world.gateway.read(json.dumps(body).encode())
            except Refusal as refusal:
                assert refusal.reason == ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED
                continue
            if notice.told:
                assert notice.told.amount == AMOUNT
                assert notice.told.currency_code == world.currencies[0]
                assert notice.told.reference == purchase.reference


def without_each(value):
    """A value without each of its parts in turn, and with each replaced by another kind of thing."""
    if isinstance(value, dict):
        for name in value:
            yield {other: part for other, part in value.items() if other != name}
            for odd in (None, [1], {"a": 1}, 7 if isinstance(value[name], str) else "7"):
                yield {**value, name: odd}
            for part in without_each(value[name]):
                yield {**value, name: part}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for part in without_each(inner):
                yield [*value[:index], part, *value[index + 1 :]]


async def test_the_reports_lines_add_up_to_the_book(world):
    needs(world, "settlements")
    purchase = await life(world)
    disputed = world.gateway.abilities.disputes and world.gateway.abilities.partial_refund
    if disputed:
        first, second = [await world.open_dispute(purchase.reference, amount) for amount in (100, 200)]
        await world.close_dispute(first, won=True)
        await world.close_dispute(second, won=False)

    lines = await report(world, purchase)

    sums: dict[int, int] = defaultdict(int)
    for line in lines:
        sums[line.kind] += line.gross.minor_units
    [book] = await purchase.charges()
    assert sums[LineKind.SETTLEMENT_LINE_KIND_CAPTURE] == book.captured
    assert sums[LineKind.SETTLEMENT_LINE_KIND_REFUND] == -book.refunded
    held = sums[LineKind.SETTLEMENT_LINE_KIND_DISPUTE] + sums[LineKind.SETTLEMENT_LINE_KIND_DISPUTE_WON]
    assert held == -book.disputed == (-200 if disputed else 0)
    assert {line.gross.currency_code for line in lines} == {world.currencies[0]}


async def test_the_reports_lines_name_what_they_are_of_and_what_it_cost(world):
    needs(world, "settlements")
    purchase = await life(world)

    lines = await report(world, purchase)

    assert len({line.line_id for line in lines}) == len(lines) == 2
    named = {(one.kind, name) for one in purchase.payment.operations for name in names(one) if name}
    kinds = {
        LineKind.SETTLEMENT_LINE_KIND_CAPTURE: Kind.CAPTURE,
        LineKind.SETTLEMENT_LINE_KIND_REFUND: Kind.REFUND,
    }
    for line in lines:
        assert (kinds[line.kind], line.operation_reference) in named
        assert abs(line.time.ToDatetime(UTC) - datetime.now(UTC)) < timedelta(hours=1)
    [capture] = [line for line in lines if line.gross.minor_units > 0]
    assert capture.fee.minor_units > 0
    assert capture.fee.currency_code == world.currencies[0]


async def test_a_report_of_another_time_has_nothing_of_it(world):
    needs(world, "settlements")
    purchase = await life(world)
    long_ago = datetime.now(UTC) - timedelta(days=20)
    found = world.gateway.settlement(long_ago, long_ago + timedelta(days=1))
    assert not [line async for line in found if line.charge_reference == purchase.reference]


def names(operation):
    return operation.provider_reference, operation.operation_id


async def report(world, purchase):
    """The lines about a purchase in a report of these days."""
    now = datetime.now(UTC)
    lines = world.gateway.settlement(now - timedelta(hours=2), now + timedelta(hours=2))
    return [line async for line in lines if line.charge_reference == purchase.reference]


# What JSON can spell and no database can hold: half of a surrogate pair, the wrong half first, a NUL, bytes of one.
UNSTORABLE = [rb"x\ud800", rb"\udc00\ud800", rb"a\u0000b", b"\xed\xa0\x80", b"\xff"]


@pytest.mark.parametrize("odd", UNSTORABLE, ids=["half", "halves", "NUL", "bytes of a half", "no UTF-8"])
async def test_a_text_that_cannot_be_stored_is_refused_or_read_as_one_that_can(world, odd):
    purchase = await life(world)
    for sent in await webhooks(world, purchase):
        event = json.loads(sent.body)
        for body in with_each_text(event, "ODD TEXT"):
            try:
                notice = world.gateway.read(json.dumps(body).encode().replace(b"ODD TEXT", odd))
            except Refusal as refusal:
                assert refusal.reason == ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED
                continue
            said = str(notice)
            assert said.encode()
            assert "\0" not in said.replace("\\x00", "\0")
            assert notice.event_id == event["id"]


def with_each_text(value, odd):
    """A value with each of its texts in turn replaced."""
    if isinstance(value, dict):
        for name, inner in value.items():
            for part in with_each_text(inner, odd):
                yield {**value, name: part}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            for part in with_each_text(inner, odd):
                yield [*value[:index], part, *value[index + 1 :]]
    elif isinstance(value, str):
        yield odd
