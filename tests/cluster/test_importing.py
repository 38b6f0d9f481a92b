"""`commerce import`, as a person types it."""

import asyncio
import io

import pytest
from commerce.catalog.v1.catalog_events_pb2 import ProductCreated
from rich.console import Console

from services.cluster import importing
from tests.catalog.imported import ids, kept, progress
from tests.catalog.orders import stock
from tests.catalog.shelves import shelf
from tests.cluster.toys import command
from tests.shop import eventually, new_id

HEADER = "sku,name,price,currency,quantity,category_id,tax_class"


@pytest.fixture
def typed(shop, tmp_path):
    """Types the command for a file of these lines."""

    async def run(*lines, store_id="", more=()):
        file = tmp_path / "products.csv"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        home = str(shop.clients.cluster.home.path)
        return await command("import", store_id or shop.store_id, str(file), "--home", home, *more)

    return run


async def test_brings_what_the_file_has(shop, typed):
    lamps = await shelf(shop)

    code, out, complaint = await typed(
        HEADER, f"MUG,Mug,1999,EUR,7,{lamps},food", '"T,1","Thé, noir",500,EUR,,,'
    )

    assert (code, complaint) == (0, "")
    assert "2 rows: 2 created, 0 updated, 0 unchanged, 0 failed" in out
    mug, tea = await kept(shop, "MUG"), await kept(shop, "T,1")
    assert (mug.name, mug.price.minor_units, mug.category_id, mug.tax_class) == ("Mug", 1999, lamps, "food")
    assert await stock(shop, mug.product_id) == (7, 0, 7)
    assert (tea.name, tea.price.minor_units) == ("Thé, noir", 500)


async def test_columns_that_may_be_missing_may_be_missing(shop, typed):
    code, _, _ = await typed("name,sku,currency,price", "Mug,MUG,EUR,1999")

    assert code == 0
    assert (await kept(shop)).name == "Mug"


async def test_tells_the_rows_that_were_refused_and_exits_with_1(shop, typed):
    code, out, _ = await typed(HEADER, "MUG,Mug,1999,EUR,7,,", "CUP,,500,EUR,,,", "POT,Pot,-1,EUR,,,")

    assert code == 1
    assert "row 2  CUP  name: must be at least 1 characters" in out
    assert "row 3  POT  price: must not be negative" in out
    assert "3 rows: 1 created, 0 updated, 0 unchanged, 2 failed" in out
    assert (await ids(shop)).keys() == {"MUG"}


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["sku,name,price", "A,B,1"], "its first line lacks currency"),
        ([HEADER + ",colour", "A,B,1,EUR,,,,red"], "nobody knows what colour is"),
        ([HEADER, "A,B,1,EUR,,,", "A,B,19.99,EUR,,,"], "line 3: price is a whole number"),
        ([HEADER, "A,B,1,EUR,many,,"], "line 2: quantity is a whole number"),
        ([HEADER, "A,B,1,EUR"], "line 2: it has more or fewer values"),
        ([HEADER, f"A,B,1,EUR,{2**40},,"], "line 2: "),
        ([HEADER, 'A,"B,1,EUR,,,'], "unexpected end of data"),
    ],
)
async def test_a_file_that_cannot_be_read_is_told_with_its_line_and_nothing_is_sent(
    shop, typed, lines, complaint
):
    code, out, said = await typed(*lines)

    assert (code, out) == (1, "")
    assert complaint in said
    assert await ids(shop) == {}


async def test_a_store_that_is_none_is_told(typed):
    code, _, complaint = await typed(HEADER, store_id="mine")

    assert code == 1
    assert "STORE_ID is no UUID" in complaint


async def test_a_file_without_rows_is_an_import_of_none(typed):
    code, out, _ = await typed(HEADER)

    assert code == 0
    assert "0 rows: 0 created" in out


async def test_goes_on_with_an_import_that_broke_off(shop, typed):
    import_id = new_id()
    lines = [f"S-{number:04},Mug,1999,EUR,1,," for number in range(1200)]
    await typed(HEADER, *lines[:1000], more=("--import-id", import_id))

    code, out, _ = await typed(HEADER, *lines, more=("--import-id", import_id))

    assert code == 0
    assert "1,200 rows: 1,200 created" in out
    assert (await progress(shop, import_id)).batches == 3


async def test_another_file_is_not_taken_for_the_rest_of_an_import(typed):
    import_id = new_id()
    await typed(HEADER, "A,Mug,1999,EUR,1,,", more=("--import-id", import_id))

    code, _, complaint = await typed(HEADER, "B,Mug,1999,EUR,1,,", more=("--import-id", import_id))

    assert code == 1
    assert "FAILED_PRECONDITION" in complaint


async def test_a_catalog_that_dies_meanwhile_costs_nothing(shop, tmp_path):
    file, cluster = tmp_path / "products.csv", shop.clients.cluster
    lines = [HEADER, *(f"S-{number:05},Mug,1999,EUR,1,," for number in range(6000))]
    file.write_text("\n".join(lines))
    console, import_id = Console(file=io.StringIO()), new_id()
    bringing = asyncio.create_task(importing.bring(cluster.home, shop.store_id, file, import_id, console))

    async def under_way():
        rows = await shop.clients.rows("SELECT 1 FROM catalog.imports WHERE import_id = $1", import_id)
        return rows or bringing.done()

    await eventually(under_way)
    cluster.kill("catalog")

    assert await bringing
    await cluster.wait_ready("catalog")
    whole = await progress(shop, import_id)
    assert (whole.complete, whole.rows, whole.created) == (True, 6000, 6000)
    assert len(await ids(shop)) == len(await shop.published(ProductCreated)) == 6000
