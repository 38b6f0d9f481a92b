"""Many products at once: a stream of batches by gRPC, and the rows that were refused."""

from __future__ import annotations

from commerce.catalog.v1.catalog_service_pb2 import ImportProductsRequest, ImportRow
from commerce.common.v1.money_pb2 import Money

from services.cluster.demo.clients import CALL_SECONDS, new_id
from services.cluster.demo.shop import CURRENCY, Shop
from services.cluster.demo.teller import expect

ROWS, BATCH = 1000, 500
NEGATIVE, NOWHERE = 13, 700


async def bring(shop: Shop) -> None:
    async with shop.teller.step("A thousand products at once") as step:
        import_id = new_id()
        batches = [
            ImportProductsRequest(
                store_id=shop.store_id,
                request_id=import_id,
                batch=number,
                rows=[_row(row) for row in range((number - 1) * BATCH + 1, number * BATCH + 1)],
            )
            for number in range(1, ROWS // BATCH + 1)
        ]
        call = shop.admin.imports.ImportProducts(
            iter(batches), metadata=shop.admin.metadata, timeout=CALL_SECONDS
        )
        done = (await call).product_import
        counts = (done.complete, done.rows, done.created, done.failed)
        expect("complete; rows, created, refused", counts, (True, ROWS, ROWS - 2, 2))
        listed = await shop.admin.rest("GET", shop.path(f"imports/{import_id}/errors"))
        errors = [(error["row"], error["field"]) for error in listed.body["errors"]]
        expect("rows refused", errors, [(NEGATIVE, "price"), (NOWHERE, "category_id")])
        found = await shop.admin.rest("GET", shop.path("products?query=spoon-1000"))
        expect("products found", [product["name"] for product in found.body["products"]], ["Spoon no. 1000"])
        step.says(
            f"by gRPC in {len(batches)} batches, {done.created} created; refused:",
            *(f"row {error['row']}: {error['field']} {error['reason']}" for error in listed.body["errors"]),
        )


def _row(number: int) -> ImportRow:
    return ImportRow(
        sku=f"SPOON-{number:04}",
        name=f"Spoon no. {number}",
        price=Money(currency_code=CURRENCY, minor_units=-1 if number == NEGATIVE else 100 + number),
        quantity=10,
        category_id=new_id() if number == NOWHERE else "",
    )
