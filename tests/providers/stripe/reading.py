"""Lists with their pages and filters, and expanded fields."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable
from typing import Any

from .book import INDEXED, Book, Table
from .errors import Json, invalid, missing
from .forms import Form

# Which fields hold another object's id, by the kind of object.
EXPANDABLE = {
    "payment_intent": {"latest_charge": "charge", "payment_method": "payment_method", "customer": "customer"},
    "charge": {
        "balance_transaction": "balance_transaction",
        "payment_intent": "payment_intent",
        "customer": "customer",
        "refunds": "refund",
    },
    "refund": {
        "balance_transaction": "balance_transaction",
        "charge": "charge",
        "payment_intent": "payment_intent",
        "failure_balance_transaction": "balance_transaction",
    },
    "dispute": {"charge": "charge", "payment_intent": "payment_intent"},
    "balance_transaction": {"source": "source"},
    # A source is a charge, a refund, a dispute or a payout; each is expanded as far as it can be.
    "source": {"charge": "charge", "payment_intent": "payment_intent", "latest_charge": "charge"},
    "payout": {"balance_transaction": "balance_transaction"},
    "payment_method": {"customer": "customer"},
    "customer": {},
    "event": {},
}
DEEPEST = 4


def expansions(form: Form, kind: str, *, of_list: bool = False) -> list[list[str]]:
    """The paths to expand, checked before anything is carried out."""
    paths = []
    for wanted in form.texts("expand"):
        path = wanted.split(".")
        if of_list and path.pop(0) != "data":
            raise invalid(f"This property cannot be expanded ({wanted}).", param="expand")
        if len(path) > DEEPEST:
            raise invalid(f"You cannot expand more than {DEEPEST} levels of a property.", param="expand")
        at = kind
        for field in path:
            if field not in EXPANDABLE[at]:
                raise invalid(f"This property cannot be expanded ({wanted}).", param="expand")
            at = EXPANDABLE[at][field]
        paths.append(path)
    return paths


def expanded(book: Book, thing: Json, paths: Iterable[list[str]]) -> Json:
    shown = dict(thing)
    for path in paths:
        if path:
            _expand(book, shown, path)
    return shown


def _expand(book: Book, shown: Json, path: list[str]) -> None:
    field, rest = path[0], path[1:]
    if field == "refunds" and shown["object"] == "charge":
        rows = [expanded(book, row, [rest]) for row in reversed(book.refunds.of("charge", shown["id"]))]
        shown[field] = listed(rows, f"/v1/charges/{shown['id']}/refunds", more=False)
        return
    value = shown.get(field)
    if isinstance(value, str):
        value = dict(book.find(value))
        shown[field] = value
    if isinstance(value, dict) and rest:
        _expand(book, value, rest)


def listed(rows: list[Json], url: str, *, more: bool) -> Json:
    return {"object": "list", "data": rows, "has_more": more, "url": url}


def one(table: Callable[[Book], Table], param: str = "id") -> Callable[..., Json]:
    def retrieve(book: Book, form: Form, wanted: str) -> Json:
        form.finish()
        return table(book).get(wanted, param=param)

    return retrieve


def page(form: Form, rows: list[Json], url: str, kind: str, order: dict[str, int] | None = None) -> Json:
    """Rows come in the order they were made, and are shown the newest first."""
    limit = form.integer("limit", minimum=1) or 10
    if limit > 100:
        raise invalid("This value must be less than or equal to 100.", param="limit")
    after, before = form.text("starting_after"), form.text("ending_before")
    form.finish()
    if after and before:
        raise invalid("You may only specify one of these parameters: starting_after, ending_before.")
    if before:
        start = _position(rows, order, before, "ending_before", kind) + 1
        return listed(rows[start : start + limit][::-1], url, more=len(rows) > start + limit)
    end = _position(rows, order, after, "starting_after", kind) if after else len(rows)
    return listed(rows[max(0, end - limit) : end][::-1], url, more=end > limit)


def _position(rows: list[Json], order: dict[str, int] | None, wanted: str, param: str, kind: str) -> int:
    """Where an object is; rows are in the order they were made, so that long lists are read quickly."""
    order = order or {row["id"]: index for index, row in enumerate(rows)}
    if wanted in order:
        at = bisect_left(rows, order[wanted], key=lambda row: order[row["id"]])
        if at < len(rows) and rows[at]["id"] == wanted:
            return at
    raise missing(kind, wanted, param=param, status=400)


def created(form: Form, rows: list[Json]) -> list[Json]:
    """`created=1` or `created[gte]=1` with its kin."""
    if not form.given("created"):
        return rows
    value = form.all()["created"]
    if isinstance(value, str):
        exactly = form.integer("created")
        return [row for row in rows if row["created"] == exactly]
    bounds = form.nested("created")
    gt, gte, lt, lte = (bounds.integer(name) for name in ("gt", "gte", "lt", "lte"))
    bounds.finish()
    starts = [
        0 if gte is None else bisect_left(rows, gte, key=_made),
        0 if gt is None else bisect_right(rows, gt, key=_made),
    ]
    ends = [
        len(rows) if lt is None else bisect_left(rows, lt, key=_made),
        len(rows) if lte is None else bisect_right(rows, lte, key=_made),
    ]
    return rows[max(starts) : min(ends)]


def _made(row: Json) -> int:
    return int(row["created"])


def many(table: Callable[[Book], Table], url: str, *filters: str) -> Callable[..., Json]:
    """A list's endpoint; each filter is a field and its wanted value."""

    def show(book: Book, form: Form) -> Json:
        kept = table(book)
        rows: list[Json] | None = None
        for name in filters:
            value = form.text(name)
            if value is None:
                continue
            rows = matching(kept, rows, name, value)
        rows = created(form, list(kept.rows.values()) if rows is None else rows)
        return page(form, rows, url, kept.kind, kept.order)

    return show


def matching(kept: Table, rows: list[Json] | None, name: str, value: Any) -> list[Json]:
    if rows is None and name in INDEXED:
        return kept.of(name, value)
    return [row for row in (kept.rows.values() if rows is None else rows) if row.get(name) == value]


def balance_transactions(book: Book, form: Form) -> Json:
    """Besides the common filters: the lines that one payout paid out."""
    kept = book.balance_transactions
    filters = {name: form.text(name) for name in ("source", "type", "currency", "payout")}
    if filters["payout"]:
        book.payouts.get(filters["payout"], param="payout", status=400)
    # A settlement is read in thousands of pages: what the last page filtered serves the next.
    state = (*filters.values(), len(kept.rows), len(book.payouts.rows))
    if book.filtered[0] != state:
        book.filtered = state, _lines(book, filters)
    rows = created(form, book.filtered[1])
    return page(form, rows, "/v1/balance_transactions", kept.kind, kept.order)


def _lines(book: Book, filters: dict[str, str | None]) -> list[Json]:
    rows: list[Json] | None = None
    for name in ("source", "type", "currency"):
        if value := filters[name]:
            rows = matching(book.balance_transactions, rows, name, value)
    rows = list(book.balance_transactions.rows.values()) if rows is None else rows
    payout = filters["payout"]
    return rows if payout is None else [row for row in rows if book.payout_of.get(row["id"]) == payout]


def events(book: Book, form: Form) -> Json:
    wanted = form.text("type")
    rows = [event.json() for event in book.events if wanted is None or event.type == wanted]
    return page(form, created(form, rows), "/v1/events", "event")


def event(book: Book, form: Form, wanted: str) -> Json:
    form.finish()
    for told in book.events:
        if told.id == wanted:
            return told.json()
    raise missing("event", wanted)


def customers_methods(book: Book, form: Form, customer_id: str) -> Json:
    book.customers.get(customer_id, param="customer")
    return _methods(book, form, customer_id, f"/v1/customers/{customer_id}/payment_methods")


def customers_method(book: Book, form: Form, customer_id: str, method_id: str) -> Json:
    form.finish()
    method = book.payment_methods.get(method_id, param="payment_method")
    if method["customer"] != customer_id:
        raise missing("PaymentMethod", method_id, param="payment_method")
    return method


def payment_methods(book: Book, form: Form) -> Json:
    customer = form.needed("customer")
    book.customers.get(customer, param="customer", status=400)
    return _methods(book, form, customer, "/v1/payment_methods")


def _methods(book: Book, form: Form, customer: str, url: str) -> Json:
    form.ignore("type", "allow_redisplay")
    return page(form, matching(book.payment_methods, None, "customer", customer), url, "PaymentMethod")
