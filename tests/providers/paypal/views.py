"""How each resource is written. Unless a whole one is asked for, an answer is id, status and links."""

from tests.providers.paypal.book import (
    Authorization,
    Book,
    Capture,
    Dispute,
    Json,
    Order,
    PaymentToken,
    Refund,
    Unit,
    iso,
)

PAYEE = {"email_address": "merchant@example.com", "merchant_id": "MERCHANT12345"}
PAYER = {
    "payer_id": "PAYERID123456",
    "email_address": "payer@example.com",
    "name": {"given_name": "Pay", "surname": "Er"},
}
PROTECTION = {"status": "ELIGIBLE", "dispute_categories": ["ITEM_NOT_RECEIVED", "UNAUTHORIZED_TRANSACTION"]}


def link(rel: str, href: str, method: str = "GET") -> Json:
    return {"href": href, "rel": rel, "method": method}


def given(**fields: object) -> Json:
    """Only what has a value: PayPal leaves empty fields out."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def order_links(book: Book, order: Order) -> list[Json]:
    own = f"{book.url}/v2/checkout/orders/{order.id}"
    links = [link("self", own)]
    if order.status in {"CREATED", "PAYER_ACTION_REQUIRED"}:
        rel = "payer-action" if order.source else "approve"
        links.append(link(rel, f"{book.url}/checkoutnow?token={order.id}"))
    if order.status in {"CREATED", "APPROVED"}:
        step = order.intent.lower()
        links += [link("update", own, "PATCH"), link(step, f"{own}/{step}", "POST")]
    return links


def order_view(book: Book, order: Order, whole: bool = True) -> Json:
    view = given(
        id=order.id, status=order.status, links=order_links(book, order), payment_source=source(book, order)
    )
    if order.status in {"APPROVED", "COMPLETED"}:
        view["payer"] = PAYER
    if whole:
        view |= {
            "intent": order.intent,
            "purchase_units": [unit_view(book, unit) for unit in order.units],
            "create_time": iso(order.created),
            "update_time": iso(order.updated),
        }
    elif order.status == "COMPLETED":
        view["purchase_units"] = [
            {"reference_id": unit.reference_id, "payments": payments_view(book, unit)} for unit in order.units
        ]
    return view


def source(book: Book, order: Order) -> Json:
    """What is shown of the payment source: never what was sent in."""
    if order.status not in {"APPROVED", "COMPLETED"}:
        return {name: {} for name in order.source}
    if order.paid_with is not None:
        return order.paid_with.source
    shown: Json = {
        "email_address": PAYER["email_address"],
        "account_id": PAYER["payer_id"],
        "name": PAYER["name"],
    }
    if order.vaulted is not None:
        token = order.vaulted
        shown["attributes"] = {
            "vault": {
                "id": token.id,
                "status": "VAULTED",
                "customer": {"id": token.customer_id},
                "links": [link("self", f"{book.url}/v3/vault/payment-tokens/{token.id}")],
            }
        }
    return {"paypal": shown}


def unit_view(book: Book, unit: Unit) -> Json:
    asked: Json = {
        key: unit.asked[key]
        for key in ("description", "soft_descriptor", "items", "shipping")
        if key in unit.asked
    }
    amount: Json = dict(unit.amount.json())
    if "breakdown" in unit.asked.get("amount", {}):
        amount["breakdown"] = unit.asked["amount"]["breakdown"]
    return {
        **given(
            reference_id=unit.reference_id,
            custom_id=unit.custom_id,
            invoice_id=unit.invoice_id,
            payments=payments_view(book, unit),
        ),
        **asked,
        "amount": amount,
        "payee": PAYEE,
    }


def payments_view(book: Book, unit: Unit) -> Json:
    return given(
        authorizations=[authorization_view(book, a) for a in unit.authorizations],
        captures=[capture_view(book, c) for c in unit.captures],
        refunds=[refund_view(book, r) for c in unit.captures for r in c.refunds],
    )


def authorization_view(book: Book, found: Authorization, whole: bool = True) -> Json:
    own = f"{book.url}/v2/payments/authorizations/{found.id}"
    links = [link("self", own)]
    if found.status in {"CREATED", "PARTIALLY_CAPTURED"}:
        links += [link(step, f"{own}/{step}", "POST") for step in ("capture", "void", "reauthorize")]
    links.append(link("up", f"{book.url}/v2/checkout/orders/{found.order.id}"))
    view = {"id": found.id, "status": found.status, "links": links}
    if not whole:
        return view
    return view | given(
        amount=found.amount.json(),
        status_details={"reason": found.reason} if found.reason else None,
        processor_response={"response_code": found.response_code} if found.response_code else None,
        invoice_id=found.unit.invoice_id,
        custom_id=found.unit.custom_id,
        seller_protection=PROTECTION,
        supplementary_data={"related_ids": {"order_id": found.order.id}},
        payee=PAYEE,
        expiration_time=iso(found.expires),
        create_time=iso(found.created),
        update_time=iso(found.updated),
    )


def capture_view(book: Book, found: Capture, whole: bool = True) -> Json:
    own = f"{book.url}/v2/payments/captures/{found.id}"
    parent = found.authorization
    up = f"payments/authorizations/{parent.id}" if parent else f"checkout/orders/{found.order.id}"
    links = [link("self", own), link("refund", f"{own}/refund", "POST"), link("up", f"{book.url}/v2/{up}")]
    view = {"id": found.id, "status": found.status, "links": links}
    if not whole:
        return view
    related = given(order_id=found.order.id, authorization_id=parent.id if parent else None)
    settled = found.status not in {"PENDING", "DECLINED", "FAILED"}
    breakdown = {
        "gross_amount": found.amount.json(),
        "paypal_fee": found.amount.of(found.fee).json(),
        "net_amount": found.amount.of(found.amount.minor_units - found.fee).json(),
    }
    return view | given(
        amount=found.amount.json(),
        final_capture=found.final,
        status_details={"reason": found.reason} if found.reason else None,
        processor_response={"response_code": found.response_code} if found.response_code else None,
        seller_receivable_breakdown=breakdown if settled else None,
        seller_protection=PROTECTION,
        invoice_id=found.invoice_id or found.unit.invoice_id,
        custom_id=found.unit.custom_id,
        supplementary_data={"related_ids": related},
        payee=PAYEE,
        create_time=iso(found.created),
        update_time=iso(found.updated),
    )


def refund_view(book: Book, found: Refund, whole: bool = True) -> Json:
    links = [
        link("self", f"{book.url}/v2/payments/refunds/{found.id}"),
        link("up", f"{book.url}/v2/payments/captures/{found.capture.id}"),
    ]
    view = {"id": found.id, "status": found.status, "links": links}
    if not whole:
        return view
    return view | given(
        amount=found.amount.json(),
        status_details={"reason": "ECHECK"} if found.status == "PENDING" else None,
        invoice_id=found.invoice_id,
        custom_id=found.custom_id or found.capture.unit.custom_id,
        note_to_payer=found.note,
        seller_payable_breakdown={
            "gross_amount": found.amount.json(),
            "paypal_fee": found.amount.of(0).json(),
            "net_amount": found.amount.json(),
            "total_refunded_amount": found.amount.of(found.capture.refunded()).json(),
        },
        create_time=iso(found.created),
        update_time=iso(found.updated),
    )


def dispute_view(book: Book, found: Dispute, whole: bool = True) -> Json:
    view = {
        "dispute_id": found.id,
        "reason": found.reason,
        "status": found.status,
        "dispute_state": "RESOLVED" if found.outcome else "REQUIRED_ACTION",
        "dispute_amount": found.amount.json(),
        "dispute_life_cycle_stage": found.stage,
        "dispute_channel": "EXTERNAL" if found.stage == "CHARGEBACK" else "INTERNAL",
        "create_time": iso(found.created),
        "update_time": iso(found.updated),
        "links": [link("self", f"{book.url}/v1/customer/disputes/{found.id}")],
    }
    if not whole:
        return view
    capture = found.capture
    disputed = given(
        seller_transaction_id=capture.id,
        buyer_transaction_id=capture.id[::-1],
        gross_amount=capture.amount.json(),
        transaction_status="COMPLETED",
        create_time=iso(capture.created),
        custom=capture.unit.custom_id,
        invoice_number=capture.invoice_id or capture.unit.invoice_id,
        seller=PAYEE,
    )
    outcome = given(outcome_code=found.outcome, amount_refunded=found.amount.json() if found.lost else None)
    return (
        view | {"disputed_transactions": [disputed]} | ({"dispute_outcome": outcome} if found.outcome else {})
    )


def token_view(book: Book, token: PaymentToken) -> Json:
    own = f"{book.url}/v3/vault/payment-tokens/{token.id}"
    return {
        "id": token.id,
        "customer": {"id": token.customer_id},
        "payment_source": token.source,
        "links": [link("self", own), link("delete", own, "DELETE")],
    }
