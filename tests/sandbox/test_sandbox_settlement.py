import asyncio
import csv
import io
import time

import pytest


async def lines(merchant, query=""):
    return (await merchant.get(f"/v1/settlement?{query}")).body["lines"]


async def of(merchant, charge):
    return [line for line in await lines(merchant) if line["charge_id"] == charge["id"]]


async def test_each_movement_of_money_is_a_line_with_its_fee(merchant):
    charge = (await merchant.charge(reference="order-settled")).body
    path = f"/v1/charges/{charge['id']}"
    capture = await merchant.post(f"{path}/capture", {"amount_minor_units": 1000}, key="line-capture")
    await merchant.post(f"{path}/void", {}, key="line-void")
    refund = await merchant.post(f"{path}/refund", {"amount_minor_units": 300}, key="line-refund")
    await merchant.post(f"{path}/refund", {"amount_minor_units": 5000}, key="line-refused")
    body = {"charge_id": charge["id"], "amount_minor_units": 700, "reason": "fraudulent"}
    dispute = (await merchant.post("/v1/disputes", body)).body
    await merchant.post(f"/v1/disputes/{dispute['id']}", {"outcome": "won"})

    found = await of(merchant, charge)

    names = ("type", "idempotency_key", "operation_reference", "gross_minor_units", "fee_minor_units")
    assert [tuple(line[name] for name in names) for line in found] == [
        ("capture", "line-capture", capture.body["operation_reference"], 1000, 59),
        ("refund", "line-refund", refund.body["operation_reference"], -300, 0),
        ("dispute", None, dispute["id"], -700, 1500),
        ("dispute_won", None, dispute["id"], 700, 0),
    ]
    for line in found:
        assert line["net_minor_units"] == line["gross_minor_units"] - line["fee_minor_units"]
        assert (line["reference"], line["currency_code"]) == ("order-settled", "EUR")
        assert abs(line["created"] - time.time()) < 10
    assert len({line["id"] for line in found}) == 4


@pytest.mark.parametrize(("amount", "fee"), [(1, 30), (17, 30), (18, 31), (50, 31), (500, 45), (10_000, 320)])
async def test_half_a_unit_of_the_fee_counts_as_one(merchant, amount, fee):
    charge = await merchant.captured(amount=amount, amount_minor_units=amount)
    assert [line["fee_minor_units"] for line in await of(merchant, charge)] == [fee]


async def test_an_operation_that_is_repeated_is_one_line(merchant):
    charge = (await merchant.charge()).body
    path = f"/v1/charges/{charge['id']}/capture"
    for _ in range(3):
        await merchant.post(path, {"amount_minor_units": 100}, key="settled-once")
    assert len(await of(merchant, charge)) == 1


async def test_the_report_is_read_in_pages_and_by_time(merchant):
    for _ in range(4):
        await merchant.captured()
    whole, read, after = await lines(merchant), [], 0
    while after is not None:
        page = (await merchant.get(f"/v1/settlement?after={after}&limit=3")).body
        read += page["lines"]
        after = page["next_after"]

    assert read == whole
    now = int(time.time())
    assert await lines(merchant, f"from={now - 60}&to={now + 60}") == whole
    assert await lines(merchant, f"to={whole[0]['created']}") == []
    assert await lines(merchant, f"from={now + 60}") == []
    assert (await merchant.get("/v1/settlement?from=today")).body["error"]["field"] == "from"
    assert (await merchant.get("/v1/settlement.csv?to=-1")).body["error"]["field"] == "to"


async def test_the_file_has_the_same_lines(merchant):
    await merchant.captured(reference='a "quoted", reference')
    told = await merchant.get("/v1/settlement.csv")

    assert told.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(told.raw.decode(), newline="")))
    expected = [
        {name: "" if value is None else str(value) for name, value in line.items()}
        for line in await lines(merchant)
    ]
    assert rows == expected
    ended = await merchant.get("/v1/settlement.csv?to=1")
    assert ended.raw.decode().strip() == ",".join(expected[0])


async def test_a_report_of_many_lines_is_whole(merchant):
    charge = (await merchant.charge(amount_minor_units=1200)).body
    path = f"/v1/charges/{charge['id']}/capture"
    await asyncio.gather(*(merchant.post(path, {"amount_minor_units": 1}) for _ in range(1100)))

    told = await merchant.get("/v1/settlement.csv")

    ids = [row["id"] for row in csv.DictReader(io.StringIO(told.raw.decode(), newline=""))]
    assert ids == [line["id"] for line in await lines(merchant)]
    assert len(ids) >= 1100


async def plant(merchant, kind, key):
    return await merchant.post("/v1/settlement/plant", {"kind": kind, "idempotency_key": key})


@pytest.mark.parametrize("kind", ["missing", "amount", "currency", "extra"])
async def test_a_planted_difference_is_in_the_report_and_nowhere_else(merchant, kind):
    charge = (await merchant.charge()).body
    path = f"/v1/charges/{charge['id']}"
    await merchant.post(f"{path}/capture", {"amount_minor_units": 1999}, key=f"planted-{kind}")
    before, book = await lines(merchant), (await merchant.get(path)).body

    planted = await plant(merchant, kind, f"planted-{kind}")

    after = await lines(merchant)
    gone = [line for line in before if line not in after]
    new = [line for line in after if line not in before]
    assert (await merchant.get(path)).body == book
    assert planted.body["true_line"] == {name: value for name, value in before[-1].items() if name != "row"}
    match kind:
        case "missing":
            assert (gone, new) == ([before[-1]], [])
        case "amount":
            [was], [now] = gone, new
            assert now["gross_minor_units"] == was["gross_minor_units"] + 100
            assert now["net_minor_units"] == now["gross_minor_units"] - now["fee_minor_units"]
        case "currency":
            [was], [now] = gone, new
            assert now == {**was, "currency_code": "USD"}
        case "extra":
            [now] = new
            assert gone == []
            assert (now["type"], now["gross_minor_units"]) == ("capture", 1999)
            for name in ("id", "charge_id", "idempotency_key", "operation_reference"):
                assert now[name] not in {line[name] for line in before}


async def test_a_difference_needs_an_operation_that_has_a_line(merchant):
    await merchant.charge(key="only-authorized")
    assert (await plant(merchant, "missing", "only-authorized")).code == "operation_unknown"
    assert (await plant(merchant, "other", "x")).body["error"]["field"] == "kind"
