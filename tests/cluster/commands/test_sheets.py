"""Files as other people's programs leave them: what is read of each, or what it is refused with. No cluster runs."""

import codecs
import gzip
import io
import os
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from services.cluster.commands import imports, sheets

HEADER = "sku,name,price,currency"
WIDE = f"{HEADER},quantity,category_id,tax_class"
ROW = "MUG,Größe,1999,EUR"
FILE = f"{HEADER}\n{ROW}\n"
MEBIBYTE = 1 << 20


@pytest.fixture
def read(tmp_path):
    """Reads a file of these bytes; what is wrong with the whole of it comes as its words."""

    def run(data: bytes, encoding: str = "") -> imports.Sheet:
        file = tmp_path / "products.csv"
        file.write_bytes(data)
        return imports.read(file, encoding)

    return run


# Each of these came to grief in somebody's shop.
BROUGHT = {
    "semicolons, as Excel writes them where the comma is for decimals (woocommerce#33481)": (
        WIDE.replace(",", ";") + "\r\nMUG;Mug, big;1999;EUR;7;;\r\n"
    ).encode(),
    "tabs": (WIDE.replace(",", "\t") + "\nMUG\tMug, big\t1999\tEUR\t7\t\t\n").encode(),
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
        f'{WIDE}\nMUG,"Mug, big",1999,EUR\n'.encode()
    ),
    "quotation marks written twice (magento2#13999)": b'sku,name,price,currency\n"MUG","Mug, big","1999","EUR"\n',
}


@pytest.mark.parametrize("name", BROUGHT)
def test_a_file_is_taken_as_it_comes(read, name):
    sheet = read(BROUGHT[name])

    assert sheet.faults == []
    assert [(row.sku, row.name, row.price.minor_units) for row in sheet.rows] == [("MUG", "Mug, big", 1999)]


TAKEN = {
    "UTF-16 without its mark, which the Latin letters of the first line give away": FILE.encode("utf-16-le"),
    "UTF-16 without its mark, the other way round": FILE.encode("utf-16-be"),
    "UTF-32, the other way round": codecs.BOM_UTF32_BE + FILE.encode("utf-32-be"),
    "two marks, of a program that adds one to what has one": codecs.BOM_UTF8 * 2 + FILE.encode(),
    "a mark before each of two files that were joined": (HEADER + "\n\ufeff" + ROW).encode(),
    "empty rows before the first": f"\n,,,\n{FILE}".encode(),
    "a blank of no width in a column's name": FILE.replace("sku", "sku\u200b").encode(),
    "wide letters in the columns' names": FILE.replace("sku", "ｓｋｕ").encode(),
    "a separator of somebody's own": ("sep=^\r\n" + FILE.replace(",", "^")).encode(),
    "the separator named behind a mark": codecs.BOM_UTF8 + ("sep=;\r\n" + FILE.replace(",", ";")).encode(),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_certain_is_taken(read, name):
    sheet = read(TAKEN[name])

    assert sheet.faults == []
    assert [(row.sku.strip("\ufeff"), row.name, row.price.minor_units) for row in sheet.rows] == [
        ("MUG", "Größe", 1999)
    ]


@pytest.mark.parametrize("encoding", ["cp850", "mac_roman", "cp932", "gb18030", "big5", "cp949", "cp1253"])
def test_what_spreadsheets_of_other_countries_and_times_write_is_taken_when_it_is_named(read, encoding):
    names = {"cp932": "①マグ", "gb18030": "杯子", "big5": "杯子", "cp949": "머그", "cp1253": "Κούπα"}
    data = FILE.replace("Größe", names.get(encoding, "Größe")).encode(encoding)

    with pytest.raises(ValueError, match=r"line 2, character [4-7]: the byte 0x.. is no UTF-8"):
        read(data)
    assert read(data, encoding).rows[0].name == names.get(encoding, "Größe")


REFUSED = {
    "an encoding that is named, for a file that is in another": (
        (FILE.encode(), "cp1252"),
        "it is in UTF-8, and not in cp1252: leave --encoding out",
    ),
    "each letter that a byte may be": (
        (FILE.encode("cp1252"), ""),
        'line 2, character 7: the byte 0xF6 is no UTF-8. Save the file as "CSV UTF-8", or say what it is in: '
        "--encoding cp1252 if it is to be 'ö', cp1251 if it is to be 'ц'",
    ),
    "the euro of Latin-9": (
        (f"{HEADER}\nA,5 €,1,EUR".encode("iso-8859-15"), ""),
        "iso-8859-15 if it is to be '€'",
    ),
    "UTF-16 with half a letter at its end": (
        ((FILE.replace("\n", "\r\n")).encode("utf-16") + b"x", ""),
        "line 3, character 1: the byte 0x78 is no UTF-16",
    ),
    "other columns": (
        (b"Artikelnummer;Name;Preis\nA;B;1", ""),
        "line 1, which names the columns, lacks sku, price, currency: "
        "it has artikelnummer, name, preis, separated by semicolons",
    ),
    "a title above the table": ((f"Products of 2026\n\n{FILE}".encode(), ""), "it begins 'Products of 2026'"),
    "a line that is quoted as a whole": ((b'"sku,name,price,currency"', ""), "it begins '\"sku,name,price"),
    "columns after the line that names the separator": (
        (f"sep=;\n{FILE}".encode(), ""),
        "line 2, which names the columns, lacks sku, name, price, currency: "
        "it has sku,name,price,currency, separated by semicolons",
    ),
    "a separator that is a letter": (
        (b"sep=s\nsku", ""),
        "line 1: sep=s names a separator that separates nothing",
    ),
    "a separator that quotes": ((b'sep="\nsku"name', ""), 'line 1: sep=" names a separator'),
    "a thousand columns too many": (
        (f"{HEADER},{','.join(f'c{n}' for n in range(1000))}\n{ROW}".encode(), ""),
        "nobody knows what c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10, c11 and 988 more is",
    ),
    "a quotation mark that nothing closes for long": (
        (f'{HEADER}\nA,B,1,EUR\nC,"D,1,EUR\n{ROW * 20_000}'.encode(), ""),
        "line 3: a value of more than 131,072 characters begins here: is a quotation mark missing?",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_certain_is_told_with_its_place_and_what_was_found(read, name):
    (data, encoding), complaint = REFUSED[name]

    with pytest.raises(ValueError) as refusal:
        read(data, encoding)

    assert complaint in str(refusal.value)
    assert len(str(refusal.value)) < 800


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (
            b"sku,name,price\nA,B,1",
            "line 1, which names the columns, lacks currency: it has sku, name, price, separated by commas",
        ),
        (b"sku;name;price\nA;B;1", "lacks currency: it has sku, name, price, separated by semicolons"),
        ("sku¦name¦price¦currency\nA¦B¦1¦EUR".encode(), "separated by any of commas, semicolons, tabs, bars"),
        (WIDE.encode() + b",colour\nA,B,1,EUR,,,,red", "nobody knows what colour is"),
        (b"sku,name,price,Price,currency\nA,B,1,2,EUR", "line 1 has price twice"),
        (WIDE.encode() + b'\nA,"B,1,EUR,,,\nC,D,1,EUR,,,', "line 2: a quotation mark opens here"),
        (WIDE.encode() + b'\nA,B,1,EUR,,,\nC,"5"" or 6" wide",1,EUR,,,', "line 3: a quotation mark within"),
        (
            gzip.compress(b"sku,name,price,currency\nA,B,1,EUR", mtime=0),
            "compressed by gzip: unpack it first",
        ),
        (b"PK\x03\x04\0\0", "a workbook of a spreadsheet, or a zip file: save its sheet as"),
        (b"\xd0\xcf\x11\xe0\0\0", "an old workbook of Excel: save its sheet as"),
        (b"%PDF-1.7\n\0", "a PDF"),
        (b"\0" * 64, "line 1, character 1: a NUL byte, as no text has"),
        (b"sku,name,price,currency\nA,B\0,1,EUR", "line 2, character 4: a NUL byte, as no text has"),
        (b"\xff\xfes\x00k\x00u", "line 1, character 3: the byte 0x75 is no UTF-16"),
        (b"", "lacks sku, name, price, currency: it is empty"),
    ],
)
def test_a_file_that_is_not_certain_is_told_with_its_place(read, data, complaint):
    with pytest.raises(ValueError) as refusal:
        read(data)

    assert complaint in str(refusal.value)


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
        ("A,Caf�,1,EUR,,,", "name"),
    ],
)
def test_a_row_that_could_be_read_in_two_ways_is_told_and_the_others_go_in(read, row, field):
    sheet = read(f"{WIDE}\nGOOD,Good,1,EUR,,,\n{row}\n".encode())

    assert [(fault.line, fault.field) for fault in sheet.faults] == [(3, field)]
    assert ([good.sku for good in sheet.rows], sheet.lines) == (["GOOD"], [2])


@pytest.mark.parametrize(
    ("row", "column", "reason"),
    [
        ('"=""00123""",B,1,EUR', "sku", 'is a formula, ="00123": write 00123'),
        ('="00123",B,1,EUR', "sku", 'is a formula, ="00123": write 00123'),
        *(
            (f"A,{shown},1,EUR", "name", f"is {shown}")
            for shown in ("#N/A", "#NAME?", "#WERT!", "Err:502", "####")
        ),
        ("#REF!,B,1,EUR", "sku", "is #REF!"),
        ('A, "Mug", 1, EUR', "name", "has a blank before its quotation mark"),
        ("A;B;1;EUR", "row", "is not separated by commas, as the first line is"),
        ('"A,B,1,EUR"', "row", "or it is quoted as a whole"),
        ("A,GrÃ¶ÃŸe,1,EUR", "name", "'GrÃ¶ÃŸe' is to be 'Größe'"),
        ("1.20E-05,B,1,EUR", "sku", "is a number that a spreadsheet has shortened"),
        ("-1E+05,B,1,EUR", "sku", "is a number that a spreadsheet has shortened"),
    ],
)
def test_what_a_spreadsheet_has_made_of_a_value_is_told_and_the_others_go_in(read, row, column, reason):
    sheet = read(f"{HEADER}\nGOOD,Good,1,EUR\n{row}\n12E4,#1 Ã la carte!,1,EUR\n".encode())

    assert [(fault.line, fault.field) for fault in sheet.faults] == [(3, column)]
    assert reason in sheet.faults[0].reason
    assert [good.sku for good in sheet.rows] == ["GOOD", "12E4"]


ENDLESS = {
    "a row of one value": (
        b"A," + b"x" * 3 * MEBIBYTE,
        "line 2: here begins a row of 1,048,576 characters or more",
    ),
    "a row of empty values": (
        b"," * 3 * MEBIBYTE,
        "line 2: here begins a row of 1,048,576 characters or more",
    ),
    "a row of many lines": (
        b'"a\n",' * MEBIBYTE,
        "line 2: here begins a row of 1,048,576 characters or more",
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
def test_a_row_without_end_is_refused_before_it_is_held_in_memory(name):
    rows, complaint = ENDLESS[name]
    data = f"{HEADER}\n".encode() + rows

    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=complaint):
            list(sheets.read(data, imports.NEEDED, imports.OPTIONAL))
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert most < len(data) + 32 * MEBIBYTE


def test_no_more_of_a_file_is_read_than_can_be_looked_at(tmp_path):
    for endless in (Path("/dev/zero"), tmp_path / "sparse.csv"):
        if endless.name == "sparse.csv":
            endless.touch()
            os.truncate(endless, 1 << 40)
        with pytest.raises(ValueError, match=f"{endless}: it has more than 32 MiB: bring it in parts"):
            imports.read(endless)


def test_no_more_rows_are_held_than_memory_has_room_for(read, monkeypatch):
    monkeypatch.setattr(sheets, "MOST_ROWS", 3)

    three, four = (f"{HEADER}\n{rows}".encode() for rows in (f"{ROW}\n\n" * 3, f"{ROW}\n\n" * 4))

    assert len(read(three).rows) == 3
    with pytest.raises(ValueError, match="line 8: it has more than 3 rows: bring it in parts"):
        read(four)


def test_a_workbook_is_not_unpacked_however_much_it_holds(read):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", bytes(8 * MEBIBYTE))

    with pytest.raises(ValueError, match="a workbook of a spreadsheet, or a zip file: save its sheet as"):
        read(packed.getvalue())


def test_a_pipe_is_read_as_a_file_is(tmp_path):
    """So that the shell may unpack what is packed: commerce import … <(zcat products.csv.gz)"""
    reading, writing = os.pipe()
    os.write(writing, FILE.encode())
    os.close(writing)
    try:
        assert [row.sku for row in imports.read(Path(f"/dev/fd/{reading}")).rows] == ["MUG"]
    finally:
        os.close(reading)
