"""The server keeps to PayPal's documentation, so that an adapter that suits it suits PayPal."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pytest

from tests.providers.paypal.merchant import ORDERS, RETURNS, WALLET, issue, kinds


async def test_a_token_is_asked_for_and_expires(server, merchant):
    server.expire_tokens()
    status, body = await merchant.call("GET", f"{ORDERS}/1")
    assert (status, body["error"]) == (401, "invalid_token")

    granted = await merchant.sign_in()
    assert granted["token_type"] == "Bearer"
    assert (await merchant.call("GET", f"{ORDERS}/1"))[0] == 404

    server.advance(timedelta(seconds=granted["expires_in"] + 1))
    assert (await merchant.call("GET", f"{ORDERS}/1"))[0] == 401


async def test_wrong_credentials_get_no_token(server, merchant):
    status, refused = await merchant.ask_token(server.client_id, "guess")
    assert (status, refused["error"]) == (401, "invalid_client")


async def test_an_order_is_approved_authorized_captured_in_parts_and_refunded(server, merchant):
    order = await merchant.order(reference_id="r1", custom_id="c1", invoice_id="i1")
    assert order["status"] == "PAYER_ACTION_REQUIRED"
    action = next(link["href"] for link in order["links"] if link["rel"] == "payer-action")

    status, refused = await merchant.call("POST", f"{ORDERS}/{order['id']}/authorize")
    assert (status, refused["name"], issue(refused)) == (422, "UNPROCESSABLE_ENTITY", "ORDER_NOT_APPROVED")

    async with merchant.session.get(action, allow_redirects=False) as page:
        back = urlsplit(page.headers["Location"])
    assert parse_qs(back.query)["token"] == [order["id"]]
    assert (await merchant.call("GET", f"{ORDERS}/{order['id']}"))[1]["status"] == "APPROVED"

    _, paid = await merchant.call("POST", f"{ORDERS}/{order['id']}/authorize")
    authorization = paid["purchase_units"][0]["payments"]["authorizations"][0]["id"]
    _, first = await merchant.step("authorizations", authorization, "capture", "30.00", invoice_id="i1-1")
    assert first["seller_receivable_breakdown"]["paypal_fee"]["value"] == "1.54"
    path = f"/v2/payments/authorizations/{authorization}"
    assert (await merchant.call("GET", path))[1]["status"] == "PARTIALLY_CAPTURED"
    await merchant.step("authorizations", authorization, "capture", "70.00", invoice_id="i1-2")
    assert (await merchant.call("GET", path))[1]["status"] == "CAPTURED"

    status, refund = await merchant.step("captures", first["id"], "refund", "10.00", custom_id="back")
    assert (status, refund["status"]) == (201, "COMPLETED")
    assert (await merchant.call("GET", f"/v2/payments/captures/{first['id']}"))[1][
        "status"
    ] == "PARTIALLY_REFUNDED"
    assert (await merchant.call("GET", f"/v2/payments/refunds/{refund['id']}"))[1]["custom_id"] == "back"

    assert server.order_ids("c1") == [order["id"]]
    totals = server.book()[order["id"]]
    assert (totals.authorized, totals.captured, totals.refunded, totals.fees) == (
        10000,
        10000,
        1000,
        154 + 293,
    )
    assert kinds(server.events) == [
        "CHECKOUT.ORDER.APPROVED",
        "PAYMENT.AUTHORIZATION.CREATED",
        "PAYMENT.CAPTURE.COMPLETED",
        "PAYMENT.CAPTURE.COMPLETED",
        "PAYMENT.CAPTURE.REFUNDED",
    ]


async def test_an_answer_is_minimal_unless_the_representation_is_asked_for(merchant):
    authorization = await merchant.authorization()
    path = f"/v2/payments/authorizations/{authorization['id']}"

    status, capture = await merchant.call("POST", f"{path}/capture", {}, whole=False)
    assert (status, set(capture)) == (201, {"id", "status", "links"})

    status, nothing = await merchant.call(
        "POST", f"/v2/payments/authorizations/{(await merchant.authorization())['id']}/void", whole=False
    )
    assert (status, nothing) == (204, None)


async def test_an_order_of_intent_capture_is_paid_at_once(server, merchant):
    order = await merchant.order(intent="CAPTURE")
    server.approve(order["id"])

    _, paid = await merchant.call("POST", f"{ORDERS}/{order['id']}/capture")

    assert paid["status"] == "COMPLETED"
    assert paid["purchase_units"][0]["payments"]["captures"][0]["final_capture"] is True
    status, again = await merchant.call("POST", f"{ORDERS}/{order['id']}/capture")
    assert (status, issue(again)) == (422, "ORDER_ALREADY_CAPTURED")
    assert kinds(server.events)[-1] == "CHECKOUT.ORDER.COMPLETED"


@pytest.mark.parametrize(
    ("currency", "value", "refused"),
    [
        ("JPY", "100", None),
        ("JPY", "100.00", "DECIMALS_NOT_SUPPORTED"),
        ("HUF", "100.5", "DECIMALS_NOT_SUPPORTED"),
        ("TWD", "7", None),
        ("EUR", "1.005", "DECIMAL_PRECISION"),
        ("EUR", "0.00", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ("EUR", "-1", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        ("EUR", "1,00", "INVALID_PARAMETER_SYNTAX"),
        ("XXX", "1", "INVALID_CURRENCY_CODE"),
    ],
)
async def test_an_amount_has_the_currencys_own_decimals(merchant, currency, value, refused):
    unit = {"amount": {"currency_code": currency, "value": value}}
    status, body = await merchant.call("POST", ORDERS, {"intent": "CAPTURE", "purchase_units": [unit]})

    if refused:
        assert issue(body) == refused
    else:
        assert (status, body["purchase_units"][0]["amount"]["value"]) == (201, value)


async def test_a_request_id_is_one_effect_and_shows_the_present_state(server, merchant):
    authorization, key = (await merchant.authorization())["id"], str(uuid4())
    first = await merchant.step("authorizations", authorization, "capture", "10.00", key=key)
    await merchant.step("captures", first[1]["id"], "refund")

    again = await merchant.step("authorizations", authorization, "capture", "10.00", key=key)
    assert (again[0], again[1]["id"], again[1]["status"]) == (201, first[1]["id"], "REFUNDED")

    status, other = await merchant.step("authorizations", authorization, "capture", "11.00", key=key)
    assert (status, issue(other)) == (422, "DUPLICATE_REQUEST_ID")

    server.forget_request_ids()
    renewed = await merchant.step("authorizations", authorization, "capture", "10.00", key=key)
    assert renewed[1]["id"] != first[1]["id"]
    assert server.seen("/capture$", request_id=key) == 4


async def test_a_repeated_order_is_answered_200_and_needs_its_request_id(merchant):
    amount = {"currency_code": "EUR", "value": "5.00"}
    body = {"intent": "AUTHORIZE", "purchase_units": [{"amount": amount}], "payment_source": WALLET}

    first, again = [await merchant.call("POST", ORDERS, body, key="one") for _ in range(2)]
    assert (first[0], again[0], again[1]["id"]) == (201, 200, first[1]["id"])

    status, refused = await merchant.call("POST", ORDERS, body)
    assert (status, issue(refused)) == (400, "PAYPAL_REQUEST_ID_REQUIRED")


async def test_more_than_the_authorization_or_the_capture_is_refused(server, merchant):
    authorization = (await merchant.authorization())["id"]
    _, body = await merchant.step("authorizations", authorization, "capture", "115.01")
    assert issue(body) == "MAX_CAPTURE_AMOUNT_EXCEEDED"

    _, capture = await merchant.step("authorizations", authorization, "capture", "100.00", final_capture=True)
    _, body = await merchant.step("authorizations", authorization, "capture", "1.00")
    assert issue(body) == "AUTHORIZATION_ALREADY_CAPTURED"
    _, body = await merchant.step("authorizations", authorization, "void")
    assert issue(body) == "PREVIOUSLY_CAPTURED"

    _, body = await merchant.step("captures", capture["id"], "refund", "100.01")
    assert issue(body) == "REFUND_AMOUNT_EXCEEDED"
    await merchant.step("captures", capture["id"], "refund")
    _, body = await merchant.step("captures", capture["id"], "refund", "1.00")
    assert issue(body) == "CAPTURE_FULLY_REFUNDED"


async def test_an_authorization_is_voided_or_expires_and_cannot_be_captured(server, merchant):
    voided, expired, aged = [(await merchant.authorization())["id"] for _ in range(3)]
    await merchant.step("authorizations", voided, "void")
    server.expire_authorization(expired)

    assert issue((await merchant.step("authorizations", voided, "capture"))[1]) == "AUTHORIZATION_VOIDED"
    assert issue((await merchant.step("authorizations", voided, "void"))[1]) == "PREVIOUSLY_VOIDED"
    assert issue((await merchant.step("authorizations", expired, "capture"))[1]) == "AUTHORIZATION_EXPIRED"

    server.advance(timedelta(days=29))
    await merchant.sign_in()
    assert issue((await merchant.step("authorizations", aged, "capture"))[1]) == "AUTHORIZATION_EXPIRED"
    assert kinds(server.events).count("PAYMENT.AUTHORIZATION.VOIDED") == 3


async def test_a_reauthorization_comes_after_the_honor_period_and_shares_the_claim(server, merchant):
    authorization = (await merchant.authorization())["id"]
    _, body = await merchant.step("authorizations", authorization, "reauthorize", "100.00")
    assert issue(body) == "REAUTHORIZATION_TOO_SOON"

    server.advance(timedelta(days=4))
    await merchant.sign_in()
    status, renewed = await merchant.step("authorizations", authorization, "reauthorize", "100.00")
    assert status == 201
    await merchant.step("authorizations", renewed["id"], "capture")
    _, body = await merchant.step("authorizations", authorization, "capture", "1.00")
    assert issue(body) == "AUTHORIZATION_ALREADY_CAPTURED"


async def test_declines_come_as_an_issue_or_as_a_processors_response(server, merchant):
    order = await merchant.order()
    server.approve(order["id"])
    server.decline("INSTRUMENT_DECLINED")
    _, body = await merchant.call("POST", f"{ORDERS}/{order['id']}/authorize")
    assert issue(body) == "INSTRUMENT_DECLINED"

    server.decline("INSUFFICIENT_FUNDS", target=order["id"])
    status, paid = await merchant.call("POST", f"{ORDERS}/{order['id']}/authorize")
    denied = paid["purchase_units"][0]["payments"]["authorizations"][0]
    assert (status, denied["status"], denied["processor_response"]) == (
        201,
        "DENIED",
        {"response_code": "5120"},
    )
    assert server.book()[order["id"]].authorized == 0


async def test_a_pending_capture_is_settled_later(server, merchant):
    authorization = (await merchant.authorization())["id"]
    server.decline("PENDING", "capture", times=2)
    captures = [
        (await merchant.step("authorizations", authorization, "capture", "10.00"))[1] for _ in range(2)
    ]
    assert [c["status"] for c in captures] == ["PENDING", "PENDING"]

    server.settle_capture(captures[0]["id"], completed=True)
    server.settle_capture(captures[1]["id"], completed=False)

    assert kinds(server.events)[-2:] == ["PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.DENIED"]
    assert next(iter(server.book().values())).captured == 1000


async def test_a_method_saved_on_success_pays_without_the_payer_until_it_is_deleted(server, merchant):
    vault = {"store_in_vault": "ON_SUCCESS", "usage_type": "MERCHANT"}
    attributes = {"vault": vault, "customer": {"id": "buyer-7"}}
    order = await merchant.order(source={"paypal": {"experience_context": RETURNS, "attributes": attributes}})
    server.approve(order["id"])
    _, paid = await merchant.call("POST", f"{ORDERS}/{order['id']}/authorize")
    saved = paid["payment_source"]["paypal"]["attributes"]["vault"]
    assert (saved["status"], saved["customer"]) == ("VAULTED", {"id": "buyer-7"})

    later = await merchant.order(source={"paypal": {"vault_id": saved["id"]}})
    assert later["status"] == "COMPLETED"

    path = f"/v3/vault/payment-tokens/{saved['id']}"
    assert (await merchant.call("GET", path))[1]["customer"] == {"id": "buyer-7"}
    assert (await merchant.call("DELETE", path))[0] == 204
    assert (await merchant.call("GET", path))[0] == 404
    unit = {"amount": {"currency_code": "EUR", "value": "1.00"}}
    token = {"token": {"id": saved["id"], "type": "PAYMENT_METHOD_TOKEN"}}
    body = {"intent": "CAPTURE", "purchase_units": [unit], "payment_source": token}
    assert issue((await merchant.call("POST", ORDERS, body, key="k"))[1]) == "TOKEN_ID_NOT_FOUND"


async def test_a_dispute_takes_the_money_and_gives_it_back_to_a_seller_who_wins(server, merchant):
    capture = (await merchant.step("authorizations", (await merchant.authorization())["id"], "capture"))[1][
        "id"
    ]
    lost, won = [server.open_dispute(capture, amount) for amount in (4000, 1000)]
    _, listed = await merchant.call("GET", f"/v1/customer/disputes?disputed_transaction_id={capture}")
    assert {item["dispute_id"] for item in listed["items"]} == {lost, won}
    assert issue((await merchant.step("captures", capture, "refund", "1.00"))[1]) == "TRANSACTION_DISPUTED"

    server.disputes.fee_minor_units = 1500
    server.resolve_dispute(won, for_seller=True)
    server.resolve_dispute(lost, for_seller=False)

    _, shown = await merchant.call("GET", f"/v1/customer/disputes/{lost}")
    assert shown["dispute_outcome"]["outcome_code"] == "RESOLVED_BUYER_FAVOUR"
    assert shown["disputed_transactions"][0]["seller_transaction_id"] == capture
    totals = next(iter(server.book().values()))
    assert (totals.disputed, totals.lost, totals.fees) == (4000, 4000, 398 + 1500)
    assert issue((await merchant.step("captures", capture, "refund", "60.01"))[1]) == "REFUND_AMOUNT_EXCEEDED"
    codes = [line.event_code for line in server.transactions]
    assert codes == ["T0006", "T1201", "T1201", "T1202", "T0106"]


async def test_the_report_is_paged_and_late(server, merchant):
    authorization = (await merchant.authorization(custom_id="c9"))["id"]
    captures = [
        (await merchant.step("authorizations", authorization, "capture", "30.00"))[1] for _ in range(3)
    ]
    await merchant.step("captures", captures[0]["id"], "refund", "5.00")
    now = datetime.now(UTC)

    async def report(page: int, days: int = 1) -> tuple[int, Any]:
        start, end = ((now + timedelta(days=d)).strftime("%Y-%m-%dT%H:%M:%SZ") for d in (-days, 1))
        query = f"start_date={start}&end_date={end}&fields=all&page_size=3&page={page}"
        status, body = await merchant.call("GET", f"/v1/reporting/transactions?{query}")
        return status, body

    (_, first), (_, second) = await report(1), await report(2)
    assert (first["total_items"], first["total_pages"]) == (4, 2)
    line = first["transaction_details"][0]["transaction_info"]
    assert (line["transaction_event_code"], line["transaction_id"]) == ("T0006", captures[0]["id"])
    assert (line["transaction_amount"]["value"], line["fee_amount"]["value"]) == ("30.00", "-1.54")
    back = second["transaction_details"][0]["transaction_info"]
    assert (back["transaction_event_code"], back["transaction_amount"]["value"]) == ("T1107", "-5.00")
    assert (back["paypal_reference_id"], back["custom_field"]) == (captures[0]["id"], "c9")

    assert (await report(1, days=32))[0] == 400
    server.reports.delay = timedelta(hours=3)
    assert (await report(1))[1]["total_items"] == 0


async def test_an_invoice_is_paid_once_and_a_breakdown_adds_up(merchant):
    await merchant.authorization(invoice_id="i7")
    order = await merchant.order(invoice_id="i7")
    merchant.server.approve(order["id"])
    assert (
        issue((await merchant.call("POST", f"{ORDERS}/{order['id']}/authorize"))[1]) == "DUPLICATE_INVOICE_ID"
    )

    breakdown = {"item_total": {"currency_code": "EUR", "value": "9.99"}}
    amount = {"currency_code": "EUR", "value": "10.00", "breakdown": breakdown}
    body = {"intent": "CAPTURE", "purchase_units": [{"amount": amount}]}
    assert issue((await merchant.call("POST", ORDERS, body))[1]) == "AMOUNT_MISMATCH"


async def test_an_order_is_patched_while_it_is_open(server, merchant):
    order = await merchant.order()
    path = f"{ORDERS}/{order['id']}"
    value = {"currency_code": "EUR", "value": "90.00"}
    change = {"op": "replace", "path": "/purchase_units/@reference_id=='default'/amount", "value": value}

    assert (await merchant.call("PATCH", path, [change]))[0] == 204

    assert (await merchant.call("GET", path))[1]["purchase_units"][0]["amount"] == value
    server.expire_order(order["id"])
    assert (await merchant.call("GET", path))[1]["name"] == "RESOURCE_NOT_FOUND"
