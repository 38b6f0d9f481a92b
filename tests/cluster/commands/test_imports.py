"""`commerce import`, as a person types it."""

import asyncio
import io

import pytest
from commerce.catalog.v1.catalog_events_pb2 import ProductCreated
from rich.console import Console

from services.cluster.commands import imports
from tests.catalog.imported import ids, kept, progress
from tests.catalog.orders import stock
from tests.catalog.shelves import shelf
from tests.cluster.toys import command
from tests.shop import eventually, new_id

HEADER = "sku,name,price,currency,quantity,category_id,tax_class"


@pytest.fixture
def typed(shop, tmp_path):
    """Types the command for a file of these lines."""

    async def run(*lines, data=b"", store_id="", more=()):
        file = tmp_path / "products.csv"
        file.write_bytes(("\n".join(lines) + "\n").encode() if lines else data)
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


async def test_tells_the_rows_that_were_refused_with_their_lines_and_exits_with_1(shop, typed):
    code, out, _ = await typed(
        HEADER,
        "MUG,Mug,1999,EUR,7,,",
        ",,,,,,",
        '"CUP","",500,EUR,,,',
        'POT,"Pot\nfor two",500,EUR,,,',
        "PAN,Pan,19.99,EUR,,,",
        "JUG,Jug,-1,EUR,,,",
        "JAR,Jar,abc,EUR,,,",
        "",
        "TIN,Tin,500,ZZZ,,,",
        ",,,,",
    )

    assert code == 1
    told = [line for line in out.splitlines() if line.startswith("line ")]
    assert [line.partition(":")[0] for line in told] == [
        "line 4  CUP  name",
        "line 5  POT  name",
        "line 7  PAN  price",
        "line 8  JUG  price",
        "line 9  JAR  price",
        "line 11  TIN  currency",
    ]
    assert (
        "line 7  PAN  price: must be in whole minor units (1999 is 19.99 EUR, or 1999 JPY), not '19.99'"
        in out
    )
    assert "7 rows: 1 created, 0 updated, 0 unchanged, 6 failed" in out
    assert (await ids(shop)).keys() == {"MUG"}


async def test_takes_nothing_in_unless_all_can_be_when_told_so(shop, typed):
    lines = [
        HEADER,
        "MUG,Mug,1999,EUR,7,,",
        f"CUP,Cup,500,EUR,,{new_id()},",
        "POT,,500,EUR,,,",
        "PAN,Pan,abc,EUR,,,",
    ]

    code, out, _ = await typed(*lines, more=("--all-or-none",))

    assert code == 1
    assert "line 3  CUP  category_id: is no category of the store" in out
    assert "line 4  POT  name" in out
    assert "line 5  PAN  price" in out
    assert "4 rows: nothing was taken in, for 3 cannot be" in out
    assert await ids(shop) == {}
    assert await shop.clients.rows("SELECT 1 FROM catalog.imports WHERE store_id = $1", shop.store_id) == []

    code, out, _ = await typed(*lines[:2], more=("--all-or-none",))
    assert (code, (await ids(shop)).keys()) == (0, {"MUG"})


async def test_a_product_is_found_by_its_code_however_that_is_typed(shop, typed):
    """A SKU with blanks was another product (magento2#10080). What else a file may look like: test_sheets.py."""
    code, out, complaint = await typed(
        data=b'SKU;name;price;currency\r\nMUG;Mug;1;EUR\r\n"MUG ";"Mug, big"; 1999 ;EUR \r\n'
    )

    assert (code, complaint) == (0, ""), out
    mug = await kept(shop, "MUG")
    assert (mug.name, mug.price.minor_units) == ("Mug, big", 1999)
    assert (await ids(shop)).keys() == {"MUG"}


async def test_takes_an_encoding_that_it_is_told(shop, typed):
    data = "sku,name,price,currency\nMUG,Größe 5 €,1999,EUR\n".encode("cp1252")

    code, out, complaint = await typed(data=data)
    assert (code, out) == (1, "")
    assert "line 2, character 7: the byte 0xF6 is no UTF-8" in complaint
    assert "--encoding cp1252 if it is to be 'ö'" in complaint
    assert await ids(shop) == {}

    code, _, _ = await typed(data=data, more=("--encoding", "cp1252"))
    assert (code, (await kept(shop, "MUG")).name) == (0, "Größe 5 €")


async def test_a_store_that_is_none_is_told(typed):
    code, _, complaint = await typed(HEADER, store_id="mine")

    assert code == 1
    assert "a store's id is a UUID" in complaint


async def test_a_file_that_is_not_there_is_told_by_its_name(tmp_path):
    said = await command("import", new_id(), str(tmp_path / "none.csv"), "--home", str(tmp_path))

    assert said == (1, "", f"commerce: {tmp_path}/none.csv: No such file or directory\n")


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


async def test_says_how_to_go_on_when_it_is_interrupted(shop, tmp_path):
    file, said, import_id = tmp_path / "products.csv", io.StringIO(), new_id()
    file.write_text("\n".join([HEADER, *(f"S-{number:05},Mug,1999,EUR,1,," for number in range(3000))]))
    home = shop.clients.cluster.home
    bringing = asyncio.create_task(
        imports.bring(home, shop.store_id, file, import_id, Console(file=said, width=200), "")
    )
    await eventually(lambda: asyncio.sleep(0, "3,000 rows" in said.getvalue()))

    bringing.cancel()

    with pytest.raises(asyncio.CancelledError):
        await bringing
    assert said.getvalue().endswith(f"interrupted; go on with: --import-id {import_id}\n")


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
    bringing = asyncio.create_task(imports.bring(cluster.home, shop.store_id, file, import_id, console))

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
