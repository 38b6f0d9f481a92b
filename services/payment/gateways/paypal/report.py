"""PayPal's report of transactions as lines of a settlement. Pure.

A line is a balance-affecting transaction; what it is follows from its T-code (developer.paypal.com/reports/reference/
t-codes). Conversions between currencies and money that we paid in are no lines.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.settlement_service_pb2 import SettlementLine, SettlementLineKind
from google.protobuf.timestamp_pb2 import Timestamp

from services.payment.gateways.paypal.amounts import minor_units
from services.payment.gateways.paypal.orders import (
    Malformed,
    identifier,
    key_of,
    mapping,
    order_named,
    time_of,
)

CAPTURE = SettlementLineKind.SETTLEMENT_LINE_KIND_CAPTURE
REFUND = SettlementLineKind.SETTLEMENT_LINE_KIND_REFUND
DISPUTE = SettlementLineKind.SETTLEMENT_LINE_KIND_DISPUTE
DISPUTE_WON = SettlementLineKind.SETTLEMENT_LINE_KIND_DISPUTE_WON
FEE = SettlementLineKind.SETTLEMENT_LINE_KIND_FEE
PAYOUT = SettlementLineKind.SETTLEMENT_LINE_KIND_PAYOUT
CODES = {
    "T1106": DISPUTE,  # A payment that PayPal reversed.
    "T1107": REFUND,
    "T1108": FEE,  # A fee given back.
    "T1110": DISPUTE,  # Held while a dispute is looked into …
    "T1111": DISPUTE_WON,  # … and let go again.
    "T1201": DISPUTE,  # A chargeback …
    "T1202": DISPUTE_WON,  # … taken back.
}
GROUPS = {"T01": FEE, "T04": PAYOUT}
# What was done, and what was done and later given back: that is another transaction. Not what is pending or denied.
DONE = ("S", "V")


def line_of(detail: Any) -> SettlementLine | None:
    """Return the line of a transaction; None for one that has none. Raises Malformed."""
    info = mapping(mapping(detail).get("transaction_info"))
    code = identifier(info.get("transaction_event_code"))
    money = mapping(info.get("transaction_amount"))
    currency_code = str(money.get("currency_code"))
    gross = minor_units(money.get("value"), currency_code)
    kind = CODES.get(code, GROUPS.get(code[:3]))
    if kind is None and code.startswith("T00") and gross is not None and gross > 0:
        kind = CAPTURE
    if kind is None or info.get("transaction_status", "S") not in DONE:
        return None
    if gross is None:
        raise Malformed("an amount")
    fee = -_fee(info, currency_code)
    if kind == FEE:
        gross, fee = 0, fee - gross
    transaction_id = identifier(info.get("transaction_id"))
    return SettlementLine(
        # A transaction's id is not unique in reports; with its code it is.
        line_id=f"{transaction_id}-{code}",
        kind=kind,
        charge_reference=_charge(info) if kind != PAYOUT else "",
        operation_reference=_operation(kind, transaction_id, info),
        gross=Money(currency_code=currency_code, minor_units=gross),
        fee=Money(currency_code=currency_code, minor_units=fee),
        time=_booked(info),
    )


def _fee(info: Mapping[str, Any], currency_code: Any) -> int:
    """Return the fee as PayPal has it: negative when it is taken."""
    if not info.get("fee_amount"):
        return 0
    money = mapping(info["fee_amount"])
    fee = minor_units(money.get("value"), currency_code)
    if fee is None or money.get("currency_code") != currency_code:
        raise Malformed("a fee")
    return fee


def _charge(info: Mapping[str, Any]) -> str:
    """Return the order's id: PayPal's own reference names the transaction that one came of, our invoice the order."""
    named = info.get("paypal_reference_id") if info.get("paypal_reference_id_type") == "ODR" else None
    return order_named(info.get("invoice_id")) or (identifier(named) if named else "")


def _operation(kind: SettlementLineKind.ValueType, transaction_id: str, info: Mapping[str, Any]) -> str:
    """Return our key of the operation, which captures and refunds have as invoice; or PayPal's id."""
    if kind in (CAPTURE, REFUND):
        return key_of(info.get("invoice_id")) or transaction_id
    if kind in (DISPUTE, DISPUTE_WON):
        # Of what is disputed: the dispute itself is not named.
        ours = key_of(info.get("invoice_id")) or key_of(info.get("custom_field"))
        return ours or identifier(info.get("paypal_reference_id") or transaction_id)
    return ""


def _booked(info: Mapping[str, Any]) -> Timestamp:
    time = time_of(info.get("transaction_updated_date") or info.get("transaction_initiation_date"))
    if not isinstance(time, datetime):
        raise Malformed("a time")
    booked = Timestamp()
    booked.FromDatetime(time)
    return booked
