"""PayPal's report of transactions, fetched page by page."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from commerce.payment.v1.settlement_service_pb2 import SettlementLine

from services.payment.gateways.gateway import Unfetched
from services.payment.gateways.http import PAGE_BYTES, Answer
from services.payment.gateways.paypal.calls import Calls, issue_of
from services.payment.gateways.paypal.orders import Malformed, listed
from services.payment.gateways.paypal.report import line_of

TRANSACTIONS = "/v1/reporting/transactions"
WINDOW, SHORTEST_WINDOW = timedelta(days=31), timedelta(minutes=1)
PAGE_LINES, MOST_PAGES = 500, 10_000
# Reports take longer than payments.
TIMEOUT_SECONDS = 60.0


async def lines(calls: Calls, begin: datetime, end: datetime) -> AsyncIterator[SettlementLine]:
    """Fetch a time in windows as long as PayPal allows, shorter ones where there is too much. Raises Unfetched."""
    windows = [(begin, end)]
    while windows:
        start, last = windows.pop()
        stop = min(start + WINDOW, last)
        if stop < last:
            windows.append((stop, last))
        answer = await _page(calls, start, stop, 1)
        if issue_of(answer) == "RESULTSET_TOO_LARGE" and stop - start > SHORTEST_WINDOW:
            middle = start + (stop - start) / 2
            windows += [(middle, stop), (start, middle)]
            continue
        for page in range(1, _pages(answer) + 1):
            answer = answer if page == 1 else await _page(calls, start, stop, page)
            for line in _lines(answer):
                yield line


async def _page(calls: Calls, begin: datetime, end: datetime, page: int) -> Answer:
    answer = await calls.ask(
        "GET",
        TRANSACTIONS,
        query={
            "start_date": _instant(begin),
            "end_date": _instant(end),
            "fields": "transaction_info",
            "page_size": str(PAGE_LINES),
            "page": str(page),
        },
        most_bytes=PAGE_BYTES,
        timeout_seconds=TIMEOUT_SECONDS,
    )
    if not isinstance(answer, Answer):
        raise Unfetched(answer.cause)
    return answer


def _pages(answer: Answer) -> int:
    pages = answer.body.get("total_pages")
    if answer.status != 200 or type(pages) is not int or not 0 <= pages <= MOST_PAGES:
        raise Unfetched(f"answered {answer.status} {issue_of(answer)}".strip())
    return pages


def _lines(answer: Answer) -> list[SettlementLine]:
    if answer.status != 200:
        raise Unfetched(f"answered {answer.status} {issue_of(answer)}".strip())
    try:
        found = [line_of(detail) for detail in listed(answer.body.get("transaction_details"))]
    except Malformed as problem:
        raise Unfetched(f"malformed: {problem}") from None
    return [line for line in found if line is not None]


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
