"""PayPal's webhooks: whose they are, and what they tell."""

import base64
import json
import zlib
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from commerce.common.v1.error_reason_pb2 import ErrorReason
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.x509.oid import NameOID

from services.payment.gateways.http import Http
from services.payment.gateways.paypal.events import read
from services.payment.gateways.paypal.orders import invoice_of
from services.payment.gateways.paypal.signature import CERTIFICATES, Signatures
from services.payment.rules.payment import DISPUTE_LOST, DISPUTE_OPEN, DISPUTE_WON
from services.runtime.ids import new_id
from services.runtime.refusals import Refusal
from tests.payment.worlds.receiver import serving
from tests.ports import free_port

WEBHOOK_ID = "8PT597110X687430L"
BODY = b'{"id": "WH-1"}'
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def certificate(key=KEY, days=(-1, 1)):
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "messageverificationcerts.paypal.com")])
    begin, end = (datetime.now(UTC) + timedelta(days=day) for day in days)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).serial_number(1)
    builder = builder.public_key(key.public_key()).not_valid_before(begin).not_valid_after(end)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Certificates:
    def __init__(self):
        self.served, self.asked, self.status = certificate(), 0, 200

    async def serve(self, request):
        self.asked += 1
        assert "Authorization" not in request.headers
        return web.Response(status=self.status, body=self.served)


@pytest.fixture
async def certificates():
    return Certificates()


@pytest.fixture
async def url(certificates):
    app = web.Application()
    app.router.add_get("/{path:.*}", certificates.serve)
    async with serving(app) as url:
        yield url


@pytest.fixture
async def signatures(url):
    http = Http("paypal", url, 2.0, 4)
    yield Signatures(http, url, WEBHOOK_ID)
    await http.close()


def signed(url, body=BODY, *, key=KEY, age_seconds=0, **changed):
    """The headers of a webhook, as PayPal's would be; `changed` are put in after it was signed."""
    sent = (datetime.now(UTC) - timedelta(seconds=age_seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = f"b2384410-f8d2|{sent}|{WEBHOOK_ID}|{zlib.crc32(body)}"
    headers = {
        "transmission_id": "b2384410-f8d2",
        "transmission_time": sent,
        "transmission_sig": base64.b64encode(
            key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        ).decode(),
        "cert_url": f"{url}/v1/notifications/certs/CERT-1",
        "auth_algo": "SHA256withRSA",
    }
    return {f"paypal-{name.replace('_', '-')}": value for name, value in (headers | changed).items()}


async def cause_of(signatures, headers, body=BODY):
    with pytest.raises(Refusal) as refused:
        await signatures.verify(body, headers)
    assert refused.value.reason == ErrorReason.ERROR_REASON_WEBHOOK_SIGNATURE_INVALID
    return refused.value.metadata["cause"]


async def test_paypals_signature_is_taken_and_its_certificate_is_fetched_once(signatures, certificates, url):
    for _ in range(3):
        await signatures.verify(BODY, signed(url))
    assert certificates.asked == 1


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"transmission_sig": ""}, "missing"),
        ({"transmission_sig": b"x"}, "malformed"),
        ({"transmission_sig": "§"}, "malformed"),
        ({"transmission_sig": "no base64!"}, "malformed"),
        ({"transmission_sig": base64.b64encode(b"x" * 256).decode()}, "wrong"),
        ({"transmission_id": "another"}, "wrong"),
        ({"transmission_id": "a|b"}, "malformed"),
        ({"transmission_time": "yesterday"}, "malformed"),
        ({"transmission_time": "2026-01-01T00:00:00"}, "malformed"),
        ({"transmission_time": "2026-01-01T00:00:00Z"}, "wrong"),
        ({"auth_algo": "SHA1withRSA"}, "malformed"),
    ],
)
async def test_another_signature_is_refused(signatures, url, changed, cause):
    assert await cause_of(signatures, signed(url, **changed)) == cause


async def test_each_header_is_needed(signatures, url):
    headers = signed(url)
    for name in headers:
        rest = {other: value for other, value in headers.items() if other != name}
        assert await cause_of(signatures, rest) == "missing"


async def test_the_signature_covers_the_body_and_our_webhook(signatures, url):
    assert await cause_of(signatures, signed(url), BODY + b" ") == "wrong"
    signatures._webhook_id = "ANOTHER"
    assert await cause_of(signatures, signed(url)) == "wrong"


async def test_a_strangers_key_is_refused(signatures, url):
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert await cause_of(signatures, signed(url, key=stranger)) == "wrong"


@pytest.mark.parametrize("age", [301, -330])
async def test_what_was_sent_long_ago_or_is_yet_to_come_is_refused(signatures, url, age):
    assert await cause_of(signatures, signed(url, age_seconds=age)) == "too old"
    await signatures.verify(BODY, signed(url, age_seconds=280))


@pytest.mark.parametrize(
    "served",
    [
        certificate(days=(-3, -1)),
        certificate(days=(1, 3)),
        certificate(ec.generate_private_key(ec.SECP256R1())),
        b"none",
        b"",
    ],
    ids=["over", "not yet", "not RSA", "none", "empty"],
)
async def test_a_certificate_that_is_not_valid_proves_nothing(signatures, certificates, url, served):
    certificates.served = served
    assert await cause_of(signatures, signed(url)) == "wrong"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:8443/v1/notifications/certs/CERT-1",
        "https://paypal.com.evil.test/v1/notifications/certs/CERT-1",
        "https://evilpaypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com@evil.test/v1/notifications/certs/CERT-1",
        "https://evil.test\\@api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com/elsewhere/CERT-1",
        "https://api.paypal.com/v1/notifications/certs/../../elsewhere",
        "https://api.paypal.com/v1/notifications/certs/CERT-1?to=evil.test",
        "https://[::1/v1/notifications/certs/CERT-1",
        "https://api.paypal.com:x/v1/notifications/certs/CERT-1",
        "file:///v1/notifications/certs/CERT-1",
        "CERT-1",
    ],
)
async def test_a_certificate_from_elsewhere_is_not_even_fetched(signatures, certificates, url, elsewhere):
    assert not signatures._trusted(elsewhere)
    assert await cause_of(signatures, signed(url, cert_url=elsewhere)) == "wrong"
    assert certificates.asked == 0


@pytest.mark.parametrize("host", ["api.paypal.com", "api.sandbox.paypal.com", "API.PayPal.com"])
def test_paypals_own_hosts_are_trusted(host):
    signatures = Signatures(Http.__new__(Http), "https://api-m.paypal.com", WEBHOOK_ID)
    assert signatures._trusted(f"https://{host}/v1/notifications/certs/CERT-360caa42-fca2a594")


async def test_a_certificate_that_cannot_be_fetched_refuses_nobody_for_good(signatures, certificates, url):
    certificates.status = 503
    with pytest.raises(Refusal) as refused:
        await signatures.verify(BODY, signed(url))
    assert refused.value.reason == ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE
    certificates.status = 200
    await signatures.verify(BODY, signed(url))


async def test_strangers_cannot_have_us_keep_certificates_without_bound(signatures, url):
    for number in range(CERTIFICATES + 5):
        headers = signed(url, cert_url=f"{url}/v1/notifications/certs/CERT-{number}")
        await signatures.verify(BODY, headers)
    assert len(signatures._certificates) == CERTIFICATES


async def test_where_there_is_no_certificate_to_be_had_it_is_said_so():
    url = f"http://127.0.0.1:{free_port()}"
    http = Http("paypal", url, 2.0, 4)
    with pytest.raises(Refusal) as refused:
        await Signatures(http, url, WEBHOOK_ID).verify(BODY, signed(url))
    assert refused.value.reason == ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE
    await http.close()


# What they tell

OPERATION = "01a1ffac-0000-7000-8000-000000000001"
EUROS = {"currency_code": "EUR", "value": "19.99"}
RELATED = {"related_ids": {"order_id": "ORDER1"}}


def event(event_type, resource, **changed):
    return json.dumps({"id": "WH-1", "event_type": event_type, "resource": resource} | changed).encode()


def test_an_approved_order_is_to_be_asked_about():
    resource = {"id": "ORDER1", "status": "APPROVED", "purchase_units": [{"custom_id": OPERATION}]}
    notice = read(event("CHECKOUT.ORDER.APPROVED", resource))
    assert (notice.event_id, notice.type) == ("WH-1", "CHECKOUT.ORDER.APPROVED")
    assert (notice.ask, notice.told) == (True, None)
    assert (notice.operation_id, notice.charge_reference) == (OPERATION, "ORDER1")


AUTHORIZATION = {
    "id": "AUTH1",
    "status": "CREATED",
    "amount": EUROS,
    "custom_id": OPERATION,
    "expiration_time": "2026-12-24T10:00:00Z",
    "supplementary_data": RELATED,
}


def test_a_new_authorization_tells_all():
    notice = read(event("PAYMENT.AUTHORIZATION.CREATED", AUTHORIZATION))
    assert (notice.ask, notice.operation_id, notice.charge_reference) == (False, OPERATION, "ORDER1")
    told = notice.told
    assert told is not None
    assert (told.status, told.reference, told.operation_reference) == ("authorized", "ORDER1", "AUTH1")
    assert (told.amount, told.currency_code, told.captured, told.refunded) == (1999, "EUR", 0, 0)
    assert told.expire_time == datetime(2026, 12, 24, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "changed", [{"status": "PENDING"}, {"custom_id": "another's"}, {"supplementary_data": {}}]
)
def test_an_authorization_that_does_not_tell_all_is_to_be_asked_about(changed):
    notice = read(event("PAYMENT.AUTHORIZATION.CREATED", AUTHORIZATION | changed))
    assert (notice.ask, notice.told) == (True, None)


@pytest.mark.parametrize("name", ["COMPLETED", "DENIED", "DECLINED", "PENDING"])
def test_a_capture_names_its_operation_by_its_invoice(name):
    resource = {
        "id": "CAP1",
        "custom_id": str(new_id()),
        "invoice_id": invoice_of(OPERATION, "ORDER1"),
        "supplementary_data": RELATED,
    }
    notice = read(event(f"PAYMENT.CAPTURE.{name}", resource))
    assert (notice.ask, notice.operation_id, notice.charge_reference) == (True, OPERATION, "ORDER1")


@pytest.mark.parametrize("name", ["CAPTURE.REFUNDED", "REFUND.PENDING", "REFUND.FAILED"])
def test_a_refund_names_its_operation_by_custom_id(name):
    notice = read(event(f"PAYMENT.{name}", {"id": "REF1", "custom_id": OPERATION}))
    assert (notice.ask, notice.operation_id, notice.told) == (True, OPERATION, None)


def test_what_is_none_of_ours_tells_nothing():
    for body in (
        event("BILLING.PLAN.CREATED", {"id": "P-1"}),
        event("PAYMENT.CAPTURE.COMPLETED", {"id": "CAP1", "invoice_id": "INV-7"}),
        event("X" * 200, {}),
    ):
        notice = read(body)
        assert (notice.told, notice.dispute, notice.ask) == (None, None, False)
        assert (notice.operation_id, notice.charge_reference) == ("", "")


def dispute(**changed):
    return {
        "dispute_id": "PP-D-1",
        "status": "OPEN",
        "reason": "UNAUTHORISED",
        "dispute_amount": EUROS,
        "disputed_transactions": [{"seller_transaction_id": "CAP1", "custom": OPERATION}],
    } | changed


@pytest.mark.parametrize(
    ("status", "outcome", "end"),
    [
        ("OPEN", None, DISPUTE_OPEN),
        ("UNDER_REVIEW", None, DISPUTE_OPEN),
        ("RESOLVED", "RESOLVED_SELLER_FAVOUR", DISPUTE_WON),
        ("RESOLVED", "CANCELED_BY_BUYER", DISPUTE_WON),
        ("RESOLVED", "RESOLVED_WITH_PAYOUT", DISPUTE_WON),
        ("RESOLVED", "RESOLVED_BUYER_FAVOUR", DISPUTE_LOST),
        ("RESOLVED", "ACCEPTED", DISPUTE_LOST),
        ("RESOLVED", "NONE", DISPUTE_OPEN),
        ("RESOLVED", None, DISPUTE_OPEN),
    ],
)
def test_a_dispute_is_told_as_it_stands(status, outcome, end):
    decided = {"dispute_outcome": {"outcome_code": outcome}} if outcome else {}
    notice = read(event("CUSTOMER.DISPUTE.UPDATED", dispute(status=status, **decided)))
    told = notice.dispute
    assert told is not None
    assert (told.reference, told.status, told.amount, told.currency_code) == ("PP-D-1", end, 1999, "EUR")
    assert (told.reason, told.fee, notice.ask) == ("UNAUTHORISED", 0, False)


def test_a_disputes_fee_is_what_was_taken_from_us_for_it():
    moved = [
        {"affected_party": "SELLER", "type": "DEBIT", "reason": "DISPUTE_SETTLEMENT", "amount": EUROS},
        {
            "affected_party": "SELLER",
            "type": "DEBIT",
            "reason": "CHARGEBACK_FEE",
            "amount": {"currency_code": "EUR", "value": "15.00"},
        },
        {"affected_party": "BUYER", "type": "CREDIT", "reason": "DISPUTE_FEE", "amount": EUROS},
    ]
    told = read(event("CUSTOMER.DISPUTE.CREATED", dispute(money_movements=moved))).dispute
    assert told is not None
    assert told.fee == 1500


@pytest.mark.parametrize(
    ("transaction", "operation_id", "reference"),
    [
        ({"custom": OPERATION}, OPERATION, ""),
        ({"invoice_number": invoice_of(OPERATION, "ORDER1")}, OPERATION, "ORDER1"),
        ({"seller_transaction_id": "CAP1"}, "", "CAP1"),
        ({}, "", ""),
    ],
)
def test_a_dispute_names_what_it_is_about(transaction, operation_id, reference):
    notice = read(event("CUSTOMER.DISPUTE.CREATED", dispute(disputed_transactions=[transaction])))
    assert (notice.operation_id, notice.charge_reference) == (operation_id, reference)


@pytest.mark.parametrize(
    "changed", [{"dispute_id": None}, {"dispute_amount": None}, {"disputed_transactions": "x"}]
)
def test_a_dispute_that_is_none_is_refused(changed):
    with pytest.raises(Refusal) as refused:
        read(event("CUSTOMER.DISPUTE.CREATED", dispute(**changed)))
    assert refused.value.reason == ErrorReason.ERROR_REASON_WEBHOOK_MALFORMED


@pytest.mark.parametrize("event_id", ["", None, 7, "x" * 201, "a\0b", "a b"])
def test_an_event_without_a_proper_id_is_refused(event_id):
    with pytest.raises(Refusal):
        read(event("CHECKOUT.ORDER.APPROVED", {"id": "ORDER1"}, id=event_id))
