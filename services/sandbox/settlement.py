"""The settlement report: what each movement of money brought the merchant, and what it cost."""

import csv
import io
import time
import uuid
from collections.abc import Iterator
from typing import Any

from . import rules
from .answers import random_id
from .book import Book
from .rules import Charge, Dispute, Line, Refused

PAGE_LINES = 1000
# By how much a planted line is wrong.
WRONG_MINOR_UNITS = 100


class Settlement:
    def __init__(self, book: Book) -> None:
        self._book = book

    def moved(self, charge: Charge, moved: Charge, key: str, operation_reference: str) -> None:
        """Writes the line of a capture or a refund; other steps move no money."""
        captured = moved.captured_minor_units - charge.captured_minor_units
        refunded = moved.refunded_minor_units - charge.refunded_minor_units
        if captured:
            fee = rules.capture_fee(captured)
            self._write("capture", charge, key, operation_reference, captured, fee)
        if refunded:
            self._write("refund", charge, key, operation_reference, -refunded, 0)

    def disputed(self, dispute: Dispute, charge: Charge) -> None:
        """Writes the line of a dispute that opens or is won; a lost one moves nothing more."""
        amount, fee = dispute.amount_minor_units, dispute.fee_minor_units
        if dispute.status == "open":
            self._write("dispute", charge, None, dispute.id, -amount, fee)
        elif dispute.status == "won":
            self._write("dispute_won", charge, None, dispute.id, amount, 0)

    def page(self, begin: int, end: int, after: int, limit: int) -> dict[str, Any]:
        rows = self._book.lines(begin, end, after, limit)
        return {
            "lines": [{"row": row, **line._asdict()} for row, line in rows],
            "next_after": rows[-1][0] if len(rows) == limit else None,
        }

    def csv(self, begin: int, end: int) -> Iterator[bytes]:
        """The report as CSV with a header, in pieces."""
        text, after = io.StringIO(), 0
        writer = csv.writer(text)
        writer.writerow(("row", *Line._fields))
        while rows := self._book.lines(begin, end, after, PAGE_LINES):
            writer.writerows((row, *line) for row, line in rows)
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
            after = rows[-1][0]
        yield text.getvalue().encode()

    def plant(self, kind: str, key: str) -> dict[str, Any]:
        """Makes the report wrong about the operation with this key (or operation_reference)."""
        found = self._book.line_of(key)
        if found is None:
            raise Refused(404, "operation_unknown", "no line of the settlement is about this key")
        row, line = found
        wrong: Line | None
        if kind == "extra":
            wrong = _never_happened(line)
            self._book.add_line(wrong)
        else:
            wrong = _wrong(kind, line)
            self._book.replace_line(row, wrong)
        return {"kind": kind, "line": wrong and wrong._asdict(), "true_line": line._asdict()}

    def _write(
        self,
        type_: str,
        charge: Charge,
        key: str | None,
        operation_reference: str,
        gross: int,
        fee: int,
    ) -> None:
        line = Line(
            id=random_id("txn"),
            type=type_,
            charge_id=charge.id,
            reference=charge.reference,
            idempotency_key=key,
            operation_reference=operation_reference,
            currency_code=charge.currency_code,
            gross_minor_units=gross,
            fee_minor_units=fee,
            net_minor_units=gross - fee,
            created=int(time.time()),
        )
        self._book.add_line(line)


def _wrong(kind: str, line: Line) -> Line | None:
    if kind == "missing":
        return None
    if kind == "currency":
        return line._replace(currency_code="USD" if line.currency_code == "EUR" else "EUR")
    return line._replace(
        gross_minor_units=line.gross_minor_units + WRONG_MINOR_UNITS,
        net_minor_units=line.net_minor_units + WRONG_MINOR_UNITS,
    )


def _never_happened(line: Line) -> Line:
    """Like a line that did, about a charge and an operation that nobody knows."""
    prefix = line.operation_reference.partition("_")[0]
    return line._replace(
        id=random_id("txn"),
        charge_id=random_id("ch"),
        reference=str(uuid.uuid4()),
        idempotency_key=None if line.idempotency_key is None else str(uuid.uuid4()),
        operation_reference=random_id(prefix),
    )
