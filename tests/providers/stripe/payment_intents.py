"""POST /v1/payment_intents and what follows it: the parameters, and what each may be."""

from . import charging, money, shapes
from .book import Book
from .customers import method_named, usable
from .errors import Json, invalid, missing
from .forms import Form

CAPTURE_METHODS = ("automatic", "automatic_async", "manual")
REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
OPEN = ("requires_payment_method", "requires_confirmation")
CONFIRMABLE = (*OPEN, "requires_action")
UNUSED = (
    "amount_details",
    "mandate",
    "mandate_data",
    "payment_details",
    "payment_method_configuration",
    "payment_method_data",
    "radar_options",
    "shipping",
    "use_stripe_sdk",
)
NEEDS_RETURN_URL = (
    "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these"
    " payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't"
    " want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and"
    " `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents."
)


def create(book: Book, form: Form) -> Json:
    amount = form.integer("amount", required=True, minimum=1) or 0
    currency = form.needed("currency").lower()
    money.checked(amount, currency)
    intent = shapes.payment_intent(
        book.new_id("pi"), book.new_id("")[1:], amount, currency, book.clock.seconds()
    )
    intent["capture_method"] = form.text("capture_method", choices=CAPTURE_METHODS) or "automatic_async"
    confirmation = form.text("confirmation_method", choices=("automatic", "manual"))
    intent["confirmation_method"] = confirmation or "automatic"
    _accepts(form, intent)
    confirm_now = form.boolean("confirm")
    how = _how(form)
    if not confirm_now and any(how.values()):
        unwanted = next(name for name, value in how.items() if value)
        raise invalid(f"You cannot set `{unwanted}` without setting `confirm` to `true`.", param=unwanted)
    intent |= _described(book, form, intent)
    form.finish()
    if intent["payment_method"]:
        intent["status"] = "requires_confirmation"
    if confirm_now:
        _confirmable(intent, how["return_url"])
    book.payment_intents.add(intent)
    book.indexed_at[intent["id"]] = book.clock.now()
    book.tell("payment_intent.created", intent)
    if confirm_now:
        charging.attempt(book, intent, **how)
    return intent


def _accepts(form: Form, intent: Json) -> None:
    """Which payment methods: named types, or by default whatever the Dashboard has switched on."""
    types, automatic = form.texts("payment_method_types"), form.nested("automatic_payment_methods")
    enabled = automatic.boolean("enabled", default=not types)
    redirects = automatic.text("allow_redirects", choices=("always", "never")) or "always"
    automatic.finish()
    if types and enabled:
        message = (
            "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."
        )
        raise invalid(message, param="payment_method_types")
    if any(kind not in ("card", "link") for kind in types):
        raise invalid(f"Invalid payment_method_types: {types}", param="payment_method_types")
    if enabled:
        intent["automatic_payment_methods"] = {"allow_redirects": redirects, "enabled": True}
    else:
        intent["payment_method_types"] = types or ["card"]


def _how(form: Form) -> Json:
    off_session = form.text("off_session")
    return {
        "off_session": off_session in ("true", "one_off", "recurring"),
        "stop_at_action": form.boolean("error_on_requires_action"),
        "return_url": form.text("return_url"),
    }


def _described(book: Book, form: Form, intent: Json) -> Json:
    """The parameters that creating, updating and confirming have in common."""
    changes: Json = {
        name: form.text(name)
        for name in ("description", "receipt_email", "statement_descriptor_suffix", "transfer_group")
        if form.given(name)
    }
    if form.given("setup_future_usage"):
        usages = ("off_session", "on_session")
        changes["setup_future_usage"] = form.text("setup_future_usage", choices=usages)
    changes["metadata"] = form.metadata(intent["metadata"])
    changes["payment_method_options"] = _options(form, intent)
    customer = form.text("customer")
    if customer:
        changes["customer"] = book.customers.get(customer, param="customer", status=400)["id"]
    form.ignore(*UNUSED)
    if name := form.text("payment_method"):
        method = method_named(book, name, "payment_method")
        usable(book, method, changes.get("customer", intent["customer"]))
        changes["payment_method"] = method["id"]
    return changes


def _options(form: Form, intent: Json) -> Json:
    options = form.nested("payment_method_options")
    card = options.nested("card")
    old = intent["payment_method_options"].get("card", {})
    new = {
        "capture_method": card.text("capture_method", choices=("manual",)),
        "request_multicapture": card.text("request_multicapture", choices=("if_available", "never")),
        "request_three_d_secure": card.text(
            "request_three_d_secure", choices=("any", "automatic", "challenge")
        ),
        "setup_future_usage": card.text("setup_future_usage", choices=("none", "off_session", "on_session")),
    }
    card.ignore("moto", "network", "request_extended_authorization", "request_incremental_authorization")
    card.ignore("request_overcapture", "require_cvc_recollection", "statement_descriptor_suffix_kana")
    card.finish()
    options.ignore("link")
    options.finish()
    default = {
        "installments": None,
        "mandate_options": None,
        "network": None,
        "request_three_d_secure": "automatic",
    }
    return {"card": default | old | {name: value for name, value in new.items() if value}}


def _confirmable(intent: Json, return_url: str | None) -> None:
    if not intent["payment_method"]:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the"
            " PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a"
            " payment method.",
            code="payment_intent_unexpected_state",
        )
    automatic = intent["automatic_payment_methods"]
    if automatic and automatic["allow_redirects"] == "always" and not return_url:
        raise invalid(NEEDS_RETURN_URL, param="return_url")


def update(book: Book, form: Form, intent_id: str) -> Json:
    intent = book.payment_intents.get(intent_id, param="intent")
    amount = form.integer("amount", minimum=1)
    changes = _described(book, form, intent)
    form.finish()
    if amount is not None:
        money.checked(amount, intent["currency"])
        changes["amount"] = amount
    fixed = {"amount", "payment_method", "customer"} & changes.keys()
    if fixed and intent["status"] not in CONFIRMABLE:
        message = f"This PaymentIntent's {fixed.pop()} could not be updated because it has a status of"
        raise charging.unexpected_state(f"{message} {intent['status']}.", intent)
    intent |= changes
    if intent["payment_method"] and intent["status"] == "requires_payment_method":
        intent["status"] = "requires_confirmation"
    return intent


def confirm(book: Book, form: Form, intent_id: str) -> Json:
    intent = book.payment_intents.get(intent_id, param="intent")
    how = _how(form)
    changes = _described(book, form, intent)
    if method := form.text("capture_method", choices=CAPTURE_METHODS):
        changes["capture_method"] = method
    form.finish()
    if intent["status"] not in CONFIRMABLE:
        done = "it has already succeeded after being previously confirmed."
        why = done if intent["status"] == "succeeded" else f"it has a status of {intent['status']}."
        message = f"You cannot confirm this PaymentIntent because {why}"
        raise charging.unexpected_state(message, intent)
    _confirmable(intent | changes, how["return_url"])
    intent |= changes
    charging.attempt(book, intent, **how)
    return intent


def capture(book: Book, form: Form, intent_id: str) -> Json:
    intent = book.payment_intents.get(intent_id, param="intent")
    amount = form.integer("amount_to_capture", minimum=0)
    final = form.boolean("final_capture", default=True)
    metadata = form.metadata(intent["metadata"])
    form.ignore("statement_descriptor", "statement_descriptor_suffix", "amount_details", "payment_details")
    form.finish()
    charging.capture(book, intent, amount, final=final)
    intent["metadata"] = metadata
    return intent


def cancel(book: Book, form: Form, intent_id: str) -> Json:
    intent = book.payment_intents.get(intent_id, param="intent")
    reason = form.text("cancellation_reason", choices=REASONS)
    form.finish()
    charging.cancel(book, intent, reason)
    return intent


def by_secret(book: Book, intent_id: str, secret: str | None) -> Json:
    """For the customer's page, which has no API key but the intent's own secret."""
    intent = book.payment_intents.rows.get(intent_id)
    if intent is None or intent["client_secret"] != secret:
        raise missing("payment_intent", intent_id, param="intent")
    return intent
