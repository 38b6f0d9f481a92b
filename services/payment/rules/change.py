"""What something changes in a payment: the payment, its operations and disputes, the books; and what follows."""

from dataclasses import dataclass

from services.payment.rules.payment import Dispute, Operation, Payment
from services.payment.rules.postings import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """`operation` is the one that it came of, `begun` one that waited, `next` a new one, which is not recorded yet.

    `dispute` is new, or has been decided.
    """

    before: Payment
    payment: Payment
    operation: Operation
    booked: tuple[Transaction, ...] = ()
    begun: Operation | None = None
    next: Operation | None = None
    dispute: Dispute | None = None

    @property
    def moved(self) -> bool:
        """Whether the state is another one, or more was taken, given up or given back."""
        return _place(self.payment) != _place(self.before)


def _place(payment: Payment) -> tuple[int, ...]:
    return payment.state, payment.captured, payment.voided, payment.refunded, payment.charged_back
