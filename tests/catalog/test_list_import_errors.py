"""ListImportErrors."""

from commerce.catalog.v1.catalog_service_pb2 import ListImportErrorsRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.imported import batches, errors, imported, row, sent
from tests.catalog.orders import new_id
from tests.shop import refused


def ask(shop, import_id, **given):
    return ListImportErrorsRequest(store_id=shop.store_id, import_id=import_id, **given)


async def test_tells_the_rows_that_were_refused_in_their_order(shop):
    whole = await sent(shop, *batches(shop, [row("A"), row("B", price=-1), row("")], [row("C", quantity=-1)]))

    assert await errors(shop, whole.import_id) == [
        (2, "B", "price", "must not be negative"),
        (3, "", "sku", "must be at least 1 characters"),
        (4, "C", "quantity", "must be greater than or equal to 0 and less than or equal to 1000000000"),
    ]


async def test_a_row_is_told_once_whatever_is_wrong_with_it(shop):
    whole = await imported(shop, row("", "", price=-1))

    assert [error[0] for error in await errors(shop, whole.import_id)] == [1]


async def test_what_is_too_long_for_a_sku_is_told_as_far_as_it_fits(shop):
    whole = await imported(shop, row("x" * 10_000))

    ((_, sku, field, _),) = await errors(shop, whole.import_id)
    assert (sku, field) == ("x" * 200, "sku")


async def test_comes_in_pages(shop):
    whole = await imported(shop, *(row("") for _ in range(7)))
    pages, token = [], ""
    while True:
        reply = await shop.imports.ListImportErrors(ask(shop, whole.import_id, page_size=3, page_token=token))
        pages.append([error.row for error in reply.errors])
        token = reply.next_page_token
        if not token:
            break

    assert pages == [[1, 2, 3], [4, 5, 6], [7]]


async def test_the_last_page_may_be_full(shop):
    whole = await imported(shop, row(""), row(""))

    reply = await shop.imports.ListImportErrors(ask(shop, whole.import_id, page_size=2))

    assert (len(reply.errors), reply.next_page_token) == (2, "")


async def test_a_token_of_another_import_is_refused(shop):
    first, second = [await imported(shop, row(""), row("")) for _ in range(2)]
    token = (await shop.imports.ListImportErrors(ask(shop, first.import_id, page_size=1))).next_page_token

    with refused(ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID):
        await shop.imports.ListImportErrors(ask(shop, second.import_id, page_token=token))


async def test_an_import_without_errors_has_none(shop):
    assert await errors(shop, (await imported(shop, row())).import_id) == []


async def test_works_by_rest(shop):
    whole = await imported(shop, row("A", price=-1))

    reply = await shop.rest("GET", f"/v1/stores/{shop.store_id}/imports/{whole.import_id}/errors")

    assert reply.status == 200
    (error,) = reply.body["errors"]
    assert (error["row"], error["field"]) == (1, "price")


async def test_another_stores_import_is_refused_like_a_missing_one(shop):
    foreign = await imported(shop.another(), row(""))

    for import_id in (foreign.import_id, new_id()):
        with refused(ErrorReason.ERROR_REASON_IMPORT_NOT_FOUND, import_id=import_id):
            await errors(shop, import_id)


async def test_customers_do_not_see_them(shop):
    whole = await imported(shop, row(""))

    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="CUSTOMER"):
        await errors(shop.as_("customer", new_id()), whole.import_id)


async def test_too_large_a_page_is_refused(shop):
    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.imports.ListImportErrors(ask(shop, new_id(), page_size=501))

    assert said.violations.keys() == {"page_size"}
