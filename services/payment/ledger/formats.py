"""The journal as text: CSV that no spreadsheet takes for formulas, and JSON lines. Pure."""

import csv
import json
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import Any

COLUMNS = (
    "transaction_id",
    "position",
    "kind",
    "account",
    "currency_code",
    "debit_minor_units",
    "credit_minor_units",
    "payment_id",
    "order_id",
    "product_id",
    "create_time",
)
HEADER = ",".join(COLUMNS) + "\r\n"
# What spreadsheets take the beginning of a formula for (OWASP, CSV injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def csv_of(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return entries as lines of CSV (RFC 4180), without the header."""
    text = StringIO()
    csv.writer(text).writerows([_cell(entry[column]) for column in COLUMNS] for entry in entries)
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else _text(value)
    return harmless(text)


def harmless(text: str) -> str:
    """Return a cell that is shown as it is: what could begin a formula has an apostrophe before it."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def json_lines_of(entries: Iterable[Mapping[str, Any]]) -> str:
    """Return entries as lines of JSON, each a LedgerEntry of the contract."""
    return "".join(json.dumps(_entry(each), separators=(",", ":")) + "\n" for each in entries)


def _entry(row: Mapping[str, Any]) -> dict[str, Any]:
    entry = {
        "transactionId": str(row["transaction_id"]),
        "position": row["position"],
        "kind": row["kind"],
        "account": row["account"],
    }
    for side in ("debit", "credit"):
        if row[f"{side}_minor_units"]:
            minor_units = str(row[f"{side}_minor_units"])
            entry[side] = {"currencyCode": row["currency_code"], "minorUnits": minor_units}
    for name, column in (
        ("paymentId", "payment_id"),
        ("orderId", "order_id"),
        ("productId", "product_id"),
    ):
        if row[column]:
            entry[name] = str(row[column])
    return entry | {"createTime": _text(row["create_time"])}


def _text(value: Any) -> str:
    """Return a value as text; a time in UTC (RFC 3339)."""
    if hasattr(value, "isoformat"):
        return str(value.isoformat()).replace("+00:00", "Z")
    return str(value)
