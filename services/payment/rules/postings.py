"""Double entry: what each movement of money debits and credits, and for which line of the order. Pure, and balanced.

customer_receivable against authorizations is a memo of what customers have promised and nobody has taken yet.
provider_clearing is what the provider owes us.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

from services.payment.rules.payment import OPERATION_SUCCEEDED as SUCCEEDED
from services.payment.rules.payment import Dispute, Kind, Line, Operation, Payment, Share

RECEIVABLE = "customer_receivable"
AUTHORIZATIONS = "authorizations"
CLEARING = "provider_clearing"
REVENUE = "revenue"
TAX = "tax"
SHIPPING = "shipping"
DISCOUNTS = "discounts"
REFUNDS = "refunds"
FEES = "fees"
DISPUTES = "disputes"


class Posting(NamedTuple):
    """One side of a transaction, in minor units; the product of the order's line that it concerns, if it is one."""

    account: str
    debit: int
    credit: int
    product_id: str = ""


class Transaction(NamedTuple):
    """Postings that balance. The id is always the same for what has happened, so that it is posted once."""

    transaction_id: str
    kind: str
    postings: tuple[Posting, ...]


def authorized(payment: Payment, operation: Operation) -> tuple[Transaction, ...]:
    """Note what the customer has promised."""
    return _transaction(Kind.AUTHORIZE, operation.operation_id, _memo(payment.amount))


def captured(payment: Payment, operation: Operation) -> tuple[Transaction, ...]:
    """Take money for an operation of the payment as it was before: what for, line by line."""
    amount = operation.amount
    sums = [*_memo(-amount), (CLEARING, amount, "")]
    before = payment.shares(Kind.CAPTURE, SUCCEEDED)
    for line, begin, end in _parts(payment, operation, before):
        discount = _part(line.discount, begin, end, line)
        tax = _part(line.tax, begin, end, line)
        income = SHIPPING if not line.product_id and payment.lines else REVENUE
        sums += [
            (income, tax - discount - (end - begin), line.product_id),
            (DISCOUNTS, discount, line.product_id),
            (TAX, -tax, line.product_id),
        ]
    return _transaction(Kind.CAPTURE, operation.operation_id, sums)


def refunded(payment: Payment, operation: Operation) -> tuple[Transaction, ...]:
    """Give money back for an operation of the payment as it was before: what for, line by line."""
    sums = [(CLEARING, -operation.amount, "")]
    before = payment.shares(Kind.REFUND, SUCCEEDED)
    for line, begin, end in _parts(payment, operation, before):
        tax = _part(line.tax, begin, end, line)
        account = SHIPPING if not line.product_id and payment.lines else REFUNDS
        sums += [(account, end - begin - tax, line.product_id), (TAX, tax, line.product_id)]
    return _transaction(Kind.REFUND, operation.operation_id, sums)


def given_up(payment: Payment, operation: Operation, kind: str) -> tuple[Transaction, ...]:
    """Forget what was promised and never taken: `kind` is void or expire."""
    own = operation.operation_id if kind == operation.kind else _other(operation.operation_id, kind)
    return _transaction(kind, own, _memo(-payment.capturable))


def disputed(dispute: Dispute) -> tuple[Transaction, ...]:
    """Hold back what the customer's bank took, and what the provider asks for the trouble."""
    sums = [
        (DISPUTES, dispute.amount, ""),
        (FEES, dispute.fee, ""),
        (CLEARING, -dispute.amount - dispute.fee, ""),
    ]
    return _transaction("dispute", dispute.dispute_id, sums)


def dispute_won(dispute: Dispute) -> tuple[Transaction, ...]:
    """Have the money of a dispute again; the fee stays with the provider."""
    sums = [(DISPUTES, -dispute.amount, ""), (CLEARING, dispute.amount, "")]
    return _transaction("dispute_won", _other(dispute.dispute_id, "won"), sums)


def fee(transaction_id: str, amount: int) -> tuple[Transaction, ...]:
    """Pay the provider, or have a fee back."""
    return _transaction("fee", transaction_id, [(FEES, amount, ""), (CLEARING, -amount, "")])


def spread(
    lines: Sequence[Line], before: Mapping[str, int], limits: Mapping[str, int], amount: int
) -> tuple[Share, ...]:
    """Spread an amount over the lines in their order: each takes what is left of its limit, the last one the rest."""
    shares = []
    for line in lines:
        part = min(amount, limits.get(line.product_id, 0) - before.get(line.product_id, 0))
        if part > 0:
            shares.append(Share(line.product_id, part))
            amount -= part
    if lines and amount:
        product_id = lines[-1].product_id
        known = sum(share.amount for share in shares if share.product_id == product_id)
        shares = [share for share in shares if share.product_id != product_id]
        shares.append(Share(product_id, known + amount))
    return tuple(shares)


def _memo(amount: int) -> list[tuple[str, int, str]]:
    return [(RECEIVABLE, amount, ""), (AUTHORIZATIONS, -amount, "")]


def _parts(
    payment: Payment, operation: Operation, before: Mapping[str, int]
) -> Iterable[tuple[Line, int, int]]:
    """Each line of an operation's amount: from how much of its total to how much."""
    if not operation.lines:
        yield Line("", operation.amount), 0, operation.amount
    lines = {line.product_id: line for line in payment.lines}
    for share in operation.lines:
        begin = before.get(share.product_id, 0)
        yield lines.get(share.product_id, Line(share.product_id, share.amount)), begin, begin + share.amount


def _part(component: int, begin: int, end: int, line: Line) -> int:
    """What a part of a line's total has of its discount or tax: however it is parted, the parts add up to it."""
    if not line.total:
        return 0
    return component * end // line.total - component * begin // line.total


def _transaction(
    kind: str, transaction_id: str, sums: Iterable[tuple[str, int, str]]
) -> tuple[Transaction, ...]:
    """What is positive is debited. Nothing for what moves no money."""
    postings = tuple(
        Posting(account, max(amount, 0), max(-amount, 0), product_id)
        for account, amount, product_id in sums
        if amount
    )
    return (Transaction(transaction_id, kind, postings),) if postings else ()


def _other(own: str, what: str) -> str:
    """The id of a second transaction that follows from something."""
    return str(uuid5(UUID(own), what))
