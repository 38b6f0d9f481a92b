"""Payouts: what the balance holds goes to the merchant's bank account."""

from . import shapes
from .book import Book
from .errors import Json


def made(book: Book, currency: str) -> Json:
    """Pays out every line of the currency that no payout has paid yet."""
    lines = [
        line
        for line in book.balance_transactions.rows.values()
        if line["currency"] == currency and line["id"] not in book.payout_of
    ]
    amount = sum(line["net"] for line in lines)
    payout = shapes.payout(book.new_id("po"), amount, currency, book.clock.seconds())
    own = book.post("payout", -amount, payout, describe="STRIPE PAYOUT")
    payout["balance_transaction"] = own["id"]
    for line in (*lines, own):
        line["status"] = "available"
        book.payout_of[line["id"]] = payout["id"]
    book.payouts.add(payout)
    book.tell("payout.created", payout)
    book.tell("payout.paid", payout)
    return payout
