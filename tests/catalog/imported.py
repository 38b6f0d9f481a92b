"""Imports, short to write, and what the store has afterwards."""

from commerce.catalog.v1.catalog_service_pb2 import (
    GetImportRequest,
    GetProductRequest,
    ImportProductsRequest,
    ImportRow,
    ListImportErrorsRequest,
    ListPriceChangesRequest,
)
from commerce.common.v1.money_pb2 import Money

from tests.catalog.orders import new_id

COUNTS = ("rows", "created", "updated", "unchanged", "failed")


def row(sku="MUG", name="Mug", price=1999, currency="EUR", **given):
    money = {"price": Money(currency_code=currency, minor_units=price)}
    return ImportRow(**({"sku": sku, "name": name} | money | given))


def batches(shop, *groups, import_id="", first=1):
    """One batch of an import for each group of rows."""
    import_id = import_id or new_id()
    return [
        ImportProductsRequest(store_id=shop.store_id, request_id=import_id, batch=number, rows=rows)
        for number, rows in enumerate(groups, first)
    ]


async def sent(shop, *requests):
    """The import after these batches, which one stream brings."""
    return (await shop.imports.ImportProducts(iter(requests))).product_import


async def imported(shop, *rows, **given):
    """The import of one batch."""
    return await sent(shop, *batches(shop, rows, **given))


def counts(of):
    """Rows, then how many of them were created, updated, unchanged and failed."""
    return tuple(getattr(of, name) for name in COUNTS)


async def progress(shop, import_id):
    request = GetImportRequest(store_id=shop.store_id, import_id=import_id)
    return (await shop.imports.GetImport(request)).product_import


async def errors(shop, import_id):
    """The rows that were refused: number, SKU, field and reason."""
    request = ListImportErrorsRequest(store_id=shop.store_id, import_id=import_id, page_size=500)
    found = (await shop.imports.ListImportErrors(request)).errors
    return [(each.row, each.sku, each.field, each.reason) for each in found]


async def ids(shop):
    """The store's products: SKU and id, as the database has them."""
    rows = await shop.clients.rows(
        "SELECT sku, product_id FROM catalog.products WHERE store_id = $1", shop.store_id
    )
    return {found["sku"]: str(found["product_id"]) for found in rows}


async def kept(shop, sku="MUG"):
    """A product, by its SKU."""
    request = GetProductRequest(product_id=(await ids(shop))[sku])
    return (await shop.catalog.GetProduct(request)).product


async def prices(shop, product_id):
    """The prices that a product had, the oldest first."""
    request = ListPriceChangesRequest(product_id=product_id)
    changes = (await shop.catalog.ListPriceChanges(request)).changes
    return [(each.version, each.price.minor_units) for each in reversed(changes)]


async def held(shop):
    """Everything that the catalog holds of the store's products and imports."""
    tables = (
        "products",
        "stock",
        "stock_changes",
        "price_changes",
        "imports",
        "import_batches",
        "import_errors",
    )
    found = {}
    for table in tables:
        of_store = {
            "price_changes": "product_id IN (SELECT product_id FROM catalog.products WHERE store_id = $1)",
            "import_batches": "import_id IN (SELECT import_id FROM catalog.imports WHERE store_id = $1)",
            "import_errors": "import_id IN (SELECT import_id FROM catalog.imports WHERE store_id = $1)",
        }.get(table, "store_id = $1")
        rows = await shop.clients.rows(
            f"SELECT t::text AS row FROM catalog.{table} t WHERE {of_store} ORDER BY 1", shop.store_id
        )
        found[table] = [each["row"] for each in rows]
    return found
