"""FetchSettlement: a provider's report, fetched and taken in as ImportSettlement does."""

import asyncio
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1 import settlement_service_pb2 as rpc

from services.cluster.cluster import Cluster
from services.cluster.home import Home
from services.payment.gateways.gateway import Abilities
from services.payment.settlement.intake import Settlements
from services.runtime.refusals import Refusal
from services.runtime.times import timestamp
from services.sandbox import schema
from services.sandbox.rules import Line
from tests.payment.reports import balance, captured, counts, found, now, told
from tests.payment.stand_ins import gateways_that_can
from tests.payment.till import Till
from tests.shop import Clients, Shop, eventually, new_id, refused

LONG_AGO = int(datetime(2001, 9, 9, tzinfo=UTC).timestamp())


def asking(since, **given):
    """For all since a time; the sandbox counts in whole seconds."""
    values = {
        "gateway": "sandbox",
        "begin_time": since.replace(microsecond=0),
        "end_time": now() + timedelta(hours=1),
        "request_id": new_id(),
    }
    return rpc.FetchSettlementRequest(**(values | given))


async def fetched(shop, since, **given):
    admin = shop.as_("platform_admin")
    return (await admin.settlements.FetchSettlement(asking(since, **given))).settlement


async def plant(till, kind, payment):
    key = payment.operations[-1].operation_id
    return await till.provider("POST", "/v1/settlement/plant", {"kind": kind, "idempotency_key": key})


async def test_what_the_provider_reports_agrees_and_its_fees_are_posted(till, shop):
    since = now()
    for minor_units in (1000, 2000):
        payment = await captured(till, minor_units)
    await till.refund(payment, minor_units=300)

    settlement = await fetched(shop, since)

    assert settlement.complete
    assert settlement.lines == settlement.matched >= 3
    assert await found(shop) == []
    accounts, differences = await balance(shop)
    assert accounts["fees"] == (29 + 30) + (58 + 30)
    assert accounts["provider_clearing"] == 3000 - 300 - accounts["fees"]
    assert differences == {0}


async def test_a_dispute_agrees_with_what_the_provider_told_of_it(till, shop):
    since = now()
    payment = await till.authorize("dispute_won")
    await till.capture(payment)

    async def won():
        sql = "SELECT FROM payment.disputes WHERE payment_id = $1 AND close_time IS NOT NULL"
        return await shop.clients.rows(sql, payment.payment_id)

    await eventually(won)
    await fetched(shop, since)

    assert await found(shop) == []
    assert (await balance(shop))[0]["fees"] == 58 + 30 + 1500


@pytest.mark.parametrize(
    "kind, difference",
    [
        ("missing", ("MISSING_THERE", 1999, None)),
        ("amount", ("AMOUNT", 1999, 2099)),
        ("currency", ("CURRENCY", 1999, 1999)),
    ],
)
async def test_what_the_report_is_wrong_about_is_found(till, shop, kind, difference):
    since = now()
    await captured(till, 500)
    payment = await captured(till)
    await plant(till, kind, payment)

    settlement = await fetched(shop, since)

    assert settlement.discrepancies == 1
    listed = await found(shop)
    assert told(listed) == [difference]
    assert listed[0].payment_id == payment.payment_id


async def test_a_line_that_never_happened_is_missing_here(till, shop):
    since = now()
    planted = await plant(till, "extra", await captured(till))

    settlement = await fetched(shop, since)

    listed = await found(shop, store_id="", settlement_id=settlement.settlement_id)
    assert told(listed) == [("MISSING_HERE", None, 1999)]
    assert listed[0].line_id == planted["line"]["id"]


async def test_fetched_again_it_changes_nothing(till, shop):
    since = now()
    await plant(till, "amount", await captured(till))
    request = asking(since)
    admin = shop.as_("platform_admin")
    first = await admin.settlements.FetchSettlement(request)
    books = await balance(shop)

    assert await admin.settlements.FetchSettlement(request) == first
    assert counts(await fetched(shop, since)) == (0, 0, 0)

    assert told(await found(shop, resolved=True)) == [("AMOUNT", 1999, 2099)]
    assert await balance(shop) == books


async def test_a_provider_that_does_not_answer_is_told_and_the_same_request_goes_on(till, shop):
    since = now()
    await captured(till)
    request = asking(since)
    admin = shop.as_("platform_admin")
    await till.provider("POST", "/v1/misbehave", {"path": "/v1/settlement", "kind": "error_500", "times": 1})
    with refused(ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE, gateway="sandbox"):
        await admin.settlements.FetchSettlement(request)

    settlement = (await admin.settlements.FetchSettlement(request)).settlement

    assert settlement.settlement_id == request.request_id
    assert settlement.complete
    assert await found(shop) == []


@pytest.fixture
async def long_report(tmp_path):
    """The till of a cluster of its own, whose provider has two pages of lines of a day long ago."""
    home, failpoints = Home(tmp_path / "home"), tmp_path / "failpoints"
    home.prepare()
    (home.path / "lock").touch()  # By which it is known for one.
    book = home.path / "sandbox" / "book.db"
    book.parent.mkdir()
    failpoints.mkdir()
    with closing(sqlite3.connect(book)) as db, db:
        schema.prepare(db)
        for number in range(5001):
            line = Line(f"txn_{number}", "capture", "ch_no", "", None, "cap_no", "EUR", 100, 3, 97, LONG_AGO)
            db.execute(f"INSERT INTO settlement ({schema.LINE_COLUMNS}) VALUES (?{', ?' * 10})", line)
    environment = {"COMMERCE_FAILPOINTS": str(failpoints)}
    async with Cluster(home.path, ["payment"], environment=environment) as cluster:
        clients = Clients(cluster)
        yield Till(Shop(clients)), failpoints
        await clients.close()


async def test_what_was_taken_in_before_a_report_broke_off_stays(long_report):
    till, failpoints = long_report
    begin = datetime.fromtimestamp(LONG_AGO, UTC)
    request = asking(begin, end_time=begin + timedelta(days=1))
    settlements = till.shop.as_("platform_admin").settlements
    # Its first page has come, its second has not been asked for.
    point = failpoints / "payment after commit take lines in"
    point.write_text("hold")
    fetching = asyncio.create_task(_fetch(settlements, request))

    async def reached():
        return (failpoints / f"{point.name}.reached").exists()

    await eventually(reached)
    await till.provider("POST", "/v1/misbehave", {"path": "/v1/settlement", "kind": "error_500", "times": 1})
    (failpoints / f"{point.name}.go").touch()

    with refused(ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE, gateway="sandbox"):
        await fetching
    (so_far,) = (await settlements.ListSettlements(rpc.ListSettlementsRequest())).settlements
    assert (so_far.settlement_id, so_far.lines, so_far.complete) == (request.request_id, 5000, False)

    settlement = await _fetch(settlements, request)
    assert counts(settlement) == (5001, 0, 5001)
    assert settlement.complete


async def _fetch(settlements, request):
    return (await settlements.FetchSettlement(request)).settlement


async def test_of_no_provider_or_no_time_nothing_is_fetched(shop):
    with refused(ErrorReason.ERROR_REASON_GATEWAY_UNKNOWN, gateway="nobody"):
        await fetched(shop, now(), gateway="nobody")
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
        await fetched(shop, now(), end_time=now() - timedelta(days=1))
    assert "end_time" in refusal.violations


async def test_a_gateway_that_sends_no_reports_is_not_asked():
    settlements = Settlements(cast(Any, None), gateways_that_can(sandbox=Abilities()))

    with pytest.raises(Refusal) as no:
        await settlements.fetch(asking(now()))

    assert (no.value.name, no.value.metadata) == (
        "GATEWAY_UNABLE",
        {"gateway": "sandbox", "ability": "settlements"},
    )


async def test_a_request_id_is_of_one_report(shop):
    request = asking(now())
    admin = shop.as_("platform_admin")
    await admin.settlements.FetchSettlement(request)

    request.end_time.seconds += 1

    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED):
        await admin.settlements.FetchSettlement(request)


async def test_only_who_runs_the_platform_may(shop):
    for role in ("store_admin", "store_manager"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await shop.as_(role).settlements.FetchSettlement(asking(now()))


@pytest.mark.parametrize("until", [datetime(9999, 12, 31, tzinfo=UTC), now() + timedelta(days=3)])
async def test_a_report_until_a_time_that_is_far_away_is_refused(shop, until):
    admin = shop.as_("platform_admin").settlements
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await admin.FetchSettlement(asking(now() - timedelta(days=1), end_time=until))
    assert said.violations.keys() == {"end_time"}


async def test_a_report_of_a_time_that_has_not_begun_is_refused(shop):
    admin = shop.as_("platform_admin").settlements
    tomorrow = now() + timedelta(days=1)
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await admin.FetchSettlement(asking(tomorrow, end_time=tomorrow + timedelta(days=1)))
    assert said.violations.keys() == {"begin_time"}
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        batch = rpc.ImportSettlementRequest(
            gateway="sandbox",
            begin_time=timestamp(tomorrow),
            end_time=timestamp(tomorrow + timedelta(days=1)),
            batch=1,
            request_id=new_id(),
        )
        await admin.ImportSettlement(iter([batch]))
    assert said.violations.keys() == {"begin_time"}
