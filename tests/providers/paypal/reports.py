"""Transaction Search: what moved the balance, page by page, up to three hours late."""

from datetime import datetime, timedelta

from tests.providers.paypal.book import Book, Json, Transaction
from tests.providers.paypal.calls import Answer, Call
from tests.providers.paypal.errors import Problem, invalid
from tests.providers.paypal.money import Money
from tests.providers.paypal.views import PAYER, given, link

LONGEST = timedelta(days=31)


class Reports:
    def __init__(self, book: Book) -> None:
        self.book = book
        self.delay = timedelta()
        self.maximum_results = 10_000

    def transactions(self, call: Call) -> Answer:
        start, end = moment(call, "start_date"), moment(call, "end_date")
        if end < start or end - start > LONGEST:
            raise invalid("INVALID_PARAMETER_VALUE", "end_date")
        size, page = whole_number(call, "page_size", 100, 500), whole_number(call, "page", 1, 2**31 - 1)
        found = [t for t in self.book.transactions if start <= t.time <= end and self.shown(t, call)]
        if len(found) > self.maximum_results:
            raise Problem(400, name="RESULTSET_TOO_LARGE")
        pages = -(-len(found) // size)
        details = [self.detail(t, call) for t in found[(page - 1) * size : page * size]]
        return Answer(
            200,
            lambda _: {
                "transaction_details": details,
                "account_number": "MERCHANT12345",
                "start_date": stamp(start),
                "end_date": stamp(end),
                "last_refreshed_datetime": stamp(self.book.now() - self.delay),
                "page": page,
                "total_items": len(found),
                "total_pages": pages,
                "links": self.links(call, page, pages),
            },
        )

    def shown(self, line: Transaction, call: Call) -> bool:
        asked = call.query
        return (
            line.time <= self.book.now() - self.delay
            and asked.get("transaction_id", line.transaction_id) == line.transaction_id
            and asked.get("transaction_type", line.event_code) == line.event_code
            and asked.get("transaction_status", line.status) == line.status
            and asked.get("transaction_currency", line.currency) == line.currency
        )

    def detail(self, line: Transaction, call: Call) -> Json:
        fields = set(call.query.get("fields", "transaction_info").split(","))
        detail: Json = {}
        if fields & {"transaction_info", "all"}:
            detail["transaction_info"] = info(line)
        if fields & {"payer_info", "all"}:
            detail["payer_info"] = {"account_id": PAYER["payer_id"], "email_address": PAYER["email_address"]}
        return detail

    def links(self, call: Call, page: int, pages: int) -> list[Json]:
        kept = [f"{name}={value}" for name, value in call.query.items() if name != "page"]
        around = {"self": page, "first": 1, "prev": page - 1, "next": page + 1, "last": pages}
        own = f"{self.book.url}/v1/reporting/transactions"
        return [
            link(rel, f"{own}?{'&'.join([*kept, f'page={number}']).replace('+', '%2B')}")
            for rel, number in around.items()
            if 1 <= number <= pages
        ]


def info(line: Transaction) -> Json:
    return given(
        paypal_account_id=PAYER["payer_id"],
        transaction_id=line.transaction_id,
        paypal_reference_id=line.reference_id,
        paypal_reference_id_type=line.reference_type if line.reference_id else "",
        transaction_event_code=line.event_code,
        transaction_initiation_date=stamp(line.time),
        transaction_updated_date=stamp(line.time),
        transaction_amount=Money(line.currency, line.amount_minor_units).json(),
        fee_amount=Money(line.currency, line.fee_minor_units).json() if line.fee_minor_units else None,
        transaction_status=line.status,
        invoice_id=line.invoice_id,
        custom_field=line.custom_id,
        protection_eligibility="01",
    )


def moment(call: Call, name: str) -> datetime:
    text = call.query.get(name)
    if not text:
        raise invalid("MISSING_REQUIRED_PARAMETER", name)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or len(text) < 20:
        raise invalid("INVALID_PARAMETER_SYNTAX", name)
    return found


def whole_number(call: Call, name: str, default: int, most: int) -> int:
    text = call.query.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise invalid("INVALID_PARAMETER_VALUE", name)
    return int(text)


def stamp(time: datetime) -> str:
    """The report's own way to write a moment."""
    return time.strftime("%Y-%m-%dT%H:%M:%S+0000")
