import pytest


async def card(merchant, token):
    return await merchant.get(f"/v1/payment_methods/{token}")


async def detach(merchant, token):
    headers = {"Authorization": "Bearer sandbox-test-key"}
    return await merchant.send("DELETE", f"/v1/payment_methods/{token}", headers)


async def test_a_token_shows_a_card_that_stays_the_same(merchant):
    shown = (await card(merchant, "pm_sandbox_ok_ab12")).body

    assert shown["token"] == "pm_sandbox_ok_ab12"
    assert shown["brand"] in ("visa", "mastercard", "amex")
    assert len(shown["last_four"]) == 4 and shown["last_four"].isdecimal()
    assert 1 <= shown["expiry_month"] <= 12 and 2030 < shown["expiry_year"] < 2050
    assert (await card(merchant, "pm_sandbox_ok_ab12")).body == shown
    assert (await card(merchant, "pm_sandbox_ok")).status == 200


@pytest.mark.parametrize(
    "token", ["pm_sandbox_none", "pm_sandbox_ok_", "pm_sandbox_ok_AB", "pm_sandbox_ok_a_b", "x"]
)
async def test_another_token_is_nobodys(merchant, token):
    assert (await card(merchant, token)).code == "payment_method_unknown"
    assert (await detach(merchant, token)).code == "payment_method_unknown"
    refused = await merchant.charge(payment_method=token)
    assert (refused.status, refused.body["error"]["field"]) == (400, "payment_method")


@pytest.mark.parametrize(
    ("method", "status"),
    [("ok", "authorized"), ("declined", "declined"), ("hosted", "requires_action"), ("slow", "authorized")],
)
async def test_a_customers_own_token_behaves_as_its_method(merchant, method, status):
    charge = (await merchant.charge(f"{method}_{'a1' * 20}")).body
    assert charge["status"] == status
    assert charge["payment_method"] == f"pm_sandbox_{method}_{'a1' * 20}"


async def test_a_detached_token_is_declined_and_shown_no_more(merchant):
    before = (await merchant.charge("ok_gone1", key="before-detaching")).body
    assert (await detach(merchant, "pm_sandbox_ok_gone1")).body["detached"] is True

    charge = (await merchant.charge("ok_gone1")).body

    assert (charge["status"], charge["decline_code"]) == ("declined", "payment_method_detached")
    assert (await card(merchant, "pm_sandbox_ok_gone1")).status == 404
    assert (await detach(merchant, "pm_sandbox_ok_gone1")).status == 200
    assert (await merchant.charge("ok_other")).body["status"] == "authorized"
    again = (await merchant.charge("ok_gone1", key="before-detaching")).body
    assert again == before
    capture = await merchant.post(f"/v1/charges/{before['id']}/capture", {"amount_minor_units": 1})
    assert capture.status == 200


async def test_a_method_that_is_everybodys_stays(merchant):
    assert (await detach(merchant, "pm_sandbox_ok")).body["detached"] is False
    assert (await merchant.charge("ok")).body["status"] == "authorized"
