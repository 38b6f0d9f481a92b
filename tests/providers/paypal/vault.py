"""Saved payment methods: kept on success of an order, shown, listed, deleted."""

from tests.providers.paypal.book import Book, Json, Order, PaymentToken, new_id
from tests.providers.paypal.calls import Answer, Call
from tests.providers.paypal.errors import invalid, not_found, unprocessable
from tests.providers.paypal.views import PAYER, token_view


class Vault:
    def __init__(self, book: Book) -> None:
        self.book = book

    def saved(self, asked: Json) -> PaymentToken | None:
        """The saved method that a payment_source names, if it names one."""
        named = (asked.get("token") or {}).get("id")
        for kind in ("paypal", "card"):
            named = named or (asked.get(kind) or {}).get("vault_id")
        if not named:
            return None
        if named not in self.book.tokens:
            raise unprocessable("TOKEN_ID_NOT_FOUND", "/payment_source")
        return self.book.tokens[named]

    def keep_on_success(self, order: Order) -> None:
        attributes = (order.source.get("paypal") or {}).get("attributes") or {}
        if (attributes.get("vault") or {}).get("store_in_vault") == "ON_SUCCESS":
            customer = (attributes.get("customer") or {}).get("id") or new_id(10)
            wallet = {"email_address": PAYER["email_address"], "account_id": PAYER["payer_id"]}
            order.vaulted = self.add({"paypal": wallet}, customer)

    def add(self, source: Json, customer_id: str) -> PaymentToken:
        token = PaymentToken(new_id(), customer_id, source, self.book.now())
        self.book.tokens[token.id] = token
        self.book.announce(
            "VAULT.PAYMENT-TOKEN.CREATED",
            "payment_token",
            token_view(self.book, token),
            "Payment token created",
        )
        return token

    def get(self, call: Call) -> Answer:
        token = self.book.tokens.get(call.params["id"])
        if token is None:
            raise not_found("id")
        return Answer(200, lambda whole: token_view(self.book, token))

    def list(self, call: Call) -> Answer:
        if not call.query.get("customer_id"):
            raise invalid("MISSING_REQUIRED_PARAMETER", "customer_id")
        customer = call.query["customer_id"]
        found = [token_view(self.book, t) for t in self.book.tokens.values() if t.customer_id == customer]
        return Answer(200, lambda whole: {"customer": {"id": customer}, "payment_tokens": found})

    def delete(self, call: Call) -> Answer:
        token = self.book.tokens.pop(call.params["id"], None)
        if token is not None:
            self.book.announce(
                "VAULT.PAYMENT-TOKEN.DELETED",
                "payment_token",
                token_view(self.book, token),
                "Payment token deleted",
            )
        return Answer(204, lambda whole: None)
