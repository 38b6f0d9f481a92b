"""ImportProducts."""

import asyncio
import random
from collections import Counter

import grpc
import pytest
from commerce.catalog.v1.catalog_events_pb2 import ProductCreated, ProductUpdated, StockLow
from commerce.catalog.v1.catalog_pb2 import ProductStatus
from commerce.catalog.v1.catalog_service_pb2 import (
    ArchiveProductRequest,
    ListProductsRequest,
    UpdateProductRequest,
)
from commerce.catalog.v1.stock_service_pb2 import WatchStockRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.common.v1.money_pb2 import Money
from google.protobuf.field_mask_pb2 import FieldMask

from tests.catalog import orders
from tests.catalog.imported import (
    batches,
    counts,
    errors,
    held,
    ids,
    imported,
    kept,
    prices,
    progress,
    row,
    sent,
)
from tests.catalog.orders import changes, deadlocks, kind, new_id, release, reserve, stock, wants
from tests.catalog.shelves import shelf
from tests.shop import WAIT_SECONDS, eventually, refused

DEAR = Money(currency_code="EUR", minor_units=9900)


# What a row does.


async def test_creates_what_the_store_does_not_have(shop):
    lamps = await shelf(shop)

    whole = await imported(
        shop, row("MUG", "Mug", 1999, quantity=7, category_id=lamps, tax_class="food"), row("CUP", "Cup", 500)
    )

    assert whole.complete
    assert (whole.store_id, whole.batches) == (shop.store_id, 1)
    assert counts(whole) == (2, 2, 0, 0, 0)
    mug, cup = await kept(shop, "MUG"), await kept(shop, "CUP")
    assert (mug.name, mug.price.minor_units, mug.price.currency_code) == ("Mug", 1999, "EUR")
    assert (mug.version, mug.category_id, mug.tax_class) == (1, lamps, "food")
    assert mug.status == ProductStatus.PRODUCT_STATUS_ACTIVE
    assert (cup.category_id, cup.tax_class) == ("", "")
    assert await stock(shop, mug.product_id) == (7, 0, 7)
    assert await stock(shop, cup.product_id) == (0, 0, 0)
    assert await prices(shop, mug.product_id) == [(1, 1999)]
    events = await shop.published()
    assert [type(event) for event in events] == [ProductCreated, ProductCreated]
    assert {event.product.sku: event.product for event in events} == {"MUG": mug, "CUP": cup}


async def test_changes_what_the_store_has_by_its_sku(shop):
    product_id = await shop.product(stock=5, sku="MUG", name="Mug", price=1999)

    whole = await imported(shop, row("MUG", "Cup", 9900, quantity=8, tax_class="food"))

    assert counts(whole) == (1, 0, 1, 0, 0)
    cup = await kept(shop)
    assert (cup.product_id, cup.name, cup.price, cup.version) == (product_id, "Cup", DEAR, 2)
    assert cup.tax_class == "food"
    assert await prices(shop, product_id) == [(1, 1999), (2, 9900)]
    assert await stock(shop, product_id) == (8, 0, 8)
    assert await shop.published() == [ProductUpdated(product=cup)]


async def test_a_row_whose_price_is_in_no_currency_fails_alone(shop):
    whole = await imported(shop, row("MUG"), row("CUP", currency="ZZZ"), row("POT", currency="XAU"))

    assert counts(whole) == (3, 1, 0, 0, 2)
    must = "must be a currency of ISO 4217 that is in use, such as EUR"
    assert await errors(shop, whole.import_id) == [
        (2, "CUP", "price.currency_code", must),
        (3, "POT", "price.currency_code", must),
    ]


async def test_finds_a_product_however_its_sku_is_typed(shop):
    product_id = await shop.product(sku="MUG-1", name="Mug", price=1999)

    whole = await imported(shop, row("mug-1 ", "Mug", 2999), row("ＭＵＧ–1", "Mug", 3999))

    assert counts(whole) == (2, 0, 2, 0, 0)
    assert await ids(shop) == {"MUG-1": product_id}
    assert (await kept(shop, "MUG-1")).price.minor_units == 3999


async def test_rows_whose_skus_look_the_same_are_one_product(shop):
    whole = await imported(shop, row("D1", "One"), row("D1 ", "Two"), row("d1", "Three"))

    assert counts(whole) == (3, 1, 2, 0, 0)
    assert (await kept(shop, "D1")).name == "Three"


async def test_products_that_had_such_skus_before_are_found_by_the_exact_one(shop):
    """Both of "D1" and "d1" were created before they were taken for one: the migration leaves each its own."""
    first, second = await shop.product(sku="D1", name="One"), await shop.product(sku="E1", name="Two")
    await shop.clients.rows(
        "UPDATE catalog.products SET sku = 'd1', sku_folded = 'd1' || chr(10) || product_id WHERE product_id = $1",
        second,
    )

    whole = await imported(shop, row("d1", "Second"), row("D1", "First"), row("Ｄ1", "Firstly"))

    assert counts(whole) == (3, 0, 3, 0, 0)
    names = {(await kept(shop, sku)).product_id: (await kept(shop, sku)).name for sku in ("D1", "d1")}
    assert names == {first: "Firstly", second: "Second"}


async def test_what_a_row_leaves_out_stays_as_it_is(shop):
    lamps = await shelf(shop)
    given = {"attributes": {"colour": "red"}, "image_urls": ["https://x.example/1"], "low_stock_threshold": 2}
    product_id = await shop.product(stock=5, sku="MUG", category_id=lamps, tax_class="food", **given)
    before = await kept(shop)

    await imported(shop, row("MUG", "Cup"))

    after = await kept(shop)
    before.name, before.version = "Cup", 2
    before.update_time.CopyFrom(after.update_time)
    assert after == before
    assert await stock(shop, product_id) == (5, 0, 5)


async def test_a_row_that_says_what_is_so_changes_nothing_and_is_told_to_nobody(shop):
    rows = [row("MUG", quantity=5), row("CUP", "Cup", tax_class="food")]
    await imported(shop, *rows)
    before = await held(shop)
    await shop.mark()

    whole = await imported(shop, *rows)

    assert counts(whole) == (2, 0, 0, 2, 0)
    assert await shop.published() == []
    after = await held(shop)
    assert {table for table in before if after[table] != before[table]} == {"imports", "import_batches"}


async def test_units_alone_are_no_change_of_the_product(shop):
    product_id = await shop.product(stock=5, sku="MUG", name="Mug", price=1999)

    whole = await imported(shop, row("MUG", quantity=3))

    assert counts(whole) == (1, 0, 1, 0, 0)
    assert (await kept(shop)).version == 1
    assert await stock(shop, product_id) == (3, 0, 3)
    assert await shop.published() == []


async def test_the_history_of_the_stock_names_the_import(shop):
    product_id = await shop.product(stock=5, sku="MUG")

    whole = await imported(shop, row("MUG", quantity=3))

    told = (await changes(shop, product_id))[-1]
    assert (kind(told), told.delta, told.on_hand) == ("IMPORTED", -2, 3)
    assert told.reason == f"import {whole.import_id}"
    assert told.actor.startswith("STORE_ADMIN ")


async def test_an_archived_product_is_changed_and_stays_archived(shop):
    product_id = await shop.product(stock=5, sku="MUG")
    await shop.catalog.ArchiveProduct(ArchiveProductRequest(product_id=product_id, request_id=new_id()))

    assert counts(await imported(shop, row("MUG", "Cup", quantity=9))) == (1, 0, 1, 0, 0)

    cup = await kept(shop)
    assert (cup.name, cup.status) == ("Cup", ProductStatus.PRODUCT_STATUS_ARCHIVED)
    assert await stock(shop, product_id) == (9, 0, 9)


async def test_of_two_rows_with_one_sku_the_later_one_counts(shop):
    await shop.product(stock=5, sku="CUP", name="Cup", price=1999)

    whole = await imported(
        shop,
        *(row("MUG", "Mug", 100, quantity=4), row("CUP", "Cup", 300, quantity=1)),
        *(row("MUG", "Beaker", 200, quantity=6), row("CUP", "Cup", 300)),
    )

    assert counts(whole) == (4, 1, 2, 1, 0)
    mug, cup = await kept(shop, "MUG"), await kept(shop, "CUP")
    assert (mug.name, mug.price.minor_units, mug.version) == ("Beaker", 200, 2)
    assert await prices(shop, mug.product_id) == [(1, 100), (2, 200)]
    assert [(each.delta, each.on_hand) for each in await changes(shop, mug.product_id)] == [(4, 4), (2, 6)]
    assert await stock(shop, mug.product_id) == (6, 0, 6)
    assert await stock(shop, cup.product_id) == (1, 0, 1)
    told = [(type(event), event.product.sku, event.product.version) for event in await shop.published()]
    assert sorted(told, key=str) == sorted(
        [(ProductCreated, "MUG", 1), (ProductUpdated, "MUG", 2), (ProductUpdated, "CUP", 2)], key=str
    )


async def test_one_sku_in_two_stores_is_two_products(shop):
    another = shop.another()
    foreign = await another.product(sku="MUG", name="Theirs")

    await imported(shop, row("MUG", "Ours"))

    assert (await kept(shop)).name == "Ours"
    assert (await kept(another)).product_id == foreign
    assert await another.published() == []


async def test_what_came_with_an_import_is_found_without_accents(shop):
    await imported(shop, row("T-1", "Théière"))
    await imported(shop, row("T-1", "Cafetière"))

    async def found(text):
        request = ListProductsRequest(store_id=shop.store_id, query=text)
        return [product.name for product in (await shop.catalog.ListProducts(request)).products]

    assert await found("cafetiere") == ["Cafetière"]
    assert await found("theiere") == []


async def test_tells_when_units_run_low(shop):
    await shop.product(stock=5, sku="MUG", low_stock_threshold=4)

    await imported(shop, row("MUG", quantity=3))
    await imported(shop, row("MUG", quantity=2))

    (event,) = await shop.published(StockLow)
    assert (event.sku, event.available, event.threshold) == ("MUG", 3, 4)


async def test_whoever_watches_the_stock_is_told(shop):
    product_id = await shop.product(stock=5, sku="MUG")
    watch = shop.stock.WatchStock(WatchStockRequest(product_id=product_id), timeout=WAIT_SECONDS)
    first = await watch.read()

    await imported(shop, row("MUG", quantity=3))

    update = await watch.read()
    assert (update.on_hand, update.version) == (3, first.version + 1)
    watch.cancel()


async def test_a_batch_may_be_empty(shop):
    whole = await sent(shop, *batches(shop, [], [row()], []))

    assert (whole.batches, counts(whole)) == (3, (1, 1, 0, 0, 0))


# What a row may be.

WRONG = {
    "an empty SKU": (row(""), "sku"),
    "a long SKU": (row("x" * 65), "sku"),
    "a NUL": (row("a\0b"), "sku"),
    "no name": (row(name=""), "name"),
    "a long name": (row(name="x" * 201), "name"),
    "a price below zero": (row(price=-1), "price"),
    "a currency in small letters": (row(currency="eur"), "price.currency_code"),
    "no currency": (row(currency=""), "price.currency_code"),
    "fewer units than none": (row(quantity=-1), "quantity"),
    "too many units": (row(quantity=1_000_000_001), "quantity"),
    "a category that is none": (row(category_id="lamps"), "category_id"),
    "a category that does not exist": (row(category_id=new_id()), "category_id"),
    "a long tax class": (row(tax_class="x" * 41), "tax_class"),
}


@pytest.mark.parametrize(("wrong", "field"), WRONG.values(), ids=WRONG)
async def test_a_row_that_is_wrong_fails_alone(shop, wrong, field):
    whole = await imported(shop, row("A", quantity=1), wrong, row("B"))

    assert whole.complete
    assert counts(whole) == (3, 2, 0, 0, 1)
    (error,) = await errors(shop, whole.import_id)
    assert error[:3] == (2, wrong.sku.replace("\0", ""), field)
    assert error[3]
    assert (await ids(shop)).keys() == {"A", "B"}


async def test_a_row_without_a_price_fails(shop):
    wrong = row()
    wrong.ClearField("price")

    whole = await imported(shop, wrong)

    assert await errors(shop, whole.import_id) == [(1, "MUG", "price", "must be set")]


async def test_what_is_just_allowed_is_taken(shop):
    sku, name = "x" * 64, "é" * 200

    whole = await imported(shop, row(sku, name, 0, quantity=1_000_000_000, tax_class="x" * 40))

    assert counts(whole) == (1, 1, 0, 0, 0)
    assert (await kept(shop, sku)).name == name


async def test_another_stores_category_is_answered_like_a_missing_one(shop):
    foreign = await shelf(shop.another())

    whole = await imported(shop, row("A", category_id=foreign), row("B", category_id=new_id()))

    first, second = await errors(shop, whole.import_id)
    assert first[2:] == second[2:] == ("category_id", "is no category of the store")


async def test_a_row_with_fewer_units_than_are_reserved_fails_with_all_that_it_says(shop):
    product_id = await shop.product(stock=5, sku="MUG", name="Mug")
    await orders.held(shop, (product_id, 3))
    await shop.mark()

    whole = await imported(shop, row("MUG", "Cup", 9900, quantity=2))

    assert counts(whole) == (1, 0, 0, 0, 1)
    assert await errors(shop, whole.import_id) == [
        (1, "MUG", "quantity", "is less than the 3 that are reserved")
    ]
    assert ((await kept(shop)).name, await stock(shop, product_id)) == ("Mug", (5, 3, 2))
    assert await shop.published() == []
    assert counts(await imported(shop, row("MUG", quantity=3))) == (1, 0, 1, 0, 0)


async def test_rows_are_numbered_through_the_whole_import(shop):
    whole = await sent(shop, *batches(shop, [row(""), row("A")], [row("B"), row("C"), row("")]))

    assert [error[0] for error in await errors(shop, whole.import_id)] == [1, 5]


async def test_only_says_what_would_be_refused_when_asked_to(shop):
    product_id = await shop.product(stock=5, sku="MUG", name="Mug")
    before = await held(shop)
    requests = batches(
        shop, [row("CUP"), row("", "Pot")], [row("MUG", "Cup", quantity=9), row("PAN", price=-1)]
    )
    for request in requests:
        request.validate_only = True

    reply = await shop.imports.ImportProducts(iter(requests))

    assert [(each.row, each.sku, each.field) for each in reply.errors] == [
        (2, "", "sku"),
        (4, "PAN", "price"),
    ]
    assert (reply.product_import.rows, reply.product_import.failed) == (4, 2)
    assert await held(shop) == before
    assert await stock(shop, product_id) == (5, 0, 5)


async def test_cannot_ask_about_one_batch_and_bring_another(shop):
    requests = batches(shop, [row("CUP")], [row("POT")])
    requests[1].validate_only = True

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.imports.ImportProducts(iter(requests))

    assert said.violations.keys() == {"validate_only"}


async def test_more_rows_than_a_batch_may_have_are_refused(shop):
    first, second = batches(shop, [row()], [row(str(number)) for number in range(501)])

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT, message="2") as said:
        await sent(shop, first, second)

    assert said.violations.keys() == {"rows"}
    assert (await ids(shop)).keys() == {"MUG"}


# An import that is sent again, goes on, or is out of order.


async def test_sent_again_it_changes_nothing_and_is_answered_alike(shop):
    whole = batches(shop, [row("A", quantity=5), row("")], [row("B")])
    first = await sent(shop, *whole)
    await imported(shop, row("A", "Changed since", quantity=9))
    await shop.mark()
    before = await held(shop)

    assert await sent(shop, *whole) == first

    assert await held(shop) == before
    assert await shop.published() == []


async def test_broken_off_it_goes_on_with_the_first_batch_that_was_not_taken_in(shop):
    whole = batches(
        shop, *([row(f"{group}-{number}", quantity=1) for number in range(20)] for group in range(5))
    )
    import_id = whole[0].request_id
    call = shop.imports.ImportProducts()
    for batch in whole[:2]:
        await call.write(batch)

    async def taken_in():
        try:
            return (await progress(shop, import_id)).batches == 2
        except grpc.aio.AioRpcError:
            return False

    await eventually(taken_in)
    call.cancel()

    broken = await progress(shop, import_id)
    assert (broken.complete, counts(broken)) == (False, (40, 40, 0, 0, 0))
    done = await sent(shop, *whole[broken.batches :])
    assert (done.complete, done.batches, counts(done)) == (True, 5, (100, 100, 0, 0, 0))
    assert len(await shop.published(ProductCreated)) == len(await ids(shop)) == 100


async def test_broken_off_at_any_moment_and_sent_again_from_its_start_it_is_as_if_nothing_had_happened(shop):
    whole = batches(
        shop, *([row(f"{group}-{number}", quantity=group) for number in range(50)] for group in range(8))
    )

    for number in range(12):
        call = shop.imports.ImportProducts(iter(whole))
        await asyncio.sleep(0.02 * number)
        call.cancel()
    done = await sent(shop, *whole)

    assert (done.complete, counts(done)) == (True, (400, 400, 0, 0, 0))
    assert len(await shop.published(ProductCreated)) == len(await ids(shop)) == 400
    for sku, product_id in list((await ids(shop)).items())[::50]:
        assert (await stock(shop, product_id))[0] == int(sku.partition("-")[0])
        assert len(await changes(shop, product_id)) == (sku[0] != "0")


async def test_more_may_follow_what_was_complete(shop):
    """A client that ended its stream too early, or ran into that, loses nothing."""
    first, second = batches(shop, [row("A")], [row("B")])
    assert (await sent(shop, first)).complete

    call = shop.imports.ImportProducts()
    await call.write(second)

    async def under_way():
        return (await progress(shop, first.request_id)).batches == 2

    await eventually(under_way)
    assert not (await progress(shop, first.request_id)).complete
    await call.done_writing()
    assert (await call).product_import.complete


@pytest.mark.parametrize(("number", "expected"), [(2, "1"), (3, "1")])
async def test_an_import_that_does_not_begin_at_its_beginning_is_refused_and_leaves_nothing(
    shop, number, expected
):
    (late,) = batches(shop, [row()], first=number)
    before = await held(shop)

    with refused(ErrorReason.ERROR_REASON_IMPORT_OUT_OF_ORDER, expected=expected):
        await sent(shop, late)

    assert await held(shop) == before
    with refused(ErrorReason.ERROR_REASON_IMPORT_NOT_FOUND):
        await progress(shop, late.request_id)


async def test_a_gap_is_refused_and_what_came_before_it_stays(shop):
    first, _, third = batches(shop, [row("A")], [row("B")], [row("C")])

    with refused(ErrorReason.ERROR_REASON_IMPORT_OUT_OF_ORDER, expected="2", message="2"):
        await sent(shop, first, third)

    assert (await ids(shop)).keys() == {"A"}
    now = await progress(shop, first.request_id)
    assert (now.complete, now.batches) == (False, 1)


async def test_a_batch_that_has_other_rows_than_before_is_refused(shop):
    first, second = batches(shop, [row("A")], [row("B")])
    await sent(shop, first, second)
    before = await held(shop)
    first.rows[0].name = "Cup"

    with refused(ErrorReason.ERROR_REASON_IMPORT_OUT_OF_ORDER, expected="3", message="1"):
        await sent(shop, first)

    assert await held(shop) == before


async def test_another_stores_import_is_not_gone_on_with(shop):
    (theirs,) = batches(shop.another(), [row("A")])
    await sent(shop.as_service, theirs)
    (ours,) = batches(shop, [row("A")], import_id=theirs.request_id)

    with refused(ErrorReason.ERROR_REASON_REQUEST_ID_REUSED, request_id=theirs.request_id):
        await sent(shop, ours)

    assert await ids(shop) == {}


@pytest.mark.parametrize("role", ["customer", "courier", "merchant_owner"])
async def test_only_those_who_work_in_the_store_import(shop, role):
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await imported(shop.as_(role, new_id() if role == "customer" else None), row())

    for other in ("store_manager", "platform_admin", "service"):
        assert counts(await imported(shop.as_(other), row(other)))[1] == 1


async def test_nobody_imports_into_another_store(shop):
    (theirs,) = batches(shop.another(), [row()])

    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await sent(shop, theirs)


# Many at once.


def shelves(number, prefix="S"):
    return [f"{prefix}-{each:03}" for each in range(number)]


async def test_one_import_sent_by_many_at_once_takes_effect_once(replicas):
    """Through both replicas, as a client does that gave up waiting and tries elsewhere."""
    shop = replicas[0]
    whole = batches(shop, *([row(f"{group}-{sku}", quantity=2) for sku in shelves(40)] for group in range(4)))

    answers = await asyncio.gather(*(sent(replicas[number % 2], *whole) for number in range(6)))

    assert {counts(answer) for answer in answers} == {(160, 160, 0, 0, 0)}
    assert len(await shop.published(ProductCreated)) == len(await ids(shop)) == 160
    rows = await shop.clients.rows(
        "SELECT count(*) AS changes, sum(delta) AS units FROM catalog.stock_changes WHERE store_id = $1",
        shop.store_id,
    )
    assert dict(rows[0]) == {"changes": 160, "units": 320}


async def test_imports_at_once_of_the_same_products_hinder_each_other_in_no_circle(replicas):
    """Each in an order of its own, of products that there are and such that each wants to create."""
    shop = replicas[0]
    there = shelves(30)
    await imported(shop, *(row(sku, quantity=1) for sku in there))
    before = deadlocks(shop)

    def whole(number):
        skus = there + shelves(30, "NEW")
        random.Random(number).shuffle(skus)
        rows = [row(sku, f"By {number}", 100 + number, quantity=number) for sku in skus]
        return batches(shop, rows[:20], rows[20:40], rows[40:])

    answers = await asyncio.gather(*(sent(replicas[number % 2], *whole(number)) for number in range(1, 7)))

    assert deadlocks(shop) == before
    assert sum(answer.created for answer in answers) == 30
    assert {answer.failed for answer in answers} == {0}
    assert len(await shop.published(ProductCreated)) == len(await ids(shop)) == 60
    books = await shop.clients.rows(BOOKS, shop.store_id)
    assert len(books) == 60
    for each in books:
        assert each["on_hand"] == each["deltas"] == int(each["name"].split()[1])
        assert each["version"] == each["prices"]


# Of each product of a store: what is on hand, what the history of it says, how many versions and prices it has.
BOOKS = """
SELECT products.name, products.version, stock.on_hand, stock.reserved,
    (SELECT coalesce(sum(delta), 0) FROM catalog.stock_changes c WHERE c.product_id = stock.product_id) AS deltas,
    (SELECT count(*) FROM catalog.price_changes p WHERE p.product_id = stock.product_id) AS prices
FROM catalog.products JOIN catalog.stock USING (product_id) WHERE products.store_id = $1
"""


async def test_products_that_are_created_meanwhile_are_found(shop):
    """By CreateProduct, while an import brings them: however often it is overtaken, the import goes through."""
    new = shelves(200)
    # Fewer than a store may have open at once.
    hands = asyncio.Semaphore(20)

    async def created(sku):
        try:
            async with hands:
                await shop.product(stock=0, sku=sku, name="By hand")
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.ALREADY_EXISTS

    groups = [[row(sku, "By import") for sku in new[start : start + 10]] for start in range(0, 200, 10)]
    whole, *_ = await asyncio.gather(sent(shop, *batches(shop, *groups)), *map(created, new))

    assert (whole.complete, whole.failed) == (True, 0)
    books = await shop.clients.rows(BOOKS, shop.store_id)
    assert Counter(each["name"] for each in books) == {"By import": 200}


async def test_changes_by_hand_meanwhile_are_not_lost(shop):
    there = shelves(10)
    await imported(shop, *(row(sku) for sku in there))
    known = await ids(shop)
    before = deadlocks(shop)

    async def changed(sku):
        for number in range(10):
            request = UpdateProductRequest(
                product_id=known[sku],
                attributes={"number": str(number)},
                update_mask=FieldMask(paths=["attributes"]),
                request_id=new_id(),
            )
            await shop.catalog.UpdateProduct(request)

    groups = [[row(sku, f"Import {number}") for sku in there] for number in range(10)]
    whole, *_ = await asyncio.gather(sent(shop, *batches(shop, *groups)), *map(changed, there))

    assert deadlocks(shop) == before
    assert whole.updated == 100
    told = Counter(event.product.version for event in await shop.published())
    assert told == dict.fromkeys(range(1, 22), 10)
    last = [await kept(shop, sku) for sku in there]
    assert {(product.name, product.attributes["number"], product.version) for product in last} == {
        ("Import 9", "9", 21)
    }


async def test_reservations_at_once_are_always_covered(shop):
    """Whoever comes first: what is reserved stays on hand, and what is on hand is what the history says."""
    skus = shelves(12)
    await imported(shop, *(row(sku, quantity=40) for sku in skus))
    products = list((await ids(shop)).values())
    before = deadlocks(shop)

    async def buyer(number):
        pick = random.Random(number)
        for _ in range(12):
            lines = [(product, pick.randint(1, 3)) for product in pick.sample(products, 3)]
            order_id = new_id()
            await reserve(shop, wants(shop, *lines, order_id=order_id))
            if pick.random() < 0.3:
                await release(shop, order_id)

    async def importer(number):
        pick = random.Random(number)
        groups = [[row(sku, quantity=pick.randint(0, 60)) for sku in pick.sample(skus, 12)] for _ in range(8)]
        return await sent(shop, *batches(shop, *groups))

    *_, first, second = await asyncio.gather(*map(buyer, range(6)), importer(100), importer(200))

    assert deadlocks(shop) == before
    for whole in (first, second):
        assert whole.complete
        assert whole.updated + whole.unchanged + whole.failed == 96
        assert {error[2] for error in await errors(shop, whole.import_id)} <= {"quantity"}
    for each in await shop.clients.rows(BOOKS, shop.store_id):
        assert 0 <= each["reserved"] <= each["on_hand"] == each["deltas"]


async def test_through_the_gateway_it_is_as_large_as_it_wants(shop):
    """Much more than one body may be, on the port that serves REST."""
    gateway = shop.at(shop.clients.cluster.gateway_url.partition("://")[2])
    groups = [[row(f"{group}-{sku}", "é" * 200) for sku in shelves(500)] for group in range(6)]
    whole = batches(shop, *groups)
    assert sum(batch.ByteSize() for batch in whole) > 1_200_000

    assert counts(await sent(gateway, *whole)) == (3000, 3000, 0, 0, 0)

    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        # One batch of one row: grpc.aio's client forgets a refusal that comes while it still sends.
        await sent(shop.another().at(gateway.address), *batches(shop, groups[0][:1]))
