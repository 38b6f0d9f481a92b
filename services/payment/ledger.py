"""Double entry: what each movement of money debits and credits. Pure, and balanced by construction."""

from typing import NamedTuple

# The account that is debited and the one that is credited, for the same sum.
ACCOUNTS = {
    "capture": ("provider_clearing", "revenue"),
    "refund": ("refunds", "provider_clearing"),
}


class Posting(NamedTuple):
    """One side of a transaction, in minor units."""

    account: str
    debit: int
    credit: int


def postings(step: str, amount: int) -> tuple[Posting, ...]:
    """Return both sides of what a step books; nothing for a step, or a sum, that moves no money."""
    if step not in ACCOUNTS or not amount:
        return ()
    debited, credited = ACCOUNTS[step]
    return Posting(debited, amount, 0), Posting(credited, 0, amount)
