"""Disputes: a customer's bank takes the money back, and may return it."""

from . import money, shapes
from .book import Book
from .errors import Json, refused
from .forms import Form

OPEN = ("needs_response", "under_review")


def holds_funds(dispute: Json) -> bool:
    """The disputed amount is not the merchant's: still open, or lost."""
    return dispute["status"] in (*OPEN, "lost")


def opened(book: Book, charge: Json, amount: int, reason: str) -> Json:
    dispute = shapes.dispute(book.new_id("du"), charge, amount, reason, book.clock.seconds())
    withdrawn = book.post(
        "adjustment",
        -amount,
        dispute,
        fee=money.DISPUTE_FEE,
        describe=f"Chargeback withdrawal for {charge['id']}",
    )
    dispute["balance_transactions"] = [withdrawn]
    book.disputes.add(dispute)
    previous = {"disputed": charge["disputed"]}
    charge["disputed"] = True
    book.tell("charge.dispute.created", dispute)
    book.tell("charge.dispute.funds_withdrawn", dispute)
    book.tell("charge.updated", charge, previous)
    return dispute


def closed(book: Book, dispute: Json, *, won: bool) -> None:
    """A dispute won gives back the amount and its fee."""
    dispute["status"] = "won" if won else "lost"
    if won:
        line = book.post(
            "adjustment",
            dispute["amount"],
            dispute,
            fee=-money.DISPUTE_FEE,
            describe=f"Chargeback reversal for {dispute['charge']}",
        )
        dispute["balance_transactions"].append(line)
        dispute["is_charge_refundable"] = True
    book.tell("charge.dispute.closed", dispute)
    if won:
        book.tell("charge.dispute.funds_reinstated", dispute)


def update(book: Book, form: Form, dispute_id: str) -> Json:
    """Evidence; with `submit` it goes to the bank, which then reviews it."""
    dispute = book.disputes.get(dispute_id, param="dispute")
    evidence = form.nested("evidence")
    given = {name: evidence.text(name) for name in shapes.EVIDENCE if evidence.given(name)}
    submit = form.boolean("submit", default=True)
    metadata = form.metadata(dispute["metadata"])
    evidence.finish()
    form.finish()
    if given and dispute["status"] not in OPEN:
        raise refused("This dispute is already closed")
    dispute["metadata"] = metadata
    if given:
        dispute["evidence"] |= given
        dispute["evidence_details"]["has_evidence"] = True
    if given and submit:
        dispute["evidence_details"]["submission_count"] += 1
        dispute["status"] = "under_review"
    book.tell("charge.dispute.updated", dispute, {"status": "needs_response"})
    return dispute


def close(book: Book, form: Form, dispute_id: str) -> Json:
    """The merchant gives in: the dispute is lost."""
    form.finish()
    dispute = book.disputes.get(dispute_id, param="dispute")
    if dispute["status"] not in OPEN:
        raise refused("This dispute is already closed")
    closed(book, dispute, won=False)
    return dispute
