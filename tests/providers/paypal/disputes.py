"""Disputes: opened by the payer or the payer's bank, resolved for one side."""

import secrets

from tests.providers.paypal.book import Book, Capture, Dispute, Json, new_id
from tests.providers.paypal.calls import Answer, Call
from tests.providers.paypal.errors import not_found
from tests.providers.paypal.payments import Payments
from tests.providers.paypal.views import dispute_view, link

# A bank takes the money at once and may give it back. PayPal itself holds it first, then reverses the payment.
OPENED = {"CHARGEBACK": "T1201", "INQUIRY": "T1110"}
RETURNED = {"CHARGEBACK": "T1202", "INQUIRY": "T1111"}
REVERSED = "T1106"
PROCESSING_FEE = "T0106"


class Disputes:
    def __init__(self, book: Book, payments: Payments) -> None:
        self.book, self.payments = book, payments
        # Charged once for each chargeback lost.
        self.fee_minor_units = 0

    def open(self, capture_id: str, minor_units: int | None, reason: str, stage: str) -> Dispute:
        capture, now = self.book.capture(capture_id), self.book.now()
        amount = capture.amount if minor_units is None else capture.amount.of(minor_units)
        made = Dispute(
            id=f"PP-D-{secrets.randbelow(90_000) + 10_000}-{new_id(4)}",
            capture=capture,
            amount=amount,
            reason=reason,
            stage=stage,
            status="WAITING_FOR_SELLER_RESPONSE",
            created=now,
            updated=now,
        )
        capture.disputes.append(made)
        self.book.disputes[made.id] = made
        self.payments.post(OPENED[stage], capture, new_id(), -amount.minor_units)
        self.tell("CREATED", made)
        return made

    def resolve(self, dispute_id: str, outcome: str) -> Dispute:
        found = self.find(dispute_id)
        assert not found.outcome, f"dispute {dispute_id} is resolved already"
        found.status, found.outcome, found.updated = "RESOLVED", outcome, self.book.now()
        if not found.lost or found.stage == "INQUIRY":
            self.payments.post(RETURNED[found.stage], found.capture, new_id(), found.amount.minor_units)
        if found.lost:
            self.take_back(found)
        self.tell("RESOLVED", found)
        return found

    def take_back(self, found: Dispute) -> None:
        capture = found.capture
        if found.stage == "INQUIRY":
            self.payments.post(REVERSED, capture, new_id(), -found.amount.minor_units)
        if found.stage == "CHARGEBACK" and self.fee_minor_units:
            self.payments.post(PROCESSING_FEE, capture, new_id(), -self.fee_minor_units)
            fees = self.book.fees_of_disputes
            fees[capture.order.id] = fees.get(capture.order.id, 0) + self.fee_minor_units
        self.book.announce(
            "PAYMENT.CAPTURE.REVERSED",
            "refund",
            self.reversal(found, capture),
            f"A {found.amount} {found.amount.currency} capture payment was reversed",
        )

    def reversal(self, found: Dispute, capture: Capture) -> Json:
        return {
            "id": new_id(),
            "amount": found.amount.json(),
            "status": "COMPLETED",
            "custom_id": capture.unit.custom_id,
            "note_to_payer": found.reason,
            "links": [link("up", f"{self.book.url}/v2/payments/captures/{capture.id}")],
        }

    def tell(self, what: str, found: Dispute) -> None:
        view = dispute_view(self.book, found)
        self.book.announce(
            f"CUSTOMER.DISPUTE.{what}", "dispute", view, f"A dispute was {what.lower()}: {found.id}"
        )

    def find(self, dispute_id: str) -> Dispute:
        if dispute_id not in self.book.disputes:
            raise not_found("id")
        return self.book.disputes[dispute_id]

    def get(self, call: Call) -> Answer:
        found = self.find(call.params["id"])
        return Answer(200, lambda whole: dispute_view(self.book, found))

    def list(self, call: Call) -> Answer:
        wanted = call.query.get("disputed_transaction_id")
        state = call.query.get("dispute_state")
        found = [
            dispute_view(self.book, d, False)
            for d in self.book.disputes.values()
            if wanted in (None, d.capture.id)
        ]
        found = [view for view in found if state in (None, view["dispute_state"])]
        size = min(max(int(call.query.get("page_size", "10")), 1), 50)
        start = int(call.query.get("next_page_token", "0") or 0)
        links = [link("self", f"{self.book.url}/v1/customer/disputes")]
        if start + size < len(found):
            query = f"page_size={size}&next_page_token={start + size}"
            links.append(link("next", f"{self.book.url}/v1/customer/disputes?{query}"))
        return Answer(200, lambda whole: {"items": found[start : start + size], "links": links})
