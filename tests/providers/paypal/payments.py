"""Payments v2: authorizations, captures, refunds."""

from tests.providers.paypal.book import (
    AUTHORIZATION_LIFE,
    HONOR_PERIOD,
    Authorization,
    Book,
    Capture,
    Order,
    Refund,
    Transaction,
    Unit,
    new_id,
)
from tests.providers.paypal.calls import Answer, Call
from tests.providers.paypal.declines import Declines, Verdict
from tests.providers.paypal.errors import invalid, unprocessable
from tests.providers.paypal.money import Money, money
from tests.providers.paypal.views import authorization_view, capture_view, refund_view

OPEN = {"CREATED", "PARTIALLY_CAPTURED", "PENDING"}


class Payments:
    def __init__(self, book: Book, declines: Declines) -> None:
        self.book, self.declines = book, declines
        # The documented default: all captures together may reach 115 % of the authorization.
        self.overcapture_percent = 115
        self.maximum_captures = 10
        # The account setting "block accidental payments": one payment per invoice_id.
        self.unique_invoices = True

    def refuse_used_invoices(self, order: Order) -> None:
        for index, unit in enumerate(order.units):
            self.refuse_used_invoice("capture", unit.invoice_id, f"/purchase_units/{index}/invoice_id")

    def refuse_used_invoice(self, kind: str, invoice_id: str, field: str) -> None:
        if self.unique_invoices and (kind, invoice_id) in self.book.invoices:
            raise unprocessable("DUPLICATE_INVOICE_ID", field)

    def use_invoice(self, kind: str, invoice_id: str) -> None:
        if invoice_id:
            self.book.invoices.add((kind, invoice_id))

    def authorize_order(self, order: Order) -> bool:
        verdict = self.declines.verdict(
            "authorize", order.id, *(u.custom_id for u in order.units if u.custom_id)
        )
        for unit in order.units:
            self.use_invoice("capture", unit.invoice_id)
            self.authorize(order, unit, unit.amount, verdict)
        return verdict.granted

    def authorize(
        self,
        order: Order,
        unit: Unit,
        amount: Money,
        verdict: Verdict,
        renewed_from: Authorization | None = None,
    ) -> Authorization:
        now = self.book.now()
        made = Authorization(
            id=new_id(),
            order=order,
            unit=unit,
            amount=amount,
            status="PENDING" if verdict.pending else "CREATED" if verdict.granted else "DENIED",
            created=now,
            updated=now,
            expires=now + AUTHORIZATION_LIFE,
            reason="PENDING_REVIEW" if verdict.pending else "",
            response_code=verdict.response_code,
            renewed_from=renewed_from,
        )
        unit.authorizations.append(made)
        self.book.authorizations[made.id] = made
        if verdict.granted:
            self.tell_authorization("CREATED", made)
        return made

    def tell_authorization(self, what: str, found: Authorization) -> None:
        self.book.announce(
            f"PAYMENT.AUTHORIZATION.{what}",
            "authorization",
            authorization_view(self.book, found),
            f"A payment authorization of {found.amount} {found.amount.currency} was {what.lower()}",
        )

    def get_authorization(self, call: Call) -> Answer:
        found = self.book.authorization(call.params["id"])
        return Answer(200, lambda whole: authorization_view(self.book, found))

    def void(self, call: Call) -> Answer:
        found = self.book.authorization(call.params["id"])
        if found.renewed_from is not None:
            raise unprocessable("CANNOT_BE_VOIDED")
        if found.status == "CAPTURED":
            raise unprocessable("PREVIOUSLY_CAPTURED")
        if found.status == "VOIDED":
            raise unprocessable("PREVIOUSLY_VOIDED")
        self.release(found)
        return Answer(200, lambda whole: authorization_view(self.book, found) if whole else None)

    def release(self, found: Authorization, expired: bool = False) -> None:
        """Let go of what was not captured; PayPal tells of an expiry as of a void."""
        found.voided_minor_units = max(0, found.amount.minor_units - found.captured())
        for one in found.family():
            one.status, one.updated, one.expired = "VOIDED", self.book.now(), expired
        self.tell_authorization("VOIDED", found)

    def expire_due(self) -> None:
        for found in list(self.book.authorizations.values()):
            if found.status in OPEN and found.renewed_from is None and self.book.now() >= found.expires:
                self.release(found, expired=True)

    def reauthorize(self, call: Call) -> Answer:
        found = self.book.authorization(call.params["id"])
        self.refuse_uncapturable(found)
        if found.renewed_from is not None:
            raise unprocessable("REAUTHORIZATION_NOT_SUPPORTED")
        amount = money(call.body["amount"], "/amount") if "amount" in call.body else found.amount
        if amount.currency != found.amount.currency:
            raise unprocessable("AUTH_CURRENCY_MISMATCH", "/amount/currency_code")
        if amount.minor_units * 100 > found.amount.minor_units * self.overcapture_percent:
            raise unprocessable("AUTHORIZATION_AMOUNT_EXCEEDED", "/amount/value")
        if self.book.now() < found.created + HONOR_PERIOD:
            raise unprocessable("REAUTHORIZATION_TOO_SOON")
        verdict = self.declines.verdict("authorize", found.id, found.order.id)
        made = self.authorize(found.order, found.unit, amount, verdict, renewed_from=found)
        found.renewals.append(made)
        return Answer(201, lambda whole: authorization_view(self.book, made, whole))

    def refuse_uncapturable(self, found: Authorization) -> None:
        if found.expired:
            raise unprocessable("AUTHORIZATION_EXPIRED")
        if found.status == "VOIDED":
            raise unprocessable("AUTHORIZATION_VOIDED")
        if found.status == "DENIED":
            raise unprocessable("AUTHORIZATION_DENIED")
        if found.status == "CAPTURED":
            raise unprocessable("AUTHORIZATION_ALREADY_CAPTURED")
        if found.status == "PENDING":
            raise unprocessable("TRANSACTION_REFUSED")

    def capture(self, call: Call) -> Answer:
        found = self.book.authorization(call.params["id"])
        check_texts(call)
        left = found.amount.of(found.amount.minor_units - found.captured())
        amount = money(call.body["amount"], "/amount") if "amount" in call.body else left
        self.refuse_uncapturable(found)
        if amount.currency != found.amount.currency:
            raise unprocessable("AUTH_CAPTURE_CURRENCY_MISMATCH", "/amount/currency_code")
        if len(found.captures) >= self.maximum_captures:
            raise unprocessable("MAX_CAPTURE_COUNT_EXCEEDED")
        if (
            found.captured() + amount.minor_units
        ) * 100 > found.amount.minor_units * self.overcapture_percent:
            raise unprocessable("MAX_CAPTURE_AMOUNT_EXCEEDED", "/amount/value")
        invoice_id = call.body.get("invoice_id", "")
        if invoice_id != found.unit.invoice_id:
            self.refuse_used_invoice("capture", invoice_id, "/invoice_id")
        verdict = self.declines.verdict("capture", found.id, found.order.id, found.unit.custom_id)
        made = self.take(found.order, found.unit, amount, verdict, found)
        made.final, made.note = (
            bool(call.body.get("final_capture", False)),
            call.body.get("note_to_payer", ""),
        )
        made.invoice_id = invoice_id
        self.use_invoice("capture", invoice_id)
        if verdict.granted:
            whole = made.final or found.captured() >= found.amount.minor_units
            for one in found.family():
                one.status, one.updated = "CAPTURED" if whole else "PARTIALLY_CAPTURED", self.book.now()
        self.settle_capture(made, verdict)
        return Answer(201, lambda whole: capture_view(self.book, made, whole))

    def capture_order(self, order: Order) -> bool:
        verdict = self.declines.verdict(
            "capture", order.id, *(u.custom_id for u in order.units if u.custom_id)
        )
        for unit in order.units:
            self.use_invoice("capture", unit.invoice_id)
            made = self.take(order, unit, unit.amount, verdict, None)
            made.final = True
            self.settle_capture(made, verdict)
        return verdict.granted

    def take(
        self, order: Order, unit: Unit, amount: Money, verdict: Verdict, authorization: Authorization | None
    ) -> Capture:
        now = self.book.now()
        made = Capture(
            id=new_id(),
            order=order,
            unit=unit,
            authorization=authorization,
            amount=amount,
            final=False,
            status="PENDING" if verdict.granted else "DECLINED",
            created=now,
            updated=now,
            reason="PENDING_REVIEW" if verdict.pending else "",
            response_code=verdict.response_code,
        )
        unit.captures.append(made)
        self.book.captures[made.id] = made
        if authorization is not None:
            authorization.captures.append(made)
        return made

    def settle_capture(self, made: Capture, verdict: Verdict) -> None:
        if not verdict.granted:
            self.tell_capture("DECLINED", made)
        elif verdict.pending:
            self.tell_capture("PENDING", made)
        else:
            self.credit(made)

    def credit(self, found: Capture) -> None:
        found.status, found.reason, found.updated = "COMPLETED", "", self.book.now()
        found.fee = found.amount.fee()
        self.post("T0006", found, found.id, found.amount.minor_units, fee=-found.fee)
        self.tell_capture("COMPLETED", found)

    def tell_capture(self, what: str, found: Capture) -> None:
        view = capture_view(self.book, found)
        summary = f"Payment of {found.amount} {found.amount.currency}: {what.lower()}"
        self.book.announce(f"PAYMENT.CAPTURE.{what}", "capture", view, summary)

    def post(
        self,
        event_code: str,
        found: Capture,
        transaction_id: str,
        minor_units: int,
        *,
        fee: int = 0,
        refund: Refund | None = None,
    ) -> None:
        """A line of the report; money that leaves is negative, and so is a fee."""
        parent = found.authorization
        of_itself = transaction_id == found.id
        line = Transaction(
            transaction_id=transaction_id,
            reference_id=(parent.id if parent else "") if of_itself else found.id,
            reference_type="TXN",
            event_code=event_code,
            time=self.book.now(),
            currency=found.amount.currency,
            amount_minor_units=minor_units,
            fee_minor_units=fee,
            invoice_id=refund.invoice_id if refund else found.invoice_id or found.unit.invoice_id,
            custom_id=(refund.custom_id if refund else "") or found.unit.custom_id,
        )
        self.book.transactions.append(line)

    def get_capture(self, call: Call) -> Answer:
        found = self.book.capture(call.params["id"])
        return Answer(200, lambda whole: capture_view(self.book, found))

    def refund(self, call: Call) -> Answer:
        found = self.book.capture(call.params["id"])
        check_texts(call)
        left = found.amount.of(found.amount.minor_units - found.refunded() - found.taken_back())
        amount = money(call.body["amount"], "/amount") if "amount" in call.body else left
        self.refuse_unrefundable(found, amount, left)
        invoice_id = call.body.get("invoice_id", "")
        self.refuse_used_invoice("refund", invoice_id, "/invoice_id")
        verdict = self.declines.verdict("refund", found.id, found.order.id, found.unit.custom_id)
        self.use_invoice("refund", invoice_id)
        now = self.book.now()
        made = Refund(
            id=new_id(),
            capture=found,
            amount=amount,
            status="PENDING",
            created=now,
            updated=now,
            invoice_id=invoice_id,
            custom_id=call.body.get("custom_id", ""),
            note=call.body.get("note_to_payer", ""),
        )
        found.refunds.append(made)
        self.book.refunds[made.id] = made
        if verdict.pending:
            self.tell_refund("PENDING", made)
        elif verdict.granted:
            self.pay_back(made)
        else:
            self.fail_refund(made)
        return Answer(201, lambda whole: refund_view(self.book, made, whole))

    def refuse_unrefundable(self, found: Capture, amount: Money, left: Money) -> None:
        if found.status == "PENDING":
            raise unprocessable("PENDING_CAPTURE")
        if found.status in {"DECLINED", "FAILED"}:
            raise unprocessable("REFUND_NOT_ALLOWED")
        if amount.currency != found.amount.currency:
            raise unprocessable("REFUND_CAPTURE_CURRENCY_MISMATCH", "/amount/currency_code")
        if found.refunded() >= found.amount.minor_units:
            raise unprocessable("CAPTURE_FULLY_REFUNDED")
        if left.minor_units <= 0:
            raise unprocessable("REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK")
        if amount.minor_units > left.minor_units:
            raise unprocessable("REFUND_AMOUNT_EXCEEDED", "/amount/value")
        if amount.minor_units < found.amount.minor_units and any(not d.outcome for d in found.disputes):
            raise unprocessable("TRANSACTION_DISPUTED")

    def pay_back(self, made: Refund) -> None:
        found = made.capture
        made.status, made.updated = "COMPLETED", self.book.now()
        back = found.refunded() >= found.amount.minor_units
        found.status, found.updated = "REFUNDED" if back else "PARTIALLY_REFUNDED", self.book.now()
        self.post("T1107", found, made.id, -made.amount.minor_units, refund=made)
        self.book.announce(
            "PAYMENT.CAPTURE.REFUNDED",
            "refund",
            refund_view(self.book, made),
            f"A {made.amount} {made.amount.currency} capture payment was refunded",
        )

    def fail_refund(self, made: Refund) -> None:
        made.status, made.updated = "FAILED", self.book.now()
        self.tell_refund("FAILED", made)

    def tell_refund(self, what: str, made: Refund) -> None:
        summary = f"Refund of {made.amount} {made.amount.currency}: {what.lower()}"
        self.book.announce(f"PAYMENT.REFUND.{what}", "refund", refund_view(self.book, made), summary)

    def get_refund(self, call: Call) -> Answer:
        found = self.book.refund(call.params["id"])
        return Answer(200, lambda whole: refund_view(self.book, found))


def check_texts(call: Call) -> None:
    for name, limit in {
        "invoice_id": 127,
        "custom_id": 127,
        "note_to_payer": 255,
        "soft_descriptor": 22,
    }.items():
        text = call.body.get(name, "")
        if not isinstance(text, str) or len(text) > limit or (name in call.body and not text):
            raise invalid("INVALID_STRING_LENGTH", f"/{name}")
