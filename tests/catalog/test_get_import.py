"""GetImport."""

import pytest
from commerce.catalog.v1.catalog_service_pb2 import GetImportRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason

from tests.catalog.imported import batches, counts, imported, progress, row, sent
from tests.catalog.orders import new_id
from tests.shop import refused


async def test_tells_what_whoever_imported_was_told(shop):
    whole = await imported(shop, row("A"), row("B"), row(""))

    assert await progress(shop, whole.import_id) == whole
    assert (whole.complete, counts(whole)) == (True, (3, 2, 0, 0, 1))


async def test_tells_when_it_began_and_when_it_went_on_last(shop):
    first, second = batches(shop, [row("A")], [row("B")])
    begun = await sent(shop, first)
    gone_on = await sent(shop, second)

    again = await sent(shop, first, second)

    assert begun.create_time == gone_on.create_time
    assert begun.update_time.ToNanoseconds() < gone_on.update_time.ToNanoseconds()
    assert again == gone_on


async def test_works_by_rest(shop):
    whole = await imported(shop, row("A"))

    reply = await shop.rest("GET", f"/v1/stores/{shop.store_id}/imports/{whole.import_id}")

    assert reply.status == 200
    told = reply.body["productImport"]
    assert (told["importId"], told["complete"], told["created"]) == (whole.import_id, True, 1)


async def test_another_stores_import_is_refused_like_a_missing_one(shop):
    foreign = await imported(shop.another(), row())

    for import_id in (foreign.import_id, new_id()):
        with refused(ErrorReason.ERROR_REASON_IMPORT_NOT_FOUND, import_id=import_id):
            await progress(shop, import_id)
    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED):
        await shop.imports.GetImport(GetImportRequest(store_id=foreign.store_id, import_id=foreign.import_id))


async def test_customers_do_not_see_it(shop):
    whole = await imported(shop, row())

    with refused(ErrorReason.ERROR_REASON_PERMISSION_DENIED, role="CUSTOMER"):
        await progress(shop.as_("customer", new_id()), whole.import_id)


@pytest.mark.parametrize("field", ["store_id", "import_id"])
async def test_an_id_that_is_none_is_refused_by_its_name(shop, field):
    request = GetImportRequest(store_id=shop.store_id, import_id=new_id())
    setattr(request, field, "x")

    with refused(ErrorReason.ERROR_REASON_INVALID_ARGUMENT) as said:
        await shop.imports.GetImport(request)

    assert said.violations.keys() == {field}
