"""A provider's report as CSV: the sandbox's own format."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


def read(file: Path) -> Iterator[SettlementLine]:
    """Yield the lines of a file with a header. Raises ValueError for the first that is none: its line and field."""
    try:
        text = sheets.decode(file.read_bytes())
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    header = reader.fieldnames or ()
    if missing := [name for name in NEEDED if name not in header]:
        raise ValueError(f"{file}: its first line lacks {', '.join(missing)}")
    try:
        for values in reader:
            yield _line(values)
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{file}, line {reader.line_num}: {error}") from None


def _line(values: dict[Any, Any]) -> SettlementLine:
    if None in values or None in values.values():
        raise ValueError("it has more or fewer values than the first line")
    gross, fee = _whole(values, "gross_minor_units"), _whole(values, "fee_minor_units")
    if values.get("net_minor_units") and _whole(values, "net_minor_units") != gross - fee:
        raise ValueError(f"net_minor_units is gross less fee, {gross - fee}, not {values['net_minor_units']}")
    currency = values["currency_code"]
    line = SettlementLine(
        line_id=_text(values, "id"),
        kind=_kind(values["type"]),
        charge_reference=values["charge_id"],
        operation_reference=values["operation_reference"],
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
        raise ValueError(f"type is one of {', '.join(KINDS)}, not {name!r}") from None


def _text(values: dict[str, str], name: str) -> str:
    if not values[name]:
        raise ValueError(f"{name} is empty")
    return values[name]


def _whole(values: dict[str, str], name: str) -> int:
    text = values[name].strip()
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{name} is a whole number, not {values[name]!r}")
    number = int(text)
    if abs(number) > 10**15:
        raise ValueError(f"{name} is too large: {number}")
    return number
