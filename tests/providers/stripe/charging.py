"""How a payment intent moves money: authorize, challenge, capture, release. One page of its life."""

import urllib.parse
from contextlib import suppress
from functools import partial
from typing import Any

from . import disputes, shapes
from .book import Book
from .cards import AUTHENTICATION_REQUIRED, Card, Decline
from .errors import Json, StripeError, refused

CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
    "processing",
)
MOST_CAPTURES = 50
FAILED_CHALLENGE = {
    "code": "payment_intent_authentication_failure",
    "doc_url": "https://stripe.com/docs/error-codes/payment-intent-authentication-failure",
    "message": "We are unable to authenticate your payment method. Please choose a different payment method and"
    " try again.",
    "type": "invalid_request_error",
}


def card_error(decline: Decline, **more: Any) -> StripeError:
    return StripeError(
        402,
        "card_error",
        decline.message,
        code=decline.code,
        decline_code=decline.decline_code,
        executed=True,
        **more,
    )


def unexpected_state(message: str, intent: Json) -> StripeError:
    return refused(message, code="payment_intent_unexpected_state", payment_intent=intent)


def manual(intent: Json) -> bool:
    chosen: str | None = intent["payment_method_options"].get("card", {}).get("capture_method")
    return "manual" in (chosen, intent["capture_method"])


def attempt(
    book: Book, intent: Json, *, off_session: bool, stop_at_action: bool, return_url: str | None
) -> None:
    """Confirm: the charge is made, the customer is asked, or the card is declined (402)."""
    card = book.cards[intent["payment_method"]]
    if not card.challenge:
        charge(book, intent, card)
    elif off_session or stop_at_action:
        decline(book, intent, AUTHENTICATION_REQUIRED)
    else:
        challenge(book, intent, return_url)


def challenge(book: Book, intent: Json, return_url: str | None) -> None:
    query = urllib.parse.urlencode({"client_secret": intent["client_secret"]})
    page = f"{book.url}/redirect/authenticate/{intent['id']}?{query}"
    if return_url:
        action: Json = {"type": "redirect_to_url", "redirect_to_url": {"return_url": return_url, "url": page}}
    else:
        # Without an address to return to, only Stripe's own script in the browser can go on.
        action = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "stripe_3ds2_fingerprint"}}
    intent |= {"status": "requires_action", "next_action": action, "last_payment_error": None}
    book.tell("payment_intent.requires_action", intent)


def answered(book: Book, intent: Json, *, passed: bool) -> None:
    """The customer has answered the challenge at the bank's page."""
    intent["next_action"] = None
    card = book.cards[intent["payment_method"]]
    if passed:
        with suppress(StripeError):  # A decline is told by the intent, its charge and its event.
            charge(book, intent, card, challenged=True)
        return
    method = book.payment_methods.rows[intent["payment_method"]]
    error = FAILED_CHALLENGE | {"payment_method": method}
    intent |= {"status": "requires_payment_method", "payment_method": None, "last_payment_error": error}
    book.tell("payment_intent.payment_failed", intent)


def charge(book: Book, intent: Json, card: Card, *, challenged: bool = False) -> None:
    if card.decline:
        decline(book, intent, card.decline)
    made = new_charge(book, intent)
    if challenged:
        made["payment_method_details"]["card"]["three_d_secure"] = {
            "authentication_flow": "challenge",
            "result": "authenticated",
            "version": "2.2.0",
        }
    intent |= {"last_payment_error": None, "next_action": None}
    keep_or_spend(book, intent)
    if manual(intent):
        made["payment_method_details"]["card"]["capture_before"] = made["created"] + shapes.HOLD_SECONDS
        intent |= {"status": "requires_capture", "amount_capturable": intent["amount"]}
        book.tell("charge.succeeded", made)
        book.tell("payment_intent.amount_capturable_updated", intent)
        return
    succeed_at_once(book, intent, made)


def new_charge(book: Book, intent: Json) -> Json:
    method = book.payment_methods.rows[intent["payment_method"]]
    made = book.charges.add(shapes.charge(book.new_id("ch"), intent, method, book.clock.seconds()))
    if not book.multicapture:
        made["payment_method_details"]["card"]["multicapture"]["status"] = "unavailable"
    intent["latest_charge"] = made["id"]
    return made


def keep_or_spend(book: Book, intent: Json) -> None:
    """A method used with a customer and for the future is attached; one without a customer is used up."""
    method = book.payment_methods.rows[intent["payment_method"]]
    if method["customer"]:
        return
    if intent["customer"] and intent["setup_future_usage"]:
        method["customer"] = intent["customer"]
        book.tell("payment_method.attached", method)
    else:
        book.spent.add(method["id"])


def succeed_at_once(book: Book, intent: Json, made: Json) -> None:
    """With automatic_async, the default, the balance transaction follows once the request is answered."""
    made |= {"captured": True, "amount_captured": made["amount"]}
    intent |= {"status": "succeeded", "amount_received": intent["amount"]}
    asynchronous = intent["capture_method"] == "automatic_async"
    if not asynchronous:
        made["balance_transaction"] = book.post_capture(made, made["amount"])["id"]
    book.tell("charge.succeeded", made)
    book.tell("payment_intent.succeeded", intent)
    if asynchronous:
        book.afterwards(lambda: settle(book, made))
    dispute_if_told(book, made)


def settle(book: Book, made: Json) -> None:
    made["balance_transaction"] = book.post_capture(made, made["amount"])["id"]
    book.tell("charge.updated", made, {"balance_transaction": None})


def dispute_if_told(book: Book, made: Json) -> None:
    if reason := book.cards[made["payment_method"]].dispute_reason:
        book.afterwards(partial(disputes.opened, book, made, made["amount_captured"], reason))


def decline(book: Book, intent: Json, reason: Decline) -> None:
    """The attempt stays in the book as a failed charge; the intent waits for another payment method."""
    method = book.payment_methods.rows[intent["payment_method"]]
    made = new_charge(book, intent)
    made |= {
        "status": "failed",
        "paid": False,
        "failure_code": reason.code,
        "failure_message": reason.message,
        "outcome": shapes.outcome(
            "issuer_declined",
            "declined_by_network",
            "The bank did not return any further details with this decline.",
            reason.decline_code,
        ),
    }
    error = card_error(reason, charge=made["id"], payment_method=method)
    intent |= {
        "status": "requires_payment_method",
        "payment_method": None,
        "next_action": None,
        "last_payment_error": dict(error.error),
    }
    if method["customer"] is None:
        book.spent.add(method["id"])
    book.tell("charge.failed", made)
    book.tell("payment_intent.payment_failed", intent)
    error.error["payment_intent"] = intent
    raise error


def capture(book: Book, intent: Json, amount: int | None, *, final: bool) -> None:
    made = book.charges.rows[intent["latest_charge"]] if intent["latest_charge"] else None
    if intent["status"] != "requires_capture" or made is None:
        raise uncapturable(intent)
    amount = intent["amount_capturable"] if amount is None else amount
    check_capture(book, intent, made, amount, final)
    previous = {
        "amount_captured": made["amount_captured"],
        "balance_transaction": made["balance_transaction"],
    }
    made["amount_captured"] += amount
    intent["amount_received"] += amount
    if amount:
        line = book.post_capture(made, amount)
        made["balance_transaction"] = made["balance_transaction"] or line["id"]
    if final or amount == intent["amount_capturable"]:
        intent |= {"amount_capturable": 0, "status": "succeeded"}
        made["captured"] = True
        book.tell("charge.captured", made)
        book.tell("payment_intent.succeeded", intent)
        dispute_if_told(book, made)
        return
    intent["amount_capturable"] -= amount
    book.tell("charge.updated", made, previous)
    book.tell("payment_intent.amount_capturable_updated", intent)


def uncapturable(intent: Json) -> StripeError:
    if intent["status"] == "succeeded":
        return unexpected_state(
            "This PaymentIntent could not be captured because it has already been captured.", intent
        )
    return unexpected_state(
        f"This PaymentIntent could not be captured because it has a status of {intent['status']}. Only a"
        " PaymentIntent with one of the following statuses may be captured: requires_capture.",
        intent,
    )


def check_capture(book: Book, intent: Json, made: Json, amount: int, final: bool) -> None:
    several = made["payment_method_details"]["card"]["multicapture"]["status"] == "available"
    captures = len(book.balance_transactions.of("source", made["id"]))
    if amount > intent["amount_capturable"]:
        raise refused(
            "The payment could not be captured because the requested capture amount is greater than the"
            " authorized amount.",
            code="amount_too_large",
            param="amount_to_capture",
            payment_intent=intent,
        )
    if amount == 0 and not (final and several and captures):
        message = "This value must be greater than or equal to 1."
        raise refused(message, code="parameter_invalid_integer", param="amount_to_capture")
    if not final and not several:
        raise refused(
            "You cannot set `final_capture` to false: multicapture is not available for this PaymentIntent.",
            param="final_capture",
            payment_intent=intent,
        )
    if captures >= MOST_CAPTURES:
        raise refused(
            f"A PaymentIntent can be captured at most {MOST_CAPTURES} times.", payment_intent=intent
        )


def cancel(book: Book, intent: Json, reason: str | None) -> None:
    """No refund is made of it, and what is captured stays captured (API versions from 2025-03-31 on)."""
    if intent["status"] not in CANCELABLE:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {intent['status']}. Only a"
            f" PaymentIntent with one of the following statuses may be canceled: {', '.join(CANCELABLE)}.",
            intent,
        )
    intent |= {
        "status": "canceled",
        "amount_capturable": 0,
        "canceled_at": book.clock.seconds(),
        "cancellation_reason": reason,
        "next_action": None,
    }
    book.tell("payment_intent.canceled", intent)


def expire(book: Book, intent: Json, reason: str) -> None:
    cancel(book, intent, reason)
    if intent["latest_charge"]:
        book.tell("charge.expired", book.charges.rows[intent["latest_charge"]])
