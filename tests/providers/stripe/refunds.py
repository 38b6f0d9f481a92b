"""POST /v1/refunds, and what becomes of a refund later."""

from . import shapes
from .book import Book
from .disputes import holds_funds
from .errors import Json, invalid, refused
from .forms import Form

REASONS = ("duplicate", "fraudulent", "requested_by_customer")


def create(book: Book, form: Form) -> Json:
    intent_id, charge_id = form.text("payment_intent"), form.text("charge")
    amount = form.integer("amount", minimum=1)
    reason = form.text("reason", choices=REASONS)
    metadata = form.metadata()
    form.ignore("instructions_email", "refund_application_fee", "reverse_transfer")
    form.finish()
    if not intent_id and not charge_id:
        message = "One of the following params should be provided for this request: payment_intent or charge."
        raise invalid(message)
    charge = _charge(book, intent_id, charge_id)
    left = _refundable(book, charge)
    if amount is not None and amount > left:
        message = f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})"
        raise refused(message, param="amount")
    return made(book, charge, left if amount is None else amount, reason, metadata)


def _charge(book: Book, intent_id: str | None, charge_id: str | None) -> Json:
    if charge_id:
        charge = book.charges.get(charge_id, param="charge", status=400)
        if intent_id and charge["payment_intent"] != intent_id:
            raise invalid("The charge does not belong to the payment_intent.", param="charge")
        return charge
    intent = book.payment_intents.get(intent_id or "", param="payment_intent", status=400)
    latest = book.charges.rows.get(intent["latest_charge"] or "")
    if latest is None or not latest["paid"]:
        message = f"This PaymentIntent ({intent_id}) does not have a successful charge to refund."
        raise refused(message, code="payment_intent_unexpected_state", payment_intent=intent)
    return latest


def _refundable(book: Book, charge: Json) -> int:
    left: int = charge["amount_captured"] - charge["amount_refunded"]
    if any(holds_funds(dispute) for dispute in book.disputes.of("charge", charge["id"])):
        message = f"Charge {charge['id']} has been charged back; cannot issue a refund."
        raise refused(message, code="charge_disputed")
    if charge["amount_captured"] == 0:
        message = f"Charge {charge['id']} has not been captured; there is nothing to refund."
        raise refused(message, code="charge_not_refundable")
    if left == 0:
        raise refused(f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded")
    return left


def made(book: Book, charge: Json, amount: int, reason: str | None, metadata: Json) -> Json:
    status = book.cards[charge["payment_method"]].refund_status
    refund = shapes.refund(book.new_id("re"), charge, amount, status, reason, book.clock.seconds())
    refund["metadata"] = metadata
    refund["balance_transaction"] = book.post(
        "refund", -amount, refund, describe=f"REFUND FOR CHARGE ({charge['description'] or ''})"
    )["id"]
    book.refunds.add(refund)
    charge["amount_refunded"] += amount
    # A charge that may still be captured further is not yet fully refunded.
    charge["refunded"] = charge["captured"] and charge["amount_refunded"] == charge["amount_captured"]
    book.tell("refund.created", refund)
    book.tell("charge.refunded", charge, {"amount_refunded": charge["amount_refunded"] - amount})
    if status == "succeeded":
        book.afterwards(lambda: referenced(book, refund))
    return refund


def referenced(book: Book, refund: Json) -> None:
    """The issuer's reference number arrives after the refund has been told."""
    previous = {"destination_details": refund["destination_details"]}
    card = refund["destination_details"]["card"] | {
        "reference": "123456789012",
        "reference_status": "available",
    }
    refund["destination_details"] = {"card": card, "type": "card"}
    book.tell("refund.updated", refund, previous)
    book.tell("charge.refund.updated", refund, previous)


def completed(book: Book, refund: Json) -> None:
    refund["status"] = "succeeded"
    refund.pop("pending_reason", None)
    book.tell("refund.updated", refund, {"status": "pending"})
    book.tell("charge.refund.updated", refund, {"status": "pending"})


def failed(book: Book, refund: Json, reason: str) -> None:
    """The card's issuer gives the money back: the amount returns to the merchant's balance."""
    previous = {"status": refund["status"]}
    charge = book.charges.rows[refund["charge"]]
    line = book.post("refund_failure", refund["amount"], refund, describe="REFUND FAILURE")
    refund |= {"status": "failed", "failure_reason": reason, "failure_balance_transaction": line["id"]}
    charge["amount_refunded"] -= refund["amount"]
    charge["refunded"] = False
    book.tell("refund.failed", refund)
    book.tell("refund.updated", refund, previous)
    book.tell("charge.refund.updated", refund, previous)


def update(book: Book, form: Form, refund_id: str) -> Json:
    refund = book.refunds.get(refund_id, param="refund")
    metadata = form.metadata(refund["metadata"])
    form.finish()
    refund["metadata"] = metadata
    return refund


def cancel(book: Book, form: Form, refund_id: str) -> Json:
    form.finish()
    refund = book.refunds.get(refund_id, param="refund")
    raise refused(f"Refund {refund['id']} of a card cannot be canceled.")
