"""Stripe's balance transactions as the lines of a settlement. Pure; raises Malformed."""

from typing import Any

from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.settlement_service_pb2 import SettlementLine, SettlementLineKind

from services.payment.gateways.stripe import answers
from services.runtime.times import timestamp

CAPTURE = SettlementLineKind.SETTLEMENT_LINE_KIND_CAPTURE
REFUND = SettlementLineKind.SETTLEMENT_LINE_KIND_REFUND
FEE = SettlementLineKind.SETTLEMENT_LINE_KIND_FEE
PAYOUT = SettlementLineKind.SETTLEMENT_LINE_KIND_PAYOUT
# Stripe's reporting categories, and types where there is none.
# https://docs.stripe.com/reports/reporting-categories
KINDS = {
    "charge": CAPTURE,
    "payment": CAPTURE,
    "refund": REFUND,
    "payment_refund": REFUND,
    "partial_capture_reversal": REFUND,
    "refund_failure": REFUND,
    "payment_failure_refund": REFUND,
    "dispute": SettlementLineKind.SETTLEMENT_LINE_KIND_DISPUTE,
    "dispute_reversal": SettlementLineKind.SETTLEMENT_LINE_KIND_DISPUTE_WON,
    "fee": FEE,
    "network_cost": FEE,
    "tax": FEE,
    "stripe_fee": FEE,
    "stripe_fx_fee": FEE,
    "tax_fee": FEE,
    "payout": PAYOUT,
    "payout_reversal": PAYOUT,
    "payout_cancel": PAYOUT,
    "payout_failure": PAYOUT,
    "payout_minimum_balance_hold": PAYOUT,
    "payout_minimum_balance_release": PAYOUT,
    "topup": PAYOUT,
    "topup_reversal": PAYOUT,
}


def line(value: Any) -> SettlementLine:
    """Read a balance transaction, its source expanded.

    One of a kind that we do not know is shown as money that came or went for no charge, so that it is found to differ.
    """
    body = answers.kind(value, "balance_transaction")
    currency_code = answers.currency(body)
    gross = answers.amount(body, "amount", currency_code)
    fee = answers.amount(body, "fee", currency_code)
    source = body.get("source")
    source = source if isinstance(source, dict) else {}
    kind = _kind(body, source, gross)
    if kind == FEE:
        gross, fee = 0, fee - gross
    of_charge = kind not in (FEE, PAYOUT)
    return SettlementLine(
        line_id=answers.text(body, "id"),
        kind=kind,
        charge_reference=answers.reference(source.get("payment_intent")) if of_charge else "",
        operation_reference=_operation(source),
        gross=Money(currency_code=currency_code, minor_units=gross),
        fee=Money(currency_code=currency_code, minor_units=fee),
        time=timestamp(answers.moment(body.get("created"))),
    )


def _kind(body: dict[str, Any], source: dict[str, Any], gross: int) -> SettlementLineKind.ValueType:
    category, name = str(body.get("reporting_category")), str(body.get("type"))
    if name == "adjustment" and source.get("object") == "dispute":
        category = "dispute" if gross <= 0 else "dispute_reversal"
    known = KINDS.get(category) or KINDS.get(name)
    return known or (CAPTURE if gross > 0 else REFUND)


def _operation(source: dict[str, Any]) -> str:
    """Return our key of a refund that is ours, or Stripe's own id; a charge has only the key of its authorization."""
    ours = answers.operation_id(source) if source.get("object") == "refund" else ""
    return ours or answers.reference(source.get("id"))
