"""ListLedgerEntries: the newest transaction first, its entries in their order, page by page."""

import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.ledger_service_pb2 import LedgerEntry, ListLedgerEntriesRequest
from google.protobuf.timestamp_pb2 import Timestamp

from services.payment.ledger import queries as books
from services.runtime.times import timestamp
from tests.payment.ledgers import ACCOUNTS, post, rows_read, sealed, some_transactions, transaction
from tests.shop import new_id, refused

TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def ask(shop, **given):
    return ListLedgerEntriesRequest(store_id=shop.store_id, **given)


async def entries(shop, **given):
    return list((await shop.ledger.ListLedgerEntries(ask(shop, **given))).entries)


async def paged(shop, size, **given):
    """Every entry of a list, page by page."""
    seen, token = [], ""
    while True:
        page = await shop.ledger.ListLedgerEntries(ask(shop, page_size=size, page_token=token, **given))
        assert len(page.entries) <= size
        seen += page.entries
        token = page.next_page_token
        if not token:
            return seen
        assert page.entries


def keys(found):
    return [(each.transaction_id, each.position) for each in found]


def newest_first(posted):
    ordered = sorted(posted, key=lambda each: each.position)
    ordered.sort(key=lambda each: (each.time, each.transaction_id), reverse=True)
    return [(each.transaction_id, each.position) for each in ordered]


@pytest.fixture
async def posted(ledger, shop):
    """Transactions of two to four entries, some of them at the same time."""
    chance = random.Random(11)
    found = some_transactions(chance, shop.store_id, [TIME + chance.randrange(12) * HOUR for _ in range(30)])
    await post(ledger, found)
    return found


async def test_says_all_of_a_payments_entries(till, shop):
    payment = await till.capture(await till.authorize(minor_units=700))
    asked = till.reference(payment)

    found = await entries(shop)

    operations = {each.operation_id: each for each in payment.operations}
    assert [(each.kind, each.position, each.account, each.HasField("debit")) for each in found] == [
        ("capture", 1, "customer_receivable", False),
        ("capture", 2, "authorizations", True),
        ("capture", 3, "provider_clearing", True),
        ("capture", 4, "revenue", False),
        ("authorize", 1, "customer_receivable", True),
        ("authorize", 2, "authorizations", False),
    ]
    for each in found:
        assert (each.payment_id, each.order_id) == (payment.payment_id, asked.order_id)
        assert each.kind == operations[each.transaction_id].kind
        assert each.create_time == operations[each.transaction_id].settle_time
        assert each.HasField("debit") != each.HasField("credit")
        money = each.debit if each.HasField("debit") else each.credit
        assert (money.currency_code, money.minor_units) == ("EUR", 700)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 500])
async def test_pages_of_any_size_are_the_whole_each_entry_once(posted, shop, size):
    found = await paged(shop, size)
    assert keys(found) == newest_first(posted)


async def test_what_is_posted_meanwhile_moves_nothing_to_another_page(posted, ledger, shop):
    first = await shop.ledger.ListLedgerEntries(ask(shop, page_size=20))
    await post(ledger, transaction(shop.store_id, time=TIME + 24 * HOUR))
    rest: list[LedgerEntry] = []
    token = first.next_page_token
    while token:
        page = await shop.ledger.ListLedgerEntries(ask(shop, page_size=20, page_token=token))
        rest, token = rest + list(page.entries), page.next_page_token

    assert keys([*first.entries, *rest]) == newest_first(posted)


@pytest.mark.parametrize("account", [*ACCOUNTS, "provider_clearing", "nonesuch"])
async def test_of_an_account(posted, shop, account):
    wanted = [each for each in posted if each.account == account]
    assert keys(await paged(shop, 3, account=account)) == newest_first(wanted)


@pytest.mark.parametrize("begin", [None, 0, 3])
@pytest.mark.parametrize("end", [None, 3, 8])
async def test_of_some_time(posted, shop, begin, end):
    given = {}
    if begin is not None:
        given["posted_from"] = timestamp(TIME + begin * HOUR)
    if end is not None:
        given["posted_before"] = timestamp(TIME + end * HOUR)
    low, high = TIME + (begin or 0) * HOUR, TIME + (99 if end is None else end) * HOUR
    wanted = [each for each in posted if low <= each.time < high]

    assert keys(await paged(shop, 4, **given)) == newest_first(wanted)
    fees = [each for each in wanted if each.account == "fees"]
    assert keys(await paged(shop, 4, account="fees", **given)) == newest_first(fees)


async def test_of_a_payment_or_an_order(till, shop):
    one, other = await till.authorize(), await till.authorize()
    await till.capture(one)

    whole = [each for each in await entries(shop) if each.payment_id == one.payment_id]
    assert len(whole) == 6
    for given in (
        {"payment_id": one.payment_id},
        {"order_id": one.order_id},
        {"payment_id": one.payment_id.upper(), "order_id": one.order_id.upper()},
    ):
        assert await paged(shop, 4, **given) == whole
    assert await entries(shop, payment_id=one.payment_id, order_id=other.order_id) == []
    clearing = await entries(shop, order_id=one.order_id, account="provider_clearing")
    assert [each.account for each in clearing] == ["provider_clearing"]


async def test_another_stores_payment_is_like_none(till, shop):
    payment = await till.authorize()
    for payment_id, order_id in ((payment.payment_id, payment.order_id), (new_id(), new_id())):
        assert await entries(shop.another(), payment_id=payment_id) == []
        assert await entries(shop.another(), order_id=order_id) == []
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.another().ledger.ListLedgerEntries(ask(shop))


async def test_a_token_is_good_for_its_own_question_only(posted, shop):
    token = (await shop.ledger.ListLedgerEntries(ask(shop, page_size=2))).next_page_token
    for given in ({"account": "fees"}, {"posted_from": timestamp(TIME)}, {"payment_id": new_id()}):
        with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
            await entries(shop, page_token=token, **given)
    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await entries(shop, page_token="x" + token[1:])


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("payment_id", {"payment_id": "1"}),
        ("order_id", {"order_id": "1"}),
        ("page_size", {"page_size": 501}),
        ("account", {"account": "a" * 61}),
        ("posted_from", {"posted_from": Timestamp(seconds=10**14)}),
        ("posted_before", {"posted_before": Timestamp(seconds=-(10**14))}),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(shop, field, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
        await entries(shop, **given)
    assert list(refusal.violations) == [field]


async def test_a_browser_lists_them(posted, shop):
    reply = await shop.rest("GET", f"/v1/stores/{shop.store_id}/ledger/entries?account=fees&pageSize=1")

    assert reply.status == 200
    (entry,) = reply.body["entries"]
    assert entry["account"] == "fees" and entry["debit"]["minorUnits"].isdigit()
    assert reply.body["nextPageToken"]


MANY = 40_000
PAGE = 50
_FILL = """
WITH filled AS (
    SELECT gen_random_uuid() AS id, n, $2::timestamptz + n * interval '1 second' AS time
    FROM generate_series(1, $3::int) AS n
)
INSERT INTO ledger_entries (transaction_id, position, store_id, kind, account, currency_code,
    debit_minor_units, credit_minor_units, payment_id, order_id, create_time)
SELECT id, position, $1, 'capture',
    CASE WHEN position = 2 THEN 'provider_clearing' WHEN n % 5000 = 1 THEN 'bank' ELSE 'revenue' END, 'EUR',
    CASE position WHEN 1 THEN 5 ELSE 0 END, CASE position WHEN 2 THEN 5 ELSE 0 END, id, id, time
FROM filled, generate_series(1, 2) AS position
"""


async def test_a_page_reads_about_as_many_rows_as_it_has_whatever_is_asked_for(ledger, shop):
    await ledger.execute(_FILL, shop.store_id, TIME, MANY)
    await ledger.execute("ANALYZE ledger_entries")
    last = await ledger.fetchrow(
        "SELECT * FROM ledger_entries WHERE store_id = $1 AND account = 'bank' LIMIT 1", shop.store_id
    )
    middle = TIME + timedelta(seconds=MANY // 2)
    position = [middle.isoformat(), str(last["transaction_id"]), "1"]
    questions: list[tuple[dict[str, Any], list[str] | None]] = [
        ({}, None),
        ({}, position),
        ({"posted_before": timestamp(middle)}, None),
        ({"posted_from": timestamp(TIME), "posted_before": timestamp(middle)}, position),
        ({"account": "revenue"}, position),
        ({"account": "bank"}, None),
        ({"payment_id": str(last["payment_id"])}, None),
        ({"order_id": str(last["order_id"])}, None),
    ]
    for given, after in questions:
        statement, values = books.question(ask(shop, **given), after)
        arguments = statement.arguments(values | {"size": PAGE + 1})
        plan = await ledger.fetchval("EXPLAIN (ANALYZE, FORMAT JSON) " + statement.sql, *arguments)
        assert rows_read(json.loads(plan)[0]["Plan"]) <= 5 * PAGE, (given, plan)
    await sealed(shop)
