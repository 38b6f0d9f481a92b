"""Whether a store's books are still what was sealed, page by page."""

from datetime import datetime
from typing import NamedTuple

from services.payment.ledger import seal_queries
from services.payment.ledger.chain_rules import NOTHING, Recorded, held
from services.runtime.database import Row, Runs
from services.runtime.times import ALWAYS

TRANSACTIONS = 100_000
PAGE = 2_000


class Finding(NamedTuple):
    """How far a chain holds: as far as `number`, whose hash this is; `broken` is the first that does not fit, or 0."""

    number: int
    hash: bytes
    broken: int = 0
    more: bool = False


async def audited(db: Runs, store_id: str, after_number: int) -> Finding:
    """Look at so many transactions after a number, of which is known that the chain holds so far."""
    number, known, since = after_number, NOTHING, ALWAYS[0]
    if after_number:
        start = await db.row(seal_queries.LINKS, store_id=store_id, after_number=after_number - 1, size=1)
        if start is None or start["number"] != after_number or start["create_time"] is None:
            return Finding(0, NOTHING, broken=after_number)
        known, since = start["hash"], start["create_time"]
    for _ in range(TRANSACTIONS // PAGE):
        found = await db.rows(seal_queries.LINKS, store_id=store_id, after_number=number, size=PAGE + 1)
        page, more = found[:PAGE], len(found) > PAGE
        number, known, broken = await _page(db, store_id, since, page, more, (number, known))
        if broken or not more:
            return Finding(number, known, broken)
        since = page[-1]["create_time"]
    return Finding(number, known, more=True)


async def _page(
    db: Runs, store_id: str, since: datetime, page: list[Row], more: bool, end: tuple[int, bytes]
) -> tuple[int, bytes, int]:
    """Look at a page: that each link follows from the one before, and that nothing else was put in since a time.

    Each page answers for the times up to its latest transaction's, the last one for all that are left.
    """
    links = [Recorded(row["number"], row["hash"], row["digest"]) for row in page]
    number, known, broken = held(*end, links)
    if broken:
        return number, known, broken
    upto = max(row["create_time"] for row in page) if more else ALWAYS[1]
    stray = await db.row(seal_queries.STRAY, store_id=store_id, after_time=since, upto_time=upto)
    time = stray["create_time"] if stray else None
    if time is None:
        return number, known, 0
    broken = min((row["number"] for row in page if row["create_time"] >= time), default=number + 1)
    number, known, _ = held(*end, [link for link in links if link.number < broken])
    return number, known, broken
