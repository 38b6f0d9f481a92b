"""What the news of a dispute changes in a payment. Pure."""

from dataclasses import replace
from datetime import datetime

from services.payment.rules import postings
from services.payment.rules.change import Change, followed, next_version
from services.payment.rules.life import LIFE, TAKEN, Contradiction, moved, name_of, stands
from services.payment.rules.outcomes import DisputeTold
from services.payment.rules.payment import DISPUTE_LOST, DISPUTE_OPEN, DISPUTE_WON, Dispute, Payment


def told(payment: Payment, news: DisputeTold, dispute_id: str, now: datetime) -> Change | None:
    """Return what the news of a dispute changes; a new one has this id. Raises Contradiction."""
    if payment.state not in TAKEN:
        raise Contradiction(f"a dispute of a payment of which nothing was taken: {name_of(payment.state)}")
    known = next((one for one in payment.disputes if one.provider_reference == news.reference), None)
    if news.currency_code != payment.currency_code:
        raise Contradiction(f"the currency is {news.currency_code} there and {payment.currency_code} here")
    ours = known.amount if known else payment.captured - payment.disputed - payment.charged_back
    if not 0 < news.amount <= ours or (known and known.amount != news.amount):
        there, here = payment.sum_in_words(news.amount), payment.sum_in_words(ours)
        raise Contradiction(f"the disputed amount is {there} there and {here} here")
    if known and (news.status == known.status or news.status == DISPUTE_OPEN):
        return None
    if known and known.status != DISPUTE_OPEN:
        raise Contradiction("the dispute was decided otherwise before")
    dispute = replace(
        known or _opened(news, dispute_id, now),
        status=news.status,
        close_time=None if news.status == DISPUTE_OPEN else now,
    )
    before = known.amount if known else 0
    after = replace(
        next_version(payment, now),
        disputed=payment.disputed - before + (news.amount if news.status == DISPUTE_OPEN else 0),
        charged_back=payment.charged_back + (news.amount if news.status == DISPUTE_LOST else 0),
        disputes=(*(one for one in payment.disputes if one != known), dispute),
    )
    opening = replace(payment, state=moved("dispute", payment, LIFE["dispute", payment.state]))
    after = replace(after, state=moved("dispute", opening, stands(after)))
    booked = (*(() if known else postings.disputed(dispute)),)
    if news.status == DISPUTE_WON:
        booked = (*booked, *postings.dispute_won(dispute))
    change = followed(payment, after, payment.authorization, now, booked)
    return replace(change, dispute=dispute)


def _opened(news: DisputeTold, dispute_id: str, now: datetime) -> Dispute:
    return Dispute(
        dispute_id=dispute_id,
        status=news.status,
        amount=news.amount,
        fee=news.fee,
        reason=news.reason,
        provider_reference=news.reference,
        open_time=now,
    )
