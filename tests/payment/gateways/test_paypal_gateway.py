"""PayPal's gateway: what it asks for, and how it takes answers that the provider of the kit does not give."""

import asyncio
import base64
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from aiohttp import web
from commerce.payment.v1.payment_pb2 import PaymentState
from commerce.payment.v1.settlement_service_pb2 import SettlementLineKind
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from services.payment.gateways.gateway import HOSTED, Unfetched
from services.payment.gateways.paypal.amounts import CURRENCY_CODES, WHOLE, minor_units, said
from services.payment.gateways.paypal.gateway import PayPalGateway
from services.payment.gateways.paypal.operations import KEY_TIME, key_of_part
from services.payment.gateways.paypal.orders import invoice_of, key_of, order_named, spread
from services.payment.rules.outcomes import NeverSeen, NotSent, Refused, Told, Unknown
from services.payment.rules.payment import OPERATION_SUCCEEDED, Operation, Payment
from services.payment.settings import PaymentSettings
from services.runtime.ids import new_id
from tests.payment.worlds.receiver import serving

NOW = datetime.now(UTC)
ID, SECRET = "the-client", "the-clients-secret"
ORDER = "/v2/checkout/orders/ORDER1"
CAPTURE = "/v2/payments/authorizations/AUTH1/capture"
VOID = "/v2/payments/authorizations/AUTH1/void"
APPROVE = {"rel": "payer-action", "href": "https://paypal.test/approve"}


def euros(value):
    return {"currency_code": "EUR", "value": value}


def order(status="COMPLETED", *, authorization="CREATED", captures=(), refunds=(), links=(APPROVE,)):
    payments = {"captures": list(captures), "refunds": list(refunds)}
    if authorization:
        payments["authorizations"] = [
            {
                "id": "AUTH1",
                "status": authorization,
                "amount": euros("20.00"),
                "expiration_time": "2026-12-24T10:00:00Z",
            }
        ]
    unit = {"amount": euros("20.00"), "payments": payments}
    return {"id": "ORDER1", "status": status, "purchase_units": [unit], "links": list(links)}


def capture(name, value, key="", status="COMPLETED"):
    return {"id": name, "status": status, "amount": euros(value), "invoice_id": invoice_of(key, "ORDER1")}


def refund(name, value, capture_id, key="", status="COMPLETED"):
    up = {"rel": "up", "href": f"https://api.paypal.test/v2/payments/captures/{capture_id}"}
    return {"id": name, "status": status, "amount": euros(value), "custom_id": key, "links": [up]}


def error(issue, name="UNPROCESSABLE_ENTITY"):
    return {"name": name, "details": [{"issue": issue}]}


class PayPal:
    """Answers a request by its verb and path, the last answer again and again, and remembers what it was asked."""

    def __init__(self):
        self.answers, self.asked, self.tokens, self.token_answer = {}, [], 0, None
        self.taken = "token-1"

    def says(self, verb, path, *answers):
        """An answer is (status, body), or a body with 200."""
        self.answers[verb, path] = [one if isinstance(one, tuple) else (200, one) for one in answers]

    def bodies(self, verb, path):
        return [json.loads(text) for one, text in self.asked if (one.method, one.path) == (verb, path)]

    def keys(self, verb, path):
        found = [one for one, _ in self.asked if (one.method, one.path) == (verb, path)]
        return [one.headers.get("PayPal-Request-Id") for one in found]

    async def answer(self, request):
        text = await request.text()
        if request.path == "/v1/oauth2/token":
            return await self.token(request, text)
        self.asked.append((request, text))
        if request.headers["Authorization"] != f"Bearer {self.taken}":
            return web.json_response({"error": "invalid_token"}, status=401)
        answers = self.answers.get((request.method, request.path), [(404, error("INVALID_RESOURCE_ID"))])
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        return web.json_response(body, status=status)

    async def token(self, request, text):
        self.tokens += 1
        await asyncio.sleep(0.01)
        pair = base64.b64encode(f"{ID}:{SECRET}".encode()).decode()
        assert (request.headers["Authorization"], text) == (
            f"Basic {pair}",
            "grant_type=client_credentials",
        )
        if self.token_answer is not None:
            return web.json_response(self.token_answer[1], status=self.token_answer[0])
        return web.json_response({"access_token": f"token-{self.tokens}", "expires_in": 32400})


@pytest.fixture
async def paypal():
    return PayPal()


@pytest.fixture
async def gateway(paypal):
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", paypal.answer)
    async with serving(app) as url:
        gateway = PayPalGateway(settings(url))
        yield gateway
        await gateway.close()


def settings(url):
    return PaymentSettings.model_construct(
        paypal_url=url,
        paypal_client_id=SecretStr(ID),
        paypal_client_secret=SecretStr(SECRET),
        paypal_webhook_id=SecretStr("WH"),
        return_url="https://shop.test/back?lang=de",
        provider_timeout_seconds=20.0,
        provider_connections=8,
    )


def operation(kind="authorize", amount=2000, **changed):
    given = {"operation_id": str(new_id()), "kind": kind, "amount": amount, "create_time": NOW}
    return Operation(**given | changed)


def payment(*operations, **changed):
    return replace(
        Payment(
            payment_id=str(new_id()),
            order_id=str(new_id()),
            store_id=str(new_id()),
            customer_id=str(new_id()),
            state=PaymentState.PAYMENT_STATE_PENDING,
            amount=2000,
            currency_code="EUR",
            payment_method=HOSTED,
            provider_reference="ORDER1",
            create_time=NOW,
            update_time=NOW,
            operations=operations,
        ),
        **changed,
    )


# Amounts


@given(st.sampled_from(CURRENCY_CODES), st.integers(0, 10**15))
def test_an_amount_said_is_the_same_amount_or_cannot_be_said(currency, amount):
    money = said(amount, currency)
    if money is None:
        assert currency in WHOLE and currency != "JPY" and amount % 100
        return
    assert money["currency_code"] == currency
    assert minor_units(money["value"], currency) == amount
    assert ("." in money["value"]) == (currency not in WHOLE)


@given(st.text(max_size=20) | st.integers() | st.none() | st.decimals().map(str), st.text(max_size=3))
def test_what_is_no_amount_is_none(value, currency):
    assert minor_units(value, "EUR") is None or isinstance(minor_units(value, "EUR"), int)
    assert minor_units(value, currency.lower()) is None


@pytest.mark.parametrize(
    ("value", "currency", "amount"),
    [
        ("19.99", "EUR", 1999),
        ("-0.33", "EUR", -33),
        ("19.9", "EUR", 1990),
        ("19.990", "EUR", 1999),
        ("19.999", "EUR", None),
        ("19", "HUF", 1900),
        ("19.00", "JPY", 19),
        ("19.5", "JPY", None),
        ("1e3", "EUR", None),
        ("١٩", "EUR", None),
        (19.99, "EUR", None),
        ("", "EUR", None),
        ("19.99", "KWD", None),
        ("19.99", None, None),
    ],
)
def test_reads_values(value, currency, amount):
    assert minor_units(value, currency) == amount


@given(st.integers(1, 10**6), st.lists(st.integers(0, 10**6), max_size=6))
def test_a_refund_is_spread_whole_or_not_at_all(amount, rests):
    captures = [(f"C{index}", rest) for index, rest in enumerate(rests)]

    parts = spread(amount, captures)

    assert bool(parts) == (sum(rests) >= amount)
    assert sum(part for _, part in parts) in (0, amount)
    left = dict(captures)
    assert all(0 < part <= left[name] for name, part in parts)
    assert len({name for name, _ in parts}) == len(parts)


def test_our_ids_name_the_operation_and_the_order_and_others_name_nothing():
    key = str(new_id())
    assert (key_of(key), order_named(key)) == (key, "")
    assert (key_of(invoice_of(key, "O1", "C1")), order_named(invoice_of(key, "O1", "C1"))) == (key, "O1")
    for other in ("", None, 7, "INV-1:O1", "x" * 36 + ":O1", key + "x:O1"):
        assert (key_of(other), order_named(other)) == ("", "")


@given(st.uuids(), st.text(max_size=30))
def test_the_id_of_a_part_is_a_uuid_and_always_the_same(uuid, part):
    one = operation(operation_id=str(uuid))
    assert key_of_part(one, part) == key_of_part(one, part) == str(UUID(key_of_part(one, part)))
    assert key_of_part(one, part) != one.operation_id


# The token


async def test_one_token_is_fetched_for_all_and_kept(gateway, paypal):
    paypal.says("GET", ORDER, order())
    one = operation("capture")
    await asyncio.gather(*(gateway.look_up(one, payment(one)) for _ in range(5)))
    assert (len(paypal.asked), paypal.tokens) == (5, 1)


async def test_a_token_that_is_not_taken_any_more_is_renewed_once(gateway, paypal):
    paypal.says("GET", ORDER, order())
    await gateway.look_up(operation("capture"), payment())
    paypal.taken = "token-2"

    found = await asyncio.gather(*(gateway.look_up(operation("capture"), payment()) for _ in range(3)))

    assert (found, paypal.tokens) == ([NeverSeen()] * 3, 2)


async def test_who_is_not_let_in_has_sent_nothing(gateway, paypal):
    paypal.taken = "another"
    assert await gateway.perform(operation(), payment(provider_reference="")) == NotSent("unauthorized")
    assert paypal.tokens == 2


@pytest.mark.parametrize(
    "answer",
    [
        (401, {"error": "invalid_client"}),
        (500, {}),
        (200, {}),
        (200, {"access_token": "a b", "expires_in": 5}),
        (200, {"access_token": "ab", "expires_in": "5"}),
        (200, ["ab"]),
    ],
)
async def test_without_a_token_nothing_was_sent(gateway, paypal, answer):
    paypal.token_answer = answer
    assert await gateway.perform(operation(), payment(provider_reference="")) == NotSent("no token")
    assert paypal.asked == []


async def test_a_caller_who_leaves_does_not_take_the_token_away_from_others(gateway, paypal):
    paypal.says("GET", ORDER, order())
    leaving = asyncio.create_task(gateway.look_up(operation("capture"), payment()))
    await asyncio.sleep(0)
    staying = asyncio.create_task(gateway.look_up(operation("capture"), payment()))
    await asyncio.sleep(0)
    leaving.cancel()
    assert await staying == NeverSeen()
    assert paypal.tokens == 1


# Authorization


@pytest.mark.parametrize("method", [HOSTED, "pm_paypal_redirect"])
async def test_a_customer_is_sent_to_paypal_and_back(gateway, paypal, method):
    paypal.says("POST", "/v2/checkout/orders", order("PAYER_ACTION_REQUIRED", authorization=""))
    one, paid = operation(), payment(payment_method=method, provider_reference="")

    told = await gateway.perform(one, paid)

    assert (told.status, told.reference, told.next_action_url) == (
        "requires_action",
        "ORDER1",
        APPROVE["href"],
    )
    [body] = paypal.bodies("POST", "/v2/checkout/orders")
    back = f"https://shop.test/back?lang=de&payment_id={paid.payment_id}"
    assert body == {
        "intent": "AUTHORIZE",
        "payment_source": {
            "paypal": {
                "experience_context": {"return_url": back, "cancel_url": back, "user_action": "PAY_NOW"}
            }
        },
        "purchase_units": [
            {
                "reference_id": paid.order_id,
                "custom_id": one.operation_id,
                "invoice_id": paid.order_id,
                "amount": euros("20.00"),
            }
        ],
    }
    assert paypal.keys("POST", "/v2/checkout/orders") == [one.operation_id]


async def test_a_vaulted_method_pays_at_once(gateway, paypal):
    paypal.says("POST", "/v2/checkout/orders", (201, order()))
    told = await gateway.perform(
        operation(), payment(payment_method="pm_paypal_8kk-1_x", provider_reference="")
    )
    assert (told.status, told.operation_reference) == ("authorized", "AUTH1")
    assert told.expire_time == datetime(2026, 12, 24, 10, tzinfo=UTC)
    [body] = paypal.bodies("POST", "/v2/checkout/orders")
    assert body["payment_source"]["paypal"]["vault_id"] == "8kk-1_x"


@pytest.mark.parametrize("token", ["../orders", "a/b", "a b", "", "ä", "x" * 101])
async def test_a_token_that_cannot_be_paypals_is_not_sent(gateway, paypal, token):
    method = f"pm_paypal_{token}"
    refused = Refused("payment_method_unknown")
    assert (
        await gateway.perform(operation(), payment(payment_method=method, provider_reference="")) == refused
    )
    assert (await gateway.method(method), await gateway.forget(method)) == (refused, None)
    assert paypal.asked == []


@pytest.mark.parametrize(("amount", "currency"), [(1999, "HUF"), (1999, "KWD"), (150, "TWD")])
async def test_what_paypal_cannot_be_told_is_refused(gateway, paypal, amount, currency):
    asked = payment(amount=amount, currency_code=currency, provider_reference="")
    assert await gateway.perform(operation(amount=amount), asked) == Refused("amount_not_payable")
    assert paypal.asked == []


async def test_what_the_customer_has_approved_is_authorized_once_when_it_is_looked_up(gateway, paypal):
    paypal.says("GET", ORDER, order("APPROVED", authorization=""))
    paypal.says("POST", f"{ORDER}/authorize", (201, order()))
    one = operation()

    tolds = [await gateway.look_up(one, payment(one)) for _ in range(2)]

    assert [told.status for told in tolds] == ["authorized"] * 2
    assert paypal.keys("POST", f"{ORDER}/authorize") == [key_of_part(one, "authorize")] * 2


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        ((422, error("INSTRUMENT_DECLINED")), "declined", "instrument_declined"),
        ((422, error("TRANSACTION_REFUSED")), "declined", "transaction_refused"),
        ((201, order(authorization="DENIED")), "declined", "authorization_denied"),
        ((201, order(authorization="PENDING")), "processing", ""),
        ((422, error("PAYER_ACTION_REQUIRED")), "requires_action", ""),
    ],
)
async def test_what_becomes_of_an_approved_order(gateway, paypal, answer, status, code):
    paypal.says("GET", ORDER, order("APPROVED", authorization=""))
    paypal.says("POST", f"{ORDER}/authorize", answer)
    told = await gateway.look_up(operation(), payment())
    assert (told.status, told.decline_code, told.reference) == (status, code, "ORDER1")


@pytest.mark.parametrize(
    ("found", "status"),
    [
        (order("CREATED", authorization=""), "requires_action"),
        (order("PAYER_ACTION_REQUIRED", authorization=""), "requires_action"),
        (order("VOIDED", authorization=""), "voided"),
        (order(authorization="VOIDED"), "voided"),
        (order(authorization="DENIED"), "declined"),
        (order(authorization="PARTIALLY_CAPTURED"), "authorized"),
    ],
)
async def test_an_authorization_is_read_from_its_order(gateway, paypal, found, status):
    paypal.says("GET", ORDER, found)
    assert (await gateway.look_up(operation(), payment())).status == status


async def test_an_order_that_paypal_has_dropped_has_expired_unless_it_was_authorized(gateway):
    held = operation(state=OPERATION_SUCCEEDED)
    assert (await gateway.look_up(operation(), payment())).status == "expired"
    assert (await gateway.perform(operation("void"), payment())).status == "voided"
    for kind in ("void", "capture", "refund"):
        assert isinstance(await gateway.perform(operation(kind), payment(held)), Unknown)


async def test_a_lost_order_is_asked_for_again_by_the_same_key(gateway, paypal):
    paypal.says("POST", "/v2/checkout/orders", order("CREATED", authorization=""))
    one = operation()
    for _ in range(2):
        assert (await gateway.look_up(one, payment(provider_reference=""))).status == "requires_action"
    assert paypal.keys("POST", "/v2/checkout/orders") == [one.operation_id] * 2


async def test_what_pays_at_once_is_not_asked_for_again_when_its_key_may_be_forgotten(gateway, paypal):
    old = operation(create_time=NOW - KEY_TIME - timedelta(minutes=1))
    vaulted = payment(payment_method="pm_paypal_abc", provider_reference="")
    assert isinstance(await gateway.look_up(old, vaulted), Unknown)
    assert paypal.asked == []


# Capture and void


@pytest.mark.parametrize(("amount", "final"), [(700, False), (2000, True)])
async def test_a_capture_says_whether_more_may_follow(gateway, paypal, amount, final):
    one = operation("capture", amount)
    paypal.says("GET", ORDER, order())
    paypal.says("POST", CAPTURE, (201, capture("CAP1", f"{amount / 100:.2f}", one.operation_id)))

    told = await gateway.perform(one, payment(one))

    assert (told.status, told.captured, told.operation_reference) == ("captured", amount, "CAP1")
    [body] = paypal.bodies("POST", CAPTURE)
    assert body["final_capture"] is final
    assert key_of(body["invoice_id"]) == one.operation_id
    assert order_named(body["invoice_id"]) == "ORDER1"
    assert paypal.keys("POST", CAPTURE) == [one.operation_id]


async def test_a_capture_that_was_done_is_not_done_again(gateway, paypal):
    one = operation("capture", 700)
    paypal.says("GET", ORDER, order(captures=[capture("CAP1", "7.00", one.operation_id)]))
    assert (await gateway.perform(one, payment(one))).captured == 700
    assert paypal.bodies("POST", CAPTURE) == []


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((422, error("AUTHORIZATION_VOIDED")), Refused("authorization_voided", "voided")),
        ((422, error("AUTHORIZATION_EXPIRED")), Refused("authorization_expired", "expired")),
        ((422, error("MAX_CAPTURE_COUNT_EXCEEDED")), Refused("max_capture_count_exceeded", "authorized")),
        ((400, error("INVALID_PARAMETER_SYNTAX")), Refused("invalid_parameter_syntax", "authorized")),
        ((422, {"name": "UNPROCESSABLE_ENTITY"}), Refused("unprocessable_entity", "authorized")),
        ((422, error("DUPLICATE_INVOICE_ID")), Unknown("answered 422 DUPLICATE_INVOICE_ID")),
        ((422, {}), Unknown("answered 422")),
        ((422, {"details": "x"}), Unknown("answered 422")),
        ((409, error("PREVIOUS_REQUEST_IN_PROGRESS")), Unknown("answered 409 PREVIOUS_REQUEST_IN_PROGRESS")),
        ((429, error("RATE_LIMIT_REACHED")), Unknown("answered 429 RATE_LIMIT_REACHED")),
        ((500, error("INTERNAL_SERVER_ERROR")), Unknown("answered 500")),
        ((302, {}), Unknown("answered 302")),
        ((403, {"name": "NOT_AUTHORIZED"}), NotSent("forbidden")),
        ((201, {}), Unknown("malformed: an id or a status")),
        ((201, capture("CAP1", "7.001")), Unknown("malformed: an amount")),
        ((201, capture("CAP1", "7.00", status="PENDING")), Unknown("the capture is pending")),
        ((201, capture("CAP1", "7.00", status="DECLINED")), Refused("capture_declined", "authorized")),
    ],
)
async def test_only_what_says_that_nothing_was_done_is_a_refusal(gateway, paypal, answer, outcome):
    paypal.says("GET", ORDER, order())
    paypal.says("POST", CAPTURE, answer)
    assert await gateway.perform(operation("capture", 700), payment()) == outcome


async def test_the_rest_can_be_given_up_after_a_capture(gateway, paypal):
    paypal.says("GET", ORDER, order(authorization="PARTIALLY_CAPTURED", captures=[capture("CAP1", "7.00")]))
    paypal.says("POST", VOID, {"id": "AUTH1", "status": "VOIDED"})
    told = await gateway.perform(operation("void"), payment())
    assert (told.status, told.captured) == ("voided", 700)


async def test_what_was_given_up_before_is_given_up(gateway, paypal):
    paypal.says("GET", ORDER, order())
    paypal.says("POST", VOID, (422, error("PREVIOUSLY_VOIDED")))
    assert (await gateway.perform(operation("expire"), payment())).status == "voided"


@pytest.mark.parametrize("status", ["CREATED", "PAYER_ACTION_REQUIRED", "APPROVED"])
async def test_an_order_that_nobody_has_authorized_is_void_without_asking(gateway, paypal, status):
    paypal.says("GET", ORDER, order(status, authorization=""))
    assert (await gateway.perform(operation("void"), payment())).status == "voided"
    assert [request.method for request, _ in paypal.asked] == ["GET"]


# Refunds


def refund_path(capture_id):
    return f"/v2/payments/captures/{capture_id}/refund"


TAKEN = [capture("CAP1", "7.00"), capture("CAP2", "13.00")]


async def test_a_refund_is_spread_over_captures_by_ids_that_stay_the_same(gateway, paypal):
    one = operation("refund", 1000)
    paypal.says("GET", ORDER, order(captures=TAKEN, refunds=[refund("R0", "2.00", "CAP1")]))
    paypal.says("POST", refund_path("CAP1"), (201, refund("R1", "5.00", "CAP1", one.operation_id)))
    paypal.says("POST", refund_path("CAP2"), (201, refund("R2", "5.00", "CAP2", one.operation_id)))

    for _ in range(2):
        told = await gateway.perform(one, payment())
        assert (told.status, told.captured, told.refunded) == ("refunded", 2000, 1200)

    for name in ("CAP1", "CAP2"):
        first, again = paypal.bodies("POST", refund_path(name))
        assert (first["amount"], first["custom_id"]) == (euros("5.00"), one.operation_id)
        assert first == again
        assert paypal.keys("POST", refund_path(name)) == [key_of_part(one, name)] * 2


async def test_a_refund_that_stopped_half_way_is_looked_up_and_goes_on(gateway, paypal):
    one = operation("refund", 1000)
    half = refund("R1", "7.00", "CAP1", one.operation_id)
    paypal.says("GET", ORDER, order(captures=TAKEN), order(captures=TAKEN, refunds=[half]))
    paypal.says("POST", refund_path("CAP1"), (201, half))
    paypal.says(
        "POST",
        refund_path("CAP2"),
        (422, error("REFUND_FAILED_INSUFFICIENT_FUNDS")),
        (201, refund("R2", "3.00", "CAP2", one.operation_id)),
    )

    assert await gateway.perform(one, payment()) == Unknown("refunded in part")
    told = await gateway.look_up(one, payment())

    assert (told.status, told.refunded) == ("refunded", 1000)
    assert len(paypal.bodies("POST", refund_path("CAP1"))) == 1


async def test_a_refund_that_did_not_begin_is_refused(gateway, paypal):
    paypal.says("GET", ORDER, order(captures=TAKEN))
    paypal.says("POST", refund_path("CAP1"), (422, error("REFUND_TIME_LIMIT_EXCEEDED")))
    outcome = await gateway.perform(operation("refund", 1000), payment())
    assert outcome == Refused("refund_time_limit_exceeded", "captured")
    outcome = await gateway.perform(operation("refund", 2001), payment())
    assert outcome == Refused("refund_amount_exceeded", "captured")


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("PENDING", Unknown("the refund is pending")),
        ("FAILED", Refused("refund_failed", "captured")),
        ("CANCELLED", Refused("refund_failed", "captured")),
    ],
)
async def test_a_refund_that_is_not_complete(gateway, paypal, status, outcome):
    one = operation("refund", 700)
    made = refund("R1", "7.00", "CAP1", one.operation_id, status)
    paypal.says("GET", ORDER, order(captures=TAKEN, refunds=[made]))
    assert await gateway.look_up(one, payment()) == outcome
    assert await gateway.perform(one, payment()) == outcome
    assert {request.method for request, _ in paypal.asked} == {"GET"}


# Answers that are none


def odd(value):
    """A value without each of its parts in turn, and with each replaced by other things."""
    if isinstance(value, dict):
        for name in value:
            yield {other: part for other, part in value.items() if other != name}
            for other in (None, [1], {"a": 1}, 7, "x" * 101, "\0"):
                yield {**value, name: other}
            for part in odd(value[name]):
                yield {**value, name: part}
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ([*value[:index], part, *value[index + 1 :]] for part in odd(inner))


@pytest.mark.parametrize("kind", ["authorize", "capture", "void", "refund"])
async def test_an_order_that_is_odd_breaks_nothing_and_tells_no_other_amount(gateway, paypal, kind):
    one = operation(kind, 700)
    taken = [capture("CAP1", "7.00", one.operation_id), capture("CAP2", "13.00")]
    for found in odd(order(captures=taken, refunds=[refund("R1", "7.00", "CAP1", one.operation_id)])):
        paypal.says("GET", ORDER, found)
        outcome = await gateway.look_up(one, payment())
        assert isinstance(outcome, Told | NeverSeen | Unknown | Refused), found
        if isinstance(outcome, Told):
            assert (outcome.amount, outcome.currency_code, outcome.reference) == (2000, "EUR", "ORDER1")


async def test_an_answer_that_is_odd_tells_no_other_sum(gateway, paypal):
    one = operation("capture", 700)
    paypal.says("GET", ORDER, order())
    for answer in odd(capture("CAP1", "7.00", one.operation_id)):
        paypal.says("POST", CAPTURE, (201, answer))
        outcome = await gateway.perform(one, payment())
        assert isinstance(outcome, Unknown | Refused) or outcome.captured == 700, answer


# The vault


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ({"paypal": {"email_address": "somebody@example.com"}}, ("paypal", "", 0, 0)),
        (
            {"card": {"brand": "VISA", "last_digits": "1111", "expiry": "2031-05"}},
            ("visa", "1111", 5, 2031),
        ),
        ({"card": {"expiry": "soon", "last_digits": 7}}, ("card", "", 0, 0)),
        ({"venmo": {}}, ("venmo", "", 0, 0)),
    ],
)
async def test_shows_what_the_vault_keeps(gateway, paypal, source, shown):
    paypal.says("GET", "/v3/vault/payment-tokens/abc", {"id": "abc", "payment_source": source})
    method = await gateway.method("pm_paypal_abc")
    assert (method.brand, method.last_four, method.expiry_month, method.expiry_year) == shown


# The report


def transaction(code, value, *, fee=None, status="S", **more):
    info = {
        "transaction_id": f"TX{code}",
        "transaction_event_code": code,
        "transaction_amount": euros(value),
        "transaction_status": status,
        "transaction_updated_date": "2026-11-20T10:00:00+0000",
    }
    return {"transaction_info": info | ({"fee_amount": euros(fee)} if fee else {}) | more}


async def lines_of(gateway, begin=NOW - timedelta(days=1), end=NOW):
    return [line async for line in gateway.settlement(begin, end)]


async def test_transactions_are_lines(gateway, paypal):
    captured, refunded = str(new_id()), str(new_id())
    invoice = invoice_of(captured, "ORDER1")
    details = [
        transaction("T0006", "20.00", fee="-0.93", invoice_id=invoice),
        transaction("T1107", "-5.00", fee="0.10", invoice_id=invoice_of(refunded, "ORDER1", "CAP1")),
        transaction("T1201", "-7.00", invoice_id=invoice),
        transaction("T1202", "7.00", invoice_id=invoice),
        transaction("T0106", "-15.00"),
        transaction("T0400", "-100.00"),
        transaction("T0200", "-9.00"),
        transaction("T0006", "8.00", status="P"),
        transaction("T0001", "-8.00"),
    ]
    paypal.says("GET", "/v1/reporting/transactions", {"total_pages": 1, "transaction_details": details})

    lines = await lines_of(gateway)

    kinds = [
        SettlementLineKind.Name(line.kind).removeprefix("SETTLEMENT_LINE_KIND_").lower() for line in lines
    ]
    told = [
        (kind, line.charge_reference, line.operation_reference, line.gross.minor_units, line.fee.minor_units)
        for kind, line in zip(kinds, lines, strict=True)
    ]
    assert told == [
        ("capture", "ORDER1", captured, 2000, 93),
        ("refund", "ORDER1", refunded, -500, -10),
        ("dispute", "ORDER1", captured, -700, 0),
        ("dispute_won", "ORDER1", captured, 700, 0),
        ("fee", "", "", 0, 1500),
        ("payout", "", "", -10_000, 0),
    ]


async def test_a_long_time_is_asked_for_in_windows_and_a_full_one_in_halves(gateway, paypal):
    one = {"total_pages": 1, "transaction_details": [transaction("T0006", "1.00")]}
    too_much = (400, {"name": "RESULTSET_TOO_LARGE"})
    paypal.says("GET", "/v1/reporting/transactions", one, too_much, one)

    assert len(await lines_of(gateway, NOW - timedelta(days=40), NOW)) == 3

    asked = [(request.query["start_date"], request.query["end_date"]) for request, _ in paypal.asked]
    spans = [datetime.fromisoformat(end) - datetime.fromisoformat(begin) for begin, end in asked]
    assert [round(span / timedelta(hours=1)) for span in spans] == [31 * 24, 9 * 24, 108, 108]
    assert asked[0][1] == asked[1][0] == asked[2][0]
    assert (asked[2][1], asked[3][1]) == (asked[3][0], asked[1][1])


@pytest.mark.parametrize(
    "answers",
    [
        [(500, {})],
        [(403, {"name": "NOT_AUTHORIZED"})],
        [(200, {})],
        [(200, {"total_pages": 10**9})],
        [(200, {"total_pages": True})],
        [(200, {"total_pages": 1, "transaction_details": {}})],
        [(200, {"total_pages": 1, "transaction_details": [{}]})],
        [(200, {"total_pages": 2}), (429, {})],
    ],
)
async def test_a_report_that_is_not_whole_is_not_fetched(gateway, paypal, answers):
    paypal.says("GET", "/v1/reporting/transactions", *answers)
    with pytest.raises(Unfetched):
        await lines_of(gateway)
