"""Every endpoint: its method, its path, what it answers with, and who carries it out."""

from collections.abc import Callable
from dataclasses import dataclass

from . import customers, disputes, payment_intents, reading, refunds
from .errors import Json


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    # The kind of object in the answer, which says what can be expanded.
    kind: str
    run: Callable[..., Json]
    # The answer is a list of such objects.
    of_list: bool = False


def get(path: str, kind: str, run: Callable[..., Json]) -> Endpoint:
    return Endpoint("GET", path, kind, run)


def listing(path: str, kind: str, run: Callable[..., Json]) -> Endpoint:
    return Endpoint("GET", path, kind, run, of_list=True)


def post(path: str, kind: str, run: Callable[..., Json]) -> Endpoint:
    return Endpoint("POST", path, kind, run)


INTENTS = "/v1/payment_intents"
REFUNDS = "/v1/refunds"
METHODS = "/v1/payment_methods"
CUSTOMERS = "/v1/customers"

ENDPOINTS = (
    post(INTENTS, "payment_intent", payment_intents.create),
    listing(INTENTS, "payment_intent", reading.many(lambda book: book.payment_intents, INTENTS, "customer")),
    get(f"{INTENTS}/{{id}}", "payment_intent", reading.one(lambda book: book.payment_intents, "intent")),
    post(f"{INTENTS}/{{id}}", "payment_intent", payment_intents.update),
    post(f"{INTENTS}/{{id}}/confirm", "payment_intent", payment_intents.confirm),
    post(f"{INTENTS}/{{id}}/capture", "payment_intent", payment_intents.capture),
    post(f"{INTENTS}/{{id}}/cancel", "payment_intent", payment_intents.cancel),
    listing(
        "/v1/charges",
        "charge",
        reading.many(lambda book: book.charges, "/v1/charges", "payment_intent", "customer"),
    ),
    get("/v1/charges/{id}", "charge", reading.one(lambda book: book.charges)),
    post(REFUNDS, "refund", refunds.create),
    listing(REFUNDS, "refund", reading.many(lambda book: book.refunds, REFUNDS, "payment_intent", "charge")),
    get(f"{REFUNDS}/{{id}}", "refund", reading.one(lambda book: book.refunds, "refund")),
    post(f"{REFUNDS}/{{id}}", "refund", refunds.update),
    post(f"{REFUNDS}/{{id}}/cancel", "refund", refunds.cancel),
    listing(
        "/v1/disputes",
        "dispute",
        reading.many(lambda book: book.disputes, "/v1/disputes", "payment_intent", "charge"),
    ),
    get("/v1/disputes/{id}", "dispute", reading.one(lambda book: book.disputes, "dispute")),
    post("/v1/disputes/{id}", "dispute", disputes.update),
    post("/v1/disputes/{id}/close", "dispute", disputes.close),
    listing("/v1/balance_transactions", "balance_transaction", reading.balance_transactions),
    get(
        "/v1/balance_transactions/{id}",
        "balance_transaction",
        reading.one(lambda book: book.balance_transactions),
    ),
    listing("/v1/payouts", "payout", reading.many(lambda book: book.payouts, "/v1/payouts", "status")),
    get("/v1/payouts/{id}", "payout", reading.one(lambda book: book.payouts, "payout")),
    post(METHODS, "payment_method", customers.create_method),
    listing(METHODS, "payment_method", reading.payment_methods),
    get(
        f"{METHODS}/{{id}}",
        "payment_method",
        reading.one(lambda book: book.payment_methods, "payment_method"),
    ),
    post(f"{METHODS}/{{id}}/attach", "payment_method", customers.attach),
    post(f"{METHODS}/{{id}}/detach", "payment_method", customers.detach),
    post(CUSTOMERS, "customer", customers.create_customer),
    listing(CUSTOMERS, "customer", reading.many(lambda book: book.customers, CUSTOMERS, "email")),
    get(f"{CUSTOMERS}/{{id}}", "customer", reading.one(lambda book: book.customers)),
    post(f"{CUSTOMERS}/{{id}}", "customer", customers.update_customer),
    Endpoint("DELETE", f"{CUSTOMERS}/{{id}}", "customer", customers.delete_customer),
    listing(f"{CUSTOMERS}/{{id}}/payment_methods", "payment_method", reading.customers_methods),
    get(f"{CUSTOMERS}/{{id}}/payment_methods/{{method}}", "payment_method", reading.customers_method),
    listing("/v1/events", "event", reading.events),
    get("/v1/events/{id}", "event", reading.event),
)
