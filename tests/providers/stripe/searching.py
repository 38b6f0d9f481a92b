"""GET /v1/payment_intents/search: https://docs.stripe.com/search. Not for reading one's own writes."""

import re

from .book import Book
from .errors import Json, invalid
from .forms import Form

CLAUSE = re.compile(
    r"""(?P<negated>-)?(?P<field>\w+)(?:\[(?P<quote>["'])(?P<key>[^"']+)(?P=quote)\])?
    \s*(?P<operator>:|~|>=|<=|>|<)\s*
    (?:(?P<q>["'])(?P<text>(?:\\.|(?!(?P=q)).)*)(?P=q)|(?P<bare>null|-?\d+))\s*""",
    re.VERBOSE,
)
JOINT = re.compile(r"(?P<word>AND|OR)\s+|(?P<blank>)(?=[\w-])", re.IGNORECASE)
FIELDS = ("amount", "created", "currency", "customer", "metadata", "status")
Clause = re.Match[str]


def search(book: Book, form: Form, behind_seconds: float) -> Json:
    query = form.needed("query")
    limit = form.integer("limit", minimum=1) or 10
    start = form.text("page") or "0"
    form.finish()
    if limit > 100:
        raise invalid("This value must be less than or equal to 100.", param="limit")
    if not start.isdecimal():
        raise invalid("Invalid page token.", param="page")
    clauses, every = _read(query)
    visible = book.clock.now() - behind_seconds
    found = [
        intent
        for intent in reversed(list(book.payment_intents.rows.values()))
        if book.indexed_at[intent["id"]] <= visible
        and (all if every else any)(_holds(clause, intent) for clause in clauses)
    ]
    end = int(start) + limit
    more = len(found) > end
    return {
        "object": "search_result",
        "data": found[int(start) : end],
        "has_more": more,
        "next_page": str(end) if more else None,
        "url": "/v1/payment_intents/search",
    }


def _read(query: str) -> tuple[list[Clause], bool]:
    """The clauses, and whether all of them must hold (AND) or any (OR); the two cannot be mixed."""
    clauses, words, at = [], set(), 0
    while True:
        clause = CLAUSE.match(query, at)
        if clause is None or clause["field"] not in FIELDS:
            raise invalid(f"We were unable to parse your search query: {query}", param="query")
        clauses.append(clause)
        at = clause.end()
        if at == len(query):
            break
        joint = JOINT.match(query, at)
        if joint is None:
            raise invalid(f"We were unable to parse your search query: {query}", param="query")
        words.add((joint["word"] or "AND").upper())
        at = joint.end()
    if len(words) > 1:
        raise invalid("You cannot combine AND and OR in the same query.", param="query")
    return clauses, words != {"OR"}


def _holds(clause: Clause, intent: Json) -> bool:
    value = (
        intent["metadata"].get(clause["key"]) if clause["field"] == "metadata" else intent[clause["field"]]
    )
    return _compared(clause, value) != bool(clause["negated"])


def _compared(clause: Clause, value: str | int | None) -> bool:
    if clause["bare"] == "null":
        return value is None
    if value is None:
        return False
    wanted = clause["bare"] or re.sub(r"\\(.)", r"\1", clause["text"] or "")
    match clause["operator"]:
        case ":":
            return str(value) == wanted
        case "~":
            return wanted.lower() in str(value).lower()
        case operator:
            left, right = int(value), int(wanted)
            return {">": left > right, "<": left < right, ">=": left >= right, "<=": left <= right}[operator]
