"""Customers and their payment methods."""

from . import shapes
from .book import Book
from .cards import Card, card_named
from .charging import card_error
from .errors import Json, invalid, missing, refused
from .forms import Form

SPENT = (
    "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with"
    " a connected account without Customer attachment, or was detached from a Customer. It may not be used again."
    " To use a PaymentMethod multiple times, you must attach it to a Customer first."
)
# What Stripe keeps of a customer and this server has no use for.
UNUSED = ("address", "shipping", "phone", "preferred_locales", "tax_exempt", "balance", "source", "tax")


def method_made(book: Book, card: Card) -> Json:
    method = shapes.payment_method(book.new_id("pm"), card.brand, card.last4, book.clock.seconds())
    book.cards[method["id"]] = card
    return book.payment_methods.add(method)


def method_named(book: Book, name: str, param: str) -> Json:
    """A payment method by its id; a test card's name makes a new one, as it does at Stripe."""
    if card := card_named(name):
        return method_made(book, card)
    return book.payment_methods.get(name, param=param, status=400)


def usable(book: Book, method: Json, customer: str | None) -> None:
    owner = method["customer"]
    if method["id"] in book.spent:
        raise invalid(SPENT, param="payment_method")
    if owner and owner != customer:
        message = f"The payment method {method['id']} belongs to the Customer {owner}."
        raise invalid(
            f"{message} Please include the Customer in the `customer` parameter.", param="payment_method"
        )


def create_method(book: Book, form: Form) -> Json:
    form.text("type", required=True, choices=("card",))
    card = form.nested("card")
    if card.given("number"):
        raise refused(
            "Sending credit card numbers directly to the Stripe API is generally unsafe. We suggest you use test"
            " tokens that map to the test card you are using, see https://stripe.com/docs/testing."
        )
    token = card.needed("token")
    metadata = form.metadata()
    form.ignore("billing_details", "allow_redisplay")
    card.finish()
    form.finish()
    named = card_named(token)
    if named is None:
        raise missing("token", token, param="card[token]", status=400)
    method = method_made(book, named)
    method["metadata"] = metadata
    return method


def attached(book: Book, method: Json, customer: str) -> Json:
    card = book.cards[method["id"]]
    if card.decline and not card.attaches:
        raise card_error(card.decline, payment_method=method)
    method["customer"] = customer
    book.tell("payment_method.attached", method)
    return method


def attach(book: Book, form: Form, method_id: str) -> Json:
    customer = book.customers.get(form.needed("customer"), param="customer", status=400)
    form.finish()
    method = method_named(book, method_id, "payment_method")
    if method["customer"] not in (None, customer["id"]):
        raise refused("The payment method you provided has already been attached to a customer.")
    if method["id"] in book.spent:
        raise refused(
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a"
            " Customer, and may not be used again."
        )
    return attached(book, method, customer["id"])


def detach(book: Book, form: Form, method_id: str) -> Json:
    form.finish()
    method = book.payment_methods.get(method_id, param="payment_method")
    if method["customer"] is None:
        raise refused(
            "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    previous = {"customer": method["customer"]}
    owner = book.customers.rows.get(method["customer"])
    if owner and owner["invoice_settings"]["default_payment_method"] == method_id:
        owner["invoice_settings"]["default_payment_method"] = None
    method["customer"] = None
    book.spent.add(method_id)
    book.tell("payment_method.detached", method, previous)
    return method


def _fill(form: Form, customer: Json) -> Json:
    changes: Json = {
        name: form.text(name) for name in ("name", "email", "description") if form.given(name)
    } | {"metadata": form.metadata(customer["metadata"])}
    settings = form.nested("invoice_settings")
    if settings.given("default_payment_method"):
        chosen = settings.text("default_payment_method")
        changes["invoice_settings"] = customer["invoice_settings"] | {"default_payment_method": chosen}
    settings.finish()
    form.ignore(*UNUSED)
    return changes


def create_customer(book: Book, form: Form) -> Json:
    customer = shapes.customer(book.new_id("cus"), book.clock.seconds())
    customer |= _fill(form, customer)
    name = form.text("payment_method")
    form.finish()
    method = method_named(book, name, "payment_method") if name else None
    if method:
        attached(book, method, customer["id"])
    book.customers.add(customer)
    book.tell("customer.created", customer)
    return customer


def update_customer(book: Book, form: Form, customer_id: str) -> Json:
    customer = book.customers.get(customer_id)
    changes = _fill(form, customer)
    form.finish()
    chosen = changes.get("invoice_settings", {}).get("default_payment_method")
    if chosen and book.payment_methods.rows.get(chosen, {}).get("customer") != customer_id:
        raise missing("PaymentMethod", chosen, param="invoice_settings[default_payment_method]", status=400)
    previous = {name: customer[name] for name in changes}
    customer |= changes
    book.tell("customer.updated", customer, previous)
    return customer


def delete_customer(book: Book, form: Form, customer_id: str) -> Json:
    form.finish()
    customer = book.customers.get(customer_id)
    for method in book.payment_methods.rows.values():
        if method["customer"] == customer_id:
            method["customer"] = None
            book.spent.add(method["id"])
    del book.customers.rows[customer_id]
    book.tell("customer.deleted", customer)
    return {"id": customer_id, "object": "customer", "deleted": True}
