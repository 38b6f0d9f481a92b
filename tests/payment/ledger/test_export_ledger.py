"""ExportLedger: the whole journal as a file in pieces, by gRPC and through the gateway."""

import asyncio
import csv
import io
import json
import random
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import pytest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1 import ledger_service_pb2 as rpc
from google.protobuf.json_format import Parse
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.hardening import MAX_REPLY_BYTES
from services.payment.ledger import formats
from services.runtime.times import timestamp
from tests.payment.ledgers import post, some_transactions, transaction
from tests.shop import eventually, new_id, refused

CSV, JSON_LINES = rpc.EXPORT_FORMAT_CSV, rpc.EXPORT_FORMAT_JSON_LINES
TIME = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
PIECE = 64 * 1024


def ask(shop, **given):
    return rpc.ExportLedgerRequest(store_id=shop.store_id, **given)


async def pieces(shop, **given):
    return [piece async for piece in shop.ledger.ExportLedger(ask(shop, **given))]


async def text(shop, **given):
    return b"".join(piece.data for piece in await pieces(shop, **given)).decode()


async def table(shop, **given):
    return list(csv.DictReader(io.StringIO(await text(shop, **given), newline="")))


def oldest_first(posted):
    ordered = sorted(posted, key=lambda each: (each.time, each.transaction_id, each.position))
    return [(each.transaction_id, str(each.position)) for each in ordered]


def keys(found):
    return [(row["transaction_id"], row["position"]) for row in found]


@pytest.fixture
async def posted(ledger, shop):
    chance = random.Random(13)
    found = some_transactions(chance, shop.store_id, [TIME + chance.randrange(12) * HOUR for _ in range(40)])
    await post(ledger, found)
    return found


async def test_as_csv_it_has_a_header_and_a_line_an_entry_the_oldest_first(posted, shop):
    for asked in ({}, {"format": CSV}):
        found = await table(shop, **asked)
        assert keys(found) == oldest_first(posted)
        by_key = {(each.transaction_id, str(each.position)): each for each in posted}
        for row in found:
            entry = by_key[row["transaction_id"], row["position"]]
            assert (row["kind"], row["account"], row["currency_code"]) == (
                "fee",
                entry.account,
                entry.currency,
            )
            assert (int(row["debit_minor_units"]), int(row["credit_minor_units"])) == (
                entry.debit,
                entry.credit,
            )
            assert (row["payment_id"], row["order_id"], row["product_id"]) == ("", "", "")
            assert datetime.fromisoformat(row["create_time"]) == entry.time


async def test_as_json_lines_each_is_an_entry_of_the_contract(till, shop):
    payment = await till.authorize()
    await till.capture(payment)

    lines = (await text(shop, format=JSON_LINES)).splitlines()

    page = await shop.ledger.ListLedgerEntries(rpc.ListLedgerEntriesRequest(store_id=shop.store_id))
    oldest = sorted(page.entries, key=lambda each: (each.create_time.ToNanoseconds(), each.position))
    assert [Parse(line, rpc.LedgerEntry()) for line in lines] == oldest


async def test_the_first_piece_says_what_it_is(posted, shop):
    for format_, kind in ((CSV, "text/csv; charset=utf-8"), (JSON_LINES, "application/jsonl")):
        first, *rest = await pieces(shop, format=format_)
        assert first.content_type == kind
        assert {piece.content_type for piece in rest} <= {""}


async def test_an_empty_journal_is_a_file_too(shop):
    (only,) = await pieces(shop)
    assert only.data.decode() == formats.HEADER
    (only,) = await pieces(shop, format=JSON_LINES)
    assert (only.data, only.content_type) == (b"", "application/jsonl")


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

    assert keys(await table(shop, **given)) == oldest_first(wanted)


async def test_no_cell_is_a_formula(ledger, shop):
    """No account of ours is called so; a journal that came from elsewhere may have one."""
    names = ("=cmd|' /C calc'!A0", "+1", "-1", "@sum(A1)", "\tx", "\rx", 'a "quoted", cell\r\nof two lines')
    await post(ledger, transaction(shop.store_id, 5, TIME, accounts=names))

    found = [row["account"] for row in await table(shop)]

    assert found == [*(f"'{name}" for name in names[:6]), names[6], "provider_clearing"]


@given(st.text())
def test_a_cell_is_shown_as_it_is_or_behind_an_apostrophe(cell):
    harmless = formats.harmless(cell)
    assert harmless.removeprefix("'") == cell.removeprefix("'")
    assert not harmless.startswith(("=", "+", "-", "@", "\t", "\r"))


async def test_a_large_one_comes_in_pieces_each_entry_once(ledger, shop):
    posted = [entry for n in range(2_600) for entry in transaction(shop.store_id, n + 1, TIME + n % 7 * HOUR)]
    await post(ledger, posted)

    found = await pieces(shop)

    assert len(found) > 5
    assert {len(piece.data) for piece in found[:-1]} == {PIECE}
    rows = list(csv.DictReader(io.StringIO(b"".join(piece.data for piece in found).decode(), newline="")))
    assert keys(rows) == oldest_first(posted)


async def test_what_is_posted_after_it_began_is_left_out(posted, ledger, shop):
    lines = []
    async for piece in shop.ledger.ExportLedger(ask(shop, format=JSON_LINES)):
        await post(ledger, transaction(shop.store_id))
        lines += piece.data.decode().splitlines()
    assert len(lines) == len(posted)


@pytest.fixture
async def large(ledger, shop):
    """A journal that is larger than any reply that the gateway would hold."""
    ids: dict[str, Any] = {name: new_id() for name in ("payment_id", "order_id", "product_id")}
    posted = [entry for n in range(25_000) for entry in transaction(shop.store_id, n + 1, TIME, **ids)]
    for begin in range(0, len(posted), 10_000):
        await post(ledger, posted[begin : begin + 10_000])
    return posted


@asynccontextmanager
async def download(shop):
    path = f"/v1/stores/{shop.store_id}/ledger:export?format=EXPORT_FORMAT_JSON_LINES"
    headers = {"authorization": f"Bearer {shop.token}"}
    async with shop.clients.http.get(path, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "application/jsonl")
        assert "content-length" not in answer.headers
        yield answer.content


async def test_through_the_gateway_it_is_a_plain_file_that_is_sent_as_it_is_made(large, shop):
    async with download(shop) as content:
        body = await content.read()

    assert len(body) > MAX_REPLY_BYTES
    found = [json.loads(line) for line in body.decode().splitlines()]
    assert [(each["transactionId"], str(each["position"])) for each in found] == oldest_first(large)


async def test_a_file_that_is_cut_off_does_not_look_whole(large, till, shop):
    async with download(shop) as content:
        await content.readany()
        await till.kill()
        with pytest.raises(aiohttp.ClientPayloadError):
            await content.read()


@asynccontextmanager
async def database_away(payment_cluster, shop):
    """What reads the journal in this block loses its connection."""
    reading = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND query LIKE '%ledger_entries.position) > %'"
    )
    holder = await asyncpg.connect(payment_cluster.admin_dsn)
    async with holder.transaction():
        await holder.execute("LOCK TABLE payment.ledger_entries IN ACCESS EXCLUSIVE MODE")
        ending = asyncio.create_task(eventually(lambda: shop.clients.rows(reading)))
        yield
        await ending
    await holder.close()


async def test_a_database_that_goes_away_in_between_is_no_end_of_the_file(large, payment_cluster, shop):
    async with download(shop) as content:
        await content.readany()
        async with database_away(payment_cluster, shop):
            with pytest.raises(aiohttp.ClientPayloadError):
                await content.read()


async def test_who_calls_by_grpc_is_told_why_it_ends(large, payment_cluster, shop):
    call = shop.ledger.ExportLedger(ask(shop))
    await call.read()
    async with database_away(payment_cluster, shop):
        with refused(ErrorReason.ERROR_REASON_UNAVAILABLE):
            while await call.read():
                pass


async def test_through_the_gateway_as_csv(posted, shop):
    reply = await shop.rest("GET", f"/v1/stores/{shop.store_id}/ledger:export")

    assert (reply.status, reply.headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert reply.body == await text(shop)


async def test_one_who_reads_no_further_holds_nobody_up(posted, ledger, shop):
    """Nothing is held in the database for a reader who is slow."""
    await post(ledger, [entry for n in range(6_000) for entry in transaction(shop.store_id, n + 1, TIME)])
    call = shop.ledger.ExportLedger(ask(shop))
    await call.read()
    held = await shop.clients.rows(
        "SELECT query FROM pg_stat_activity WHERE xact_start IS NOT NULL AND query ILIKE '%ledger_entries%' "
        "AND pid <> pg_backend_pid() AND state LIKE 'idle in%'"
    )
    call.cancel()
    assert held == []


async def test_a_store_exports_its_own_only(shop):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await pieces(shop.another(), format=CSV) and await (
            shop.another().ledger.ExportLedger(ask(shop)).read()
        )
    for role in ("customer", "courier"):
        with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
            await pieces(shop.as_(role, new_id() if role == "customer" else None))


async def test_a_refusal_through_the_gateway_is_json(shop):
    path = f"/v1/stores/{shop.store_id}/ledger:export?format=7"
    reply = await shop.rest("GET", path)
    assert reply.status == 400
    other = await shop.another().rest("GET", f"/v1/stores/{shop.store_id}/ledger:export")
    assert (other.status, other.body["details"][0]["reason"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("format", {"format": 7}),
        ("posted_from", {"posted_from": Timestamp(seconds=10**14)}),
        ("posted_before", {"posted_before": Timestamp(seconds=-(10**14))}),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(shop, field, given):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as refusal:
        await pieces(shop, **given)
    assert list(refusal.violations) == [field]
