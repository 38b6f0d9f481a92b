"""`commerce settlements` and `commerce discrepancies`, as a person types them."""

from datetime import UTC, datetime

import pytest

from tests.cluster.toys import command
from tests.payment.reports import captured
from tests.payment.till import Till
from tests.shop import new_id

HEADER = (
    "row,id,type,charge_id,reference,idempotency_key,operation_reference,currency_code,"
    "gross_minor_units,fee_minor_units,net_minor_units,created"
)


@pytest.fixture
def typed(shop):
    """Types a command."""

    async def run(*arguments):
        return await command(*arguments, "--home", str(shop.clients.cluster.home.path))

    return run


def row(payment, off=0, **given):
    values = {
        "row": 1,
        "id": f"txn_{new_id()}",
        "type": "capture",
        "charge_id": payment.provider_reference,
        "reference": payment.order_id,
        "idempotency_key": "",
        "operation_reference": payment.operations[-1].provider_reference,
        "currency_code": "EUR",
        "gross_minor_units": 1999 + off,
        "fee_minor_units": 88,
        "net_minor_units": 1999 + off - 88,
        # A day that no test of another report is of.
        "created": int(datetime(2021, 3, 4, 5, tzinfo=UTC).timestamp()),
    }
    return ",".join(str(value) for value in (values | given).values())


async def test_a_file_is_compared_and_what_differs_is_listed_with_both_figures(shop, typed, tmp_path):
    till, file = Till(shop), tmp_path / "report.csv"
    first, second = [await captured(till) for _ in range(2)]
    file.write_text("\n".join([HEADER, row(first), row(second, off=100)]))

    code, out, complaint = await typed("settlements", "import", "sandbox", str(file))

    assert (code, complaint) == (1, "")
    assert "2 lines: 1 in agreement, 1 difference\n" in out
    assert "net 39.22 EUR, fees 1.76 EUR" in out
    assert "next     commerce discrepancies" in out
    code, out, _ = await typed("discrepancies", "--store", shop.store_id)
    assert code == 1
    assert "AMOUNT        ours 19.99 EUR, theirs 20.99 EUR" in out
    assert second.payment_id in out
    assert first.payment_id not in out
    code, out, _ = await typed("settlements", "list")
    assert code == 0
    assert "2021-03-04 00:00" in out
    assert "2021-03-05 00:00" in out


async def test_the_providers_own_report_is_fetched(shop, typed):
    await captured(Till(shop))

    today = datetime.now(UTC).date().isoformat()
    code, out, complaint = await typed("settlements", "fetch", "sandbox", "--day", today)

    assert complaint == ""
    assert " in agreement, " in out
    assert code == (", 0 differences" not in out)
    code, out, _ = await typed("discrepancies", "--store", shop.store_id)
    assert (code, out) == (0, "no differences are open\n")


@pytest.mark.parametrize(
    "given, said",
    [
        ({"gross_minor_units": "19.99"}, "line 2: gross_minor_units is a whole number, not '19.99'"),
        ({"gross_minor_units": "1_999"}, "line 2: gross_minor_units is a whole number, not '1_999'"),
        ({"fee_minor_units": "１９"}, "line 2: fee_minor_units is a whole number, not '１９'"),
        ({"type": "gift"}, "line 2: type is one of capture, refund"),
        ({"net_minor_units": 5}, "line 2: net_minor_units is gross less fee, 1911, not 5"),
        ({"created": "today"}, "line 2: created is a whole number"),
        ({"id": ""}, "line 2: id is empty"),
        ({"id": "a,b"}, "line 2: row has a value in a column without a name"),
    ],
)
async def test_what_is_wrong_in_a_file_is_told_with_its_line_and_field(shop, typed, tmp_path, given, said):
    file = tmp_path / "report.csv"
    file.write_text("\n".join([HEADER, row(await captured(Till(shop)), **given)]))

    code, _, complaint = await typed("settlements", "import", "sandbox", str(file))

    assert code == 1
    assert said in complaint
    assert complaint.count("\n") == 1


async def test_all_that_is_wrong_in_a_file_is_told_and_nothing_of_it_is_taken_in(shop, typed, tmp_path):
    file, payment = tmp_path / "report.csv", await captured(Till(shop))
    good, bad = row(payment), row(payment, type="gift")
    file.write_text("\n".join([HEADER, good, bad, good.rsplit(",", 1)[0], *[bad] * 20]))

    code, out, complaint = await typed("settlements", "import", "sandbox", str(file))

    assert (code, out) == (1, "")
    assert "line 3: type is one of capture" in complaint
    assert "; line 4: it has fewer values than the first line; line 5: type is one of" in complaint
    assert complaint.endswith("; and 2 lines more\n")


async def test_a_report_is_taken_as_spreadsheets_write_it(shop, typed, tmp_path):
    file = tmp_path / "report.csv"
    lines = [HEADER.upper(), row(await captured(Till(shop)), created=1_614_834_000)]
    file.write_bytes("\r\n".join(lines).replace(",", ";").encode("utf-16"))

    code, out, complaint = await typed("settlements", "import", "sandbox", str(file))

    assert (code, complaint) == (0, "")
    assert "1 line: 1 in agreement, 0 differences\n" in out


async def test_a_file_without_lines_is_of_no_day_that_it_names(typed, tmp_path):
    file = tmp_path / "report.csv"
    file.write_text(HEADER + "\n")
    code, _, complaint = await typed("settlements", "import", "sandbox", str(file))
    assert code == 1
    assert "--day" in complaint

    code, out, _ = await typed("settlements", "import", "sandbox", str(file), "--day", "2021-03-05")

    assert code == 0
    assert "0 lines: 0 in agreement, 0 differences" in out


async def test_what_cannot_be_is_one_line_and_the_reason(typed, tmp_path):
    file = tmp_path / "report.csv"
    file.write_text("id,type\n")
    for arguments, said in (
        (("settlements", "fetch", "nobody"), "no gateway is called nobody; there are sandbox"),
        (
            ("settlements", "fetch", "sandbox", "--day", "monday"),
            "a day is written as 2026-11-30, not monday",
        ),
        (
            ("settlements", "fetch", "sandbox", "--day", "2136-01-01"),
            "a report is of a day that has begun: 20",
        ),
        (
            ("settlements", "import", "nobody", str(file), "--day", "2021-03-05"),
            "line 1, which names the columns, lacks",
        ),
        (("settlements", "import", "sandbox", str(file)), "lacks charge_id, operation_reference"),
        (("discrepancies", "--store", "mine"), "a store's id is a UUID, as in"),
    ):
        code, _, complaint = await typed(*arguments)
        assert code == 1
        assert said in complaint
        assert complaint.count("\n") == 1
