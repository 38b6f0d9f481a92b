import pytest


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_minor_units", None),
        ("amount_minor_units", 0),
        ("amount_minor_units", -5),
        ("amount_minor_units", 19.99),
        ("amount_minor_units", "1999"),
        ("amount_minor_units", True),
        ("amount_minor_units", 10**12 + 1),
        ("currency_code", None),
        ("currency_code", "eur"),
        ("currency_code", "EURO"),
        ("payment_method", None),
        ("payment_method", "pm_card_visa"),
        ("payment_method", ["pm_sandbox_ok"]),
        ("reference", ""),
        ("reference", "r" * 201),
        ("reference", "\ud800"),
        ("capture", True),
        ("tip", 5),
    ],
)
async def test_a_bad_charge_is_refused_with_the_field_and_the_reason(merchant, field, value):
    before = len(await merchant.book())
    refused = await merchant.charge(**{field: value})

    assert (refused.status, refused.code) == (400, "invalid_request")
    assert refused.body["error"]["field"] == field
    assert refused.body["error"]["reason"]
    assert len(await merchant.book()) == before


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 9000, b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(merchant, body):
    headers = {"Authorization": "Bearer sandbox-test-key", "Idempotency-Key": "no-object"}
    refused = await merchant.send("POST", "/v1/charges", headers, data=body)
    assert (refused.status, refused.body["error"]["field"]) == (400, "body")


async def test_a_post_without_a_key_is_refused(merchant):
    refused = await merchant.send(
        "POST", "/v1/charges", {"Authorization": "Bearer sandbox-test-key"}, json={}
    )
    assert (refused.status, refused.body["error"]["field"]) == (400, "Idempotency-Key")


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "sandbox-test-key"])
@pytest.mark.parametrize(
    ("verb", "path"), [("POST", "/v1/charges"), ("GET", "/v1/operations/x"), ("GET", "/v1/book")]
)
async def test_nobody_gets_in_without_the_api_key(merchant, authorization, verb, path):
    headers = {"Authorization": authorization} if authorization else {}
    refused = await merchant.send(verb, path, headers)
    assert (refused.status, refused.code) == (401, "unauthorized")


async def test_an_unknown_charge_or_operation_is_not_found(merchant):
    for path in ("/v1/charges/ch_none/void", "/v1/charges/ch_none/void"):
        missing = await merchant.post(path, {}, key="missing-charge")
        assert (missing.status, missing.code) == (404, "charge_unknown")
    unknown = await merchant.operation("missing-charge")
    assert (unknown.status, unknown.code) == (404, "operation_unknown")


async def test_the_book_is_read_in_pages(merchant):
    for _ in range(5):
        await merchant.charge()
    charges = await merchant.book()

    read, after = [], 0
    while after is not None:
        page = (await merchant.get(f"/v1/book?after={after}&limit=2")).body
        read += page["charges"]
        after = page["next_after"]

    assert read == charges
    assert (await merchant.get("/v1/book?limit=0")).body["error"]["field"] == "limit"
    assert (await merchant.get("/v1/book?after=x")).body["error"]["field"] == "after"
