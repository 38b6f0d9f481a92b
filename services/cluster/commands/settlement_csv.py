"""A provider's report as CSV: the sandbox's own format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1.settlement_service_pb2 import SettlementLine, SettlementLineKind

from services.cluster.commands import sheets

NEEDED = (
    "id",
    "type",
    "charge_id",
    "operation_reference",
    "currency_code",
    "gross_minor_units",
    "fee_minor_units",
    "created",
)
KINDS = {
    name.removeprefix("SETTLEMENT_LINE_KIND_").lower(): kind
    for name, kind in SettlementLineKind.items()
    if kind
}
# No gap, point or exponent, and no digits but ours: whatever has one could be read in two ways.
_WHOLE = re.compile(r"-?[0-9]{1,19}")
_LAST_SECOND = 253_402_300_799  # of the year 9999
_TOLD, _SHOWN = 20, 60


def read(file: Path, encoding: str = "") -> Iterator[SettlementLine]:
    """Yield the lines of a file with a header. Raises ValueError for a file that is none, or all lines that are none.

    What is left out of a report looks as if the provider had not booked it, so nothing of such a file may be sent.
    """
    faults = []
    try:
        for row in sheets.read(sheets.content(file), NEEDED, None, encoding):
            try:
                yield _line(row)
            except ValueError as error:
                faults.append(f"line {row.line}: {error}")
        if faults:
            more = f"; and {len(faults) - _TOLD:,} lines more" if len(faults) > _TOLD else ""
            raise ValueError("; ".join(faults[:_TOLD]) + more)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None


def _line(row: sheets.Row) -> SettlementLine:
    values = row.values
    if row.is_short:
        raise ValueError("it has fewer values than the first line")
    if row.fault:
        raise ValueError(" ".join(row.fault))
    gross, fee = _whole(values, "gross_minor_units"), _whole(values, "fee_minor_units")
    if values.get("net_minor_units") and _whole(values, "net_minor_units") != gross - fee:
        raise ValueError(
            f"net_minor_units is gross less fee, {gross - fee}, not {values['net_minor_units'][:_SHOWN]}"
        )
    currency = values["currency_code"].strip()
    line = SettlementLine(
        line_id=_text(values, "id"),
        kind=_kind(values["type"].strip()),
        charge_reference=values["charge_id"].strip(),
        operation_reference=values["operation_reference"].strip(),
        gross=Money(currency_code=currency, minor_units=gross),
        fee=Money(currency_code=currency, minor_units=fee),
    )
    created = _whole(values, "created")
    if not 0 <= created <= _LAST_SECOND:
        raise ValueError(f"created is a time in seconds since 1970, not {created}")
    line.time.seconds = created
    return line


def _kind(name: str) -> SettlementLineKind.ValueType:
    try:
        return KINDS[name]
    except KeyError:
        raise ValueError(f"type is one of {', '.join(KINDS)}, not {name[:_SHOWN]!r}") from None


def _text(values: dict[str, str], name: str) -> str:
    text = values[name].strip()
    if not text:
        raise ValueError(f"{name} is empty")
    return text


def _whole(values: dict[str, str], name: str) -> int:
    text = values[name].strip()
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{name} is a whole number, not {text[:_SHOWN]!r}")
    number = int(text)
    if abs(number) > 10**15:
        raise ValueError(f"{name} is too large: {number}")
    return number
