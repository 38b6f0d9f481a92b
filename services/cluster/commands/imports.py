"""`commerce import`: products from a CSV file, through the gateway's gRPC, as a client sends them."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import grpc.aio
from commerce.catalog.v1.catalog_pb2 import Import, ImportError
from commerce.catalog.v1.catalog_service_pb2 import (
    GetImportRequest,
    ImportProductsRequest,
    ImportRow,
    ListImportErrorsRequest,
)
from commerce.catalog.v1.catalog_service_pb2_grpc import ImportServiceStub
from commerce.common.v1.money_pb2 import Money
from rich.console import Console
from rich.progress import Progress

from services.cluster.commands import sheets
from services.cluster.commands.gateway import LISTED, Options, again_after_breaks, gateway, words_of
from services.cluster.home import Home, HomeError
from services.cluster.output import Output, checked_id, counted, print_json, to_dict

NEEDED = ("sku", "name", "price", "currency")
OPTIONAL = ("quantity", "category_id", "tax_class")
BATCH = 500
# What the messages have room for; the contract's own bounds are told by the catalog.
LARGEST = {"price": 2**63 - 1, "quantity": 2**31 - 1}
# The file's words for what the contract calls otherwise.
_COLUMNS = {"price.currency_code": "currency", "price.minor_units": "price"}
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})")
# 3E-12 may be somebody's shelf; 3.00E-12 is what a spreadsheet has made of it.
_SHORTENED = re.compile(r"[+-]?[0-9](?:(?:[.,][0-9]+)?E\+?|[.,][0-9]+E-)[0-9]+", re.IGNORECASE)
LOOK_SECONDS = 0.3


class Fault(NamedTuple):
    """Why a row of the file cannot be sent, or was refused."""

    line: int
    sku: str
    field: str
    reason: str


@dataclass(slots=True)
class Sheet:
    """The rows of a file that can be sent, each with its line; and why the others cannot."""

    rows: list[ImportRow] = field(default_factory=list)
    lines: list[int] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


async def bring(
    home: Home,
    store_id: str,
    file: Path,
    import_id: str,
    console: Console,
    encoding: str = "",
    all_or_none: bool = False,
    output: Output = Output.TEXT,
) -> bool:
    """Import a file's rows, show how far it is, then each row that was refused. Return whether all were taken.

    Raises ValueError for a file or an id that cannot be read, HomeError when the import is refused.
    """
    sheet = read(file, encoding)
    store_id, import_id = (
        checked_id(store_id, "a store's id"),
        checked_id(import_id or str(uuid.uuid4()), "an import's id"),
    )
    total = len(sheet.rows) + len(sheet.faults)
    console.print(f"import {import_id}: {counted(total, 'row')}", highlight=False, soft_wrap=True)
    async with gateway(home) as (channel, options):
        sender = _Sender(ImportServiceStub(channel), options, store_id, import_id)
        try:
            if all_or_none and (faults := sheet.faults + await sender.judge(sheet)):
                _tell(faults, console)
                _say(console, f"{counted(total, 'row')}: nothing was taken in, for {len(faults):,} cannot be")
                _answer(output, Import(import_id=import_id), faults)
                return False
            whole = await sender.send(sheet.rows, console)
            faults = sheet.faults + [each async for each in sender.errors(sheet)]
            _tell(faults, console)
        except grpc.aio.AioRpcError as error:
            raise HomeError(f"{words_of(error)}; go on with: --import-id {import_id}") from None
        except asyncio.CancelledError:
            _say(console, f"interrupted; go on with: --import-id {import_id}")
            raise
    failed = whole.failed + len(sheet.faults)
    told = ", ".join(f"{getattr(whole, name):,} {name}" for name in ("created", "updated", "unchanged"))
    _say(console, f"{counted(total, 'row')}: {told}, {failed:,} failed")
    _answer(output, whole, faults)
    return not failed


def _answer(output: Output, whole: Import, faults: list[Fault]) -> None:
    if output is Output.JSON:
        print_json({"import": to_dict(whole), "faults": [each._asdict() for each in sorted(faults)]})


def _tell(faults: list[Fault], console: Console) -> None:
    for each in sorted(faults):
        _say(console, f"line {each.line}  {each.sku}  {each.field}: {each.reason}")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)


def read(file: Path, encoding: str = "") -> Sheet:
    """Read the rows of a CSV file with a header. Raises ValueError when it cannot be told which rows it has."""
    sheet = Sheet()
    try:
        for row in sheets.read(sheets.content(file), NEEDED, OPTIONAL, encoding):
            try:
                sheet.rows.append(_row(row))
                sheet.lines.append(row.line)
            except _Unreadable as fault:
                sheet.faults.append(Fault(row.line, row.values["sku"].strip()[:64], *fault.args))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return sheet


class _Unreadable(Exception):
    """A row says something that nobody can be certain of: the field, and what is wrong with it."""


def _row(row: sheets.Row) -> ImportRow:
    values = row.values
    if row.fault:
        raise _Unreadable(*row.fault)
    if _SHORTENED.fullmatch(values["sku"].strip()):
        raise _Unreadable(
            "sku", "is a number that a spreadsheet has shortened: have its column hold text, not numbers"
        )
    quantity = values.get("quantity", "").strip()
    return ImportRow(
        sku=values["sku"],
        name=values["name"],
        price=Money(currency_code=values["currency"].strip(), minor_units=_price(values["price"])),
        quantity=_whole("quantity", quantity, "must be a whole number of units") if quantity else None,
        category_id=values.get("category_id", "").strip(),
        tax_class=values.get("tax_class", ""),
    )


def _price(text: str) -> int:
    return _whole("price", text.strip(), "must be in whole minor units (1999 is 19.99 EUR, or 1999 JPY)")


def _whole(name: str, text: str, must: str) -> int:
    """Read a whole number that can be no other: what has a point, a comma, a gap or an exponent could."""
    if not _WHOLE.fullmatch(text):
        raise _Unreadable(name, f"{must}, not {text[:40]!r}" if text else f"{must}, and is missing")
    number = int(text)
    if abs(number) > LARGEST[name]:
        raise _Unreadable(name, f"is too large: {text}")
    return number


def _fault(sheet: Sheet, error: ImportError) -> Fault:
    return Fault(sheet.lines[error.row - 1], error.sku, _COLUMNS.get(error.field, error.field), error.reason)


class _Sender:
    """One import, until all of it was taken in."""

    def __init__(self, stub: ImportServiceStub, options: Options, store_id: str, import_id: str) -> None:
        self._stub: Any = stub
        self._options, self._store_id, self._import_id = options, store_id, import_id

    async def send(self, rows: Sequence[ImportRow], console: Console) -> Import:
        """Send the rows, from the first batch that was not taken in; again after a break."""
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            looking = asyncio.create_task(self._look(bar, len(rows)))
            try:
                return await again_after_breaks(lambda: self._go_on(rows))
            finally:
                looking.cancel()

    async def _go_on(self, rows: Sequence[ImportRow]) -> Import:
        """Send what was not taken in yet, and return the whole import."""
        batches = self._batches(rows, (await self.progress()).batches)
        reply = await self._stub.ImportProducts(batches, metadata=self._options["metadata"])
        whole: Import = reply.product_import
        return whole

    def _batches(
        self, rows: Sequence[ImportRow], after: int, validate_only: bool = False
    ) -> Iterator[ImportProductsRequest]:
        """Yield the batches after so many, and at least the last one: it says what the import is."""
        last = max(1, -(-len(rows) // BATCH))
        for number in range(min(after + 1, last), last + 1):
            yield ImportProductsRequest(
                store_id=self._store_id,
                request_id=self._import_id,
                batch=number,
                rows=rows[(number - 1) * BATCH : number * BATCH],
                validate_only=validate_only,
            )

    async def progress(self) -> Import:
        """How far it is; an empty one when nothing was taken in."""
        request = GetImportRequest(store_id=self._store_id, import_id=self._import_id)
        try:
            reply = await self._stub.GetImport(request, **self._options)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return Import()
            raise
        found: Import = reply.product_import
        return found

    async def judge(self, sheet: Sheet) -> list[Fault]:
        """Return why rows would be refused; nothing of them is taken in."""
        reply = await self._stub.ImportProducts(
            self._batches(sheet.rows, 0, validate_only=True), metadata=self._options["metadata"]
        )
        return [_fault(sheet, each) for each in reply.errors]

    async def errors(self, sheet: Sheet) -> AsyncIterator[Fault]:
        """Yield the rows that were refused."""
        token = ""
        while True:
            request = ListImportErrorsRequest(
                store_id=self._store_id, import_id=self._import_id, page_size=LISTED, page_token=token
            )
            page = await self._stub.ListImportErrors(request, **self._options)
            for error in page.errors:
                yield _fault(sheet, error)
            token = page.next_page_token
            if not token:
                return

    async def _look(self, bar: Progress, total: int) -> None:
        """Show how many rows were taken in, again and again; a break shows as a pause."""
        task = bar.add_task("taken in", total=total)
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            with suppress(grpc.aio.AioRpcError):
                bar.update(task, completed=(await self.progress()).rows)
