"""What the lines of a provider's reports are of, and what differs. Pure.

All lines of a payment are judged together, whenever one of them comes: what each is matched with does not depend on the
order in which they came.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, TypeAlias
from uuid import UUID, uuid5

from commerce.payment.v1.settlement_service_pb2 import DiscrepancyReason, SettlementLineKind

from services.payment.rules import postings
from services.payment.rules.postings import Transaction
from services.runtime.ids import is_uuid

LineKind: TypeAlias = SettlementLineKind.ValueType
Reason: TypeAlias = DiscrepancyReason.ValueType
CAPTURE = SettlementLineKind.SETTLEMENT_LINE_KIND_CAPTURE
REFUND = SettlementLineKind.SETTLEMENT_LINE_KIND_REFUND
DISPUTE = SettlementLineKind.SETTLEMENT_LINE_KIND_DISPUTE
DISPUTE_WON = SettlementLineKind.SETTLEMENT_LINE_KIND_DISPUTE_WON
FEE = SettlementLineKind.SETTLEMENT_LINE_KIND_FEE
PAYOUT = SettlementLineKind.SETTLEMENT_LINE_KIND_PAYOUT
AGREES = DiscrepancyReason.DISCREPANCY_REASON_UNSPECIFIED
MISSING_HERE = DiscrepancyReason.DISCREPANCY_REASON_MISSING_HERE
MISSING_THERE = DiscrepancyReason.DISCREPANCY_REASON_MISSING_THERE
AMOUNT = DiscrepancyReason.DISCREPANCY_REASON_AMOUNT
CURRENCY = DiscrepancyReason.DISCREPANCY_REASON_CURRENCY
_FEES = UUID("6f1d3c52-7a0e-5c1b-9d55-0b8f2c3f9a41")


class Line(NamedTuple):
    """A line of a report, in minor units. `reference` is the provider's of what it is of, or our operation's id."""

    line_id: str
    kind: LineKind
    charge: str
    reference: str
    currency_code: str
    gross: int
    fee: int
    time: datetime

    @property
    def operation_id(self) -> str:
        """Our operation's id, where it tells that."""
        return self.reference.lower() if len(self.reference) == 36 and is_uuid(self.reference) else ""

    @property
    def cost(self) -> int:
        """What the provider kept."""
        return self.fee - self.gross if self.kind == FEE else self.fee

    @property
    def amount(self) -> int:
        """What came to us by what it is of; a fee of no charge is only a cost."""
        return -self.cost if self.kind == FEE else self.gross


class Owner(NamedTuple):
    """The payment that a line is of."""

    payment_id: str
    order_id: str
    store_id: str
    currency_code: str


class Ours(NamedTuple):
    """What our books have and a report has a line of: an operation, or a dispute that began or was won.

    `amount` is signed as a line's gross is; `fee` was posted when the dispute began.
    """

    kind: LineKind
    id: str
    reference: str
    amount: int
    fee: int = 0

    @property
    def operation_id(self) -> str | None:
        """Its id, if it is an operation."""
        return self.id if self.kind in (CAPTURE, REFUND) else None

    @property
    def dispute_id(self) -> str | None:
        """The dispute's id, if it is of one."""
        return None if self.kind in (CAPTURE, REFUND) else self.id


class Verdict(NamedTuple):
    """What became of a line: `reason` says how it differs from ours, if it does."""

    line: Line
    owner: Owner | None
    ours: Ours | None
    reason: Reason


def judged(lines: Iterable[Line], owner: Owner, ours: Iterable[Ours]) -> list[Verdict]:
    """Judge all lines of a payment by all that our books have of it."""
    lines = sorted(lines)
    found = _matched(lines, owner, ours)
    return [_verdict(line, owner, found.get(line.line_id)) for line in lines]


def unowned(line: Line) -> Verdict:
    """Judge a line of which no payment is known. A payout is of none: it moves what is of many stores."""
    return Verdict(line, None, None, AGREES if line.kind == PAYOUT else MISSING_HERE)


def fee_of(gateway: str, verdict: Verdict) -> tuple[Transaction, ...]:
    """Return what is posted for a line's fee, whatever else differs: the provider kept it.

    Nothing where nobody knows whose it is, or in which money. A dispute's fee was posted with the dispute, as far as
    that told it; what more there is waits until the dispute is known.
    """
    line, owner, ours = verdict.line, verdict.owner, verdict.ours
    if owner is None or line.currency_code != owner.currency_code:
        return ()
    if line.kind == DISPUTE and ours is None:
        return ()
    own = uuid5(_FEES, f"{gateway}\0{line.line_id}")
    return postings.fee(str(own), line.cost - (ours.fee if ours else 0))


def owner_of(line: Line, named: Mapping[str, Owner], charged: Mapping[str, Owner]) -> Owner | None:
    """Return the payment that a line is of, by what it names, else by its charge."""
    if line.kind == PAYOUT:
        return None
    return named.get(line.operation_id) or named.get(line.reference) or charged.get(line.charge)


def _matched(lines: Sequence[Line], owner: Owner, ours: Iterable[Ours]) -> dict[str, Ours]:
    free, found = sorted(ours), dict[str, Ours]()

    def names(line: Line, one: Ours) -> bool:
        return (
            bool(line.reference and line.reference == one.reference) or line.operation_id == one.operation_id
        )

    def agrees(line: Line, one: Ours) -> bool:
        return line.gross == one.amount and line.currency_code == owner.currency_code

    # What fits better goes first: providers give several captures of a charge one reference, or none.
    fits: tuple[Callable[[Line, Ours], bool], ...] = (
        lambda line, one: names(line, one) and agrees(line, one),
        names,
        agrees,
        lambda line, one: not line.reference or not one.reference,
    )
    for fit in fits:
        for line in lines:
            if line.line_id not in found:
                each = next((one for one in free if one.kind == line.kind and fit(line, one)), None)
                if each is not None:
                    found[line.line_id] = each
                    free.remove(each)
    return found


def _verdict(line: Line, owner: Owner, ours: Ours | None) -> Verdict:
    return Verdict(line, owner, ours, _reason(line, owner, ours))


def _reason(line: Line, owner: Owner, ours: Ours | None) -> Reason:
    same_currency = line.currency_code == owner.currency_code
    if line.kind == FEE and same_currency:
        return AGREES
    if ours is None:
        return MISSING_HERE
    if not same_currency:
        return CURRENCY
    return AGREES if line.gross == ours.amount else AMOUNT
