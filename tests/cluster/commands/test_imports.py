"""`commerce import`, as a person types it."""

import asyncio
import gzip
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


# Each of these came to grief in somebody's shop: the file, and what the store has afterwards.
TAKEN = {
    "semicolons, as Excel writes them where the comma is for decimals (woocommerce#33481)": (
        HEADER.replace(",", ";") + "\r\nMUG;Mug, big;1999;EUR;7;;\r\n"
    ).encode(),
    "tabs": (HEADER.replace(",", "\t") + "\nMUG\tMug, big\t1999\tEUR\t7\t\t\n").encode(),
    "Excel's first line that names the separator": b"sep=;\r\nsku;name;price;currency\r\nMUG;Mug, big;1999;EUR\r\n",
    "a mark of UTF-8 before the first name (PIMGento#215)": (
        b'\xef\xbb\xbfsku,name,price,currency\nMUG,"Mug, big",1999,EUR'
    ),
    "Unicode text of Excel: UTF-16 with tabs (Laravel-Excel#2598)": (
        "sku\tname\tprice\tcurrency\r\nMUG\tMug, big\t1999\tEUR\r\n".encode("utf-16")
    ),
    "UTF-16, the other way round": b"\xfe\xff"
    + 'sku,name,price,currency\nMUG,"Mug, big",1999,EUR'.encode("utf-16-be"),
    "line ends of an old Macintosh": b'sku,name,price,currency\rMUG,"Mug, big",1999,EUR\r',
    "names in other letters, with blanks": (
        b'" SKU ",Name , PRICE,Currency,Category ID,Tax-Class\nMUG,"Mug, big",1999,EUR,,'
    ),
    "empty rows and columns at the ends (woocommerce#23257)": (
        b'sku,name,price,currency,,\nMUG,"Mug, big",1999,EUR,,\n,,,,,\n\n , ,,,,\n,,,,,,,,\n'
    ),
    "empty values at the end of a row left out, as Excel does from the 17th row on": (
        f'{HEADER}\nMUG,"Mug, big",1999,EUR\n'.encode()
    ),
    "a SKU with blanks is the same product (magento2#10080)": (
        b'sku,name,price,currency\nMUG,Mug,1,EUR\n"MUG ","Mug, big"," 1999 ",EUR \n'
    ),
    "quotation marks written twice (magento2#13999)": b'sku,name,price,currency\n"MUG","Mug, big","1999","EUR"\n',
}


@pytest.mark.parametrize("name", TAKEN)
async def test_takes_a_file_as_it_comes(shop, typed, name):
    code, out, complaint = await typed(data=TAKEN[name])

    assert (code, complaint) == (0, ""), out
    mug = await kept(shop, "MUG")
    assert (mug.name, mug.price.minor_units) == ("Mug, big", 1999)
    assert (await ids(shop)).keys() == {"MUG"}


async def test_takes_an_encoding_that_it_is_told(shop, typed):
    data = "sku,name,price,currency\nMUG,Größe 5 €,1999,EUR\n".encode("cp1252")

    code, out, complaint = await typed(data=data)
    assert (code, out) == (1, "")
    assert "line 2: the byte 0xF6 is no UTF-8" in complaint
    assert "--encoding cp1252, if it is to be 'ö'" in complaint
    assert await ids(shop) == {}

    code, _, _ = await typed(data=data, more=("--encoding", "cp1252"))
    assert (code, (await kept(shop, "MUG")).name) == (0, "Größe 5 €")


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"sku,name,price\nA,B,1", "its first line lacks currency (its values are separated by commas)"),
        (b"sku;name;price\nA;B;1", "its first line lacks currency (its values are separated by semicolons)"),
        ("sku¦name¦price¦currency\nA¦B¦1¦EUR".encode(), "separated by any of commas, semicolons, tabs, bars"),
        (HEADER.encode() + b",colour\nA,B,1,EUR,,,,red", "nobody knows what colour is"),
        (b"sku,name,price,Price,currency\nA,B,1,2,EUR", "its first line has price twice"),
        (HEADER.encode() + b'\nA,"B,1,EUR,,,\nC,D,1,EUR,,,', "line 2: a quotation mark opens here"),
        (HEADER.encode() + b'\nA,B,1,EUR,,,\nC,"5"" or 6" wide",1,EUR,,,', "line 3: a quotation mark within"),
        ("sku,name,price,currency\nA,B,1,EUR".encode("utf-16-le"), "UTF-16 without its mark"),
        ("sku,name,price,currency\nA,B,1,EUR".encode("utf-16-be"), "UTF-16 without its mark"),
        (
            gzip.compress(b"sku,name,price,currency\nA,B,1,EUR", mtime=0),
            "compressed by gzip: unpack it first",
        ),
        (b"PK\x03\x04\0\0", "a workbook of a spreadsheet, or a zip file: save its sheet as"),
        (b"\xd0\xcf\x11\xe0\0\0", "an old workbook of Excel: save its sheet as"),
        (b"%PDF-1.7\n\0", "a PDF"),
        (b"\0" * 64, "line 1: it holds a NUL byte, as no text does"),
        (b"sku,name,price,currency\nA,B\0,1,EUR", "line 2: it holds a NUL byte, as no text does"),
        (b"\xff\xfes\x00k\x00u", "line 1: the byte 0x75 is no UTF-16"),
        (b"", "its first line lacks sku, name, price, currency"),
    ],
)
async def test_a_file_that_is_not_certain_is_told_with_its_line_and_nothing_is_sent(
    shop, typed, data, complaint
):
    code, out, said = await typed(data=data)

    assert (code, out) == (1, "")
    assert complaint in said.replace("\n", " ")
    assert await ids(shop) == {}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        *(
            (f'A,B,"{price}",EUR,,,', "price")
            for price in (
                "1_999",
                "１９９９",
                "19.99",
                "19,99",
                "1.999",
                "1 999",
                "1'999",
                "abc",
                "1e3",
                "0x10",
                "",
            )
        ),
        *(
            (f"A,B,{price},EUR,,,", "price")
            for price in ("+1999", "01999", "1999 EUR", "€1999", 10**19, "--1", "٣")
        ),
        *((f"A,B,1,EUR,{many},,", "quantity") for many in ("many", "1.0", 2**40, "１", "-")),
        ("4.00638E+12,B,1,EUR,,,", "sku"),
        ('"4,0E+12",B,1,EUR,,,', "sku"),
        ("A,B,1,EUR,,,,red", "row"),
        ("A,Caf�,1,EUR,,,", "row"),
    ],
)
async def test_a_row_that_could_be_read_in_two_ways_is_told_and_the_others_go_in(shop, tmp_path, row, field):
    file = tmp_path / "products.csv"
    file.write_text(f"{HEADER}\nGOOD,Good,1,EUR,,,\n{row}\n", encoding="utf-8")

    sheet = imports.read(file)

    assert [(fault.line, fault.field) for fault in sheet.faults] == [(3, field)]
    assert ([good.sku for good in sheet.rows], sheet.lines) == (["GOOD"], [2])


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
