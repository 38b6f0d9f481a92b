"""`commerce import`: products from a CSV file, through the gateway's gRPC, as a client sends them."""

from __future__ import annotations

import asyncio
import csv
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc.aio
from commerce.catalog.v1.catalog_pb2 import Import
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

from services.cluster.follow import CALL_SECONDS, gateway
from services.cluster.home import Home, HomeError
from services.cluster.processes import backoff_seconds

NEEDED = ("sku", "name", "price", "currency")
OPTIONAL = ("quantity", "category_id", "tax_class")
BATCH = 500
TRIES = 10
LOOK_SECONDS = 0.3
# A replica that stops, or dies; the import goes on where it was.
BROKEN_OFF = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.CANCELLED)


async def bring(home: Home, store_id: str, file: Path, import_id: str, console: Console) -> bool:
    """Import a file's rows, show how far it is, then each row that was refused. Return whether all were taken.

    Raises ValueError for a file or an id that cannot be read, HomeError when the import is refused.
    """
    rows = list(read(file))
    store_id, import_id = _uuid("STORE_ID", store_id), _uuid("--import-id", import_id or str(uuid.uuid4()))
    console.print(f"import {import_id}: {len(rows):,} rows", highlight=False, soft_wrap=True)
    async with gateway(home) as (channel, metadata):
        sender = _Sender(ImportServiceStub(channel), metadata, store_id, import_id)
        try:
            whole = await sender.send(rows, console)
            async for error in sender.errors():
                at = f"row {error.row}  {error.sku}  {error.field}: {error.reason}"
                console.print(at, highlight=False, soft_wrap=True, markup=False)
        except grpc.aio.AioRpcError as error:
            again = f"go on with: --import-id {import_id}"
            raise HomeError(f"{error.code().name}: {error.details()}; {again}") from None
    told = ", ".join(
        f"{getattr(whole, name):,} {name}" for name in ("created", "updated", "unchanged", "failed")
    )
    console.print(f"{whole.rows:,} rows: {told}", highlight=False, soft_wrap=True)
    return not whole.failed


def read(file: Path) -> Iterator[ImportRow]:
    """Yield the rows of a CSV file with a header. Raises ValueError for the first that is no row, with its line."""
    with file.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.DictReader(text, strict=True)
        header = reader.fieldnames or ()
        if missing := [name for name in NEEDED if name not in header]:
            raise ValueError(f"{file}: its first line lacks {', '.join(missing)}")
        if unknown := [name for name in header if name not in NEEDED + OPTIONAL]:
            raise ValueError(
                f"{file}: nobody knows what {', '.join(unknown)} is; there are {', '.join(NEEDED + OPTIONAL)}"
            )
        try:
            for values in reader:
                yield _row(values)
        except (ValueError, csv.Error) as error:
            raise ValueError(f"{file}, line {reader.line_num}: {error}") from None


def _row(values: dict[Any, Any]) -> ImportRow:
    if None in values or None in values.values():
        raise ValueError("it has more or fewer values than the first line")
    quantity = values.get("quantity", "")
    return ImportRow(
        sku=values["sku"],
        name=values["name"],
        price=Money(currency_code=values["currency"], minor_units=_whole("price", values["price"])),
        quantity=_whole("quantity", quantity) if quantity else None,
        category_id=values.get("category_id", ""),
        tax_class=values.get("tax_class", ""),
    )


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        units = ", in minor units (1999 is 19.99 EUR)" if name == "price" else ""
        raise ValueError(f"{name} is a whole number{units}, not {text!r}") from None


def _uuid(name: str, text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise ValueError(f"{name} is no UUID: {text}") from None


class _Sender:
    """One import, until all of it was taken in."""

    def __init__(self, stub: ImportServiceStub, metadata: Any, store_id: str, import_id: str) -> None:
        self._stub: Any = stub
        self._metadata, self._store_id, self._import_id = metadata, store_id, import_id

    async def send(self, rows: Sequence[ImportRow], console: Console) -> Import:
        """Send the rows, from the first batch that was not taken in; again after a break."""
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            looking = asyncio.create_task(self._look(bar, len(rows)))
            try:
                return await self._try(rows)
            finally:
                looking.cancel()

    async def _try(self, rows: Sequence[ImportRow]) -> Import:
        tries = 0
        while True:
            try:
                so_far = (await self.progress()).batches
                batches = self._batches(rows, so_far)
                reply = await self._stub.ImportProducts(batches, metadata=self._metadata)
                whole: Import = reply.product_import
                return whole
            except grpc.aio.AioRpcError as error:
                tries += 1
                if error.code() not in BROKEN_OFF or tries == TRIES:
                    raise
                await asyncio.sleep(backoff_seconds(tries))

    def _batches(self, rows: Sequence[ImportRow], after: int) -> Iterator[ImportProductsRequest]:
        """Yield the batches after so many, and at least the last one: it says what the import is."""
        last = max(1, -(-len(rows) // BATCH))
        for number in range(min(after + 1, last), last + 1):
            yield ImportProductsRequest(
                store_id=self._store_id,
                request_id=self._import_id,
                batch=number,
                rows=rows[(number - 1) * BATCH : number * BATCH],
            )

    async def progress(self) -> Import:
        """How far it is; an empty one when nothing was taken in."""
        request = GetImportRequest(store_id=self._store_id, import_id=self._import_id)
        try:
            reply = await self._stub.GetImport(request, metadata=self._metadata, timeout=CALL_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return Import()
            raise
        found: Import = reply.product_import
        return found

    async def errors(self) -> AsyncIterator[Any]:
        """Yield the rows that were refused."""
        token = ""
        while True:
            request = ListImportErrorsRequest(
                store_id=self._store_id, import_id=self._import_id, page_size=500, page_token=token
            )
            page = await self._stub.ListImportErrors(request, metadata=self._metadata, timeout=CALL_SECONDS)
            for error in page.errors:
                yield error
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
