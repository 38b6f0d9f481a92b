"""The journal as a file, page by page: nothing is held but a page, and no transaction."""

from collections.abc import AsyncIterator

from commerce.payment.v1.ledger_service_pb2 import ExportFormat, ExportLedgerRequest

from services.payment.ledger import formats
from services.payment.ledger.queries import JOURNAL, NO_ID, between
from services.runtime import times
from services.runtime.database import Row, Runs

PAGE = 1_000
PIECE_BYTES = 64 * 1024
JSON_LINES = ExportFormat.EXPORT_FORMAT_JSON_LINES
KINDS = {
    ExportFormat.EXPORT_FORMAT_UNSPECIFIED: "text/csv; charset=utf-8",
    ExportFormat.EXPORT_FORMAT_CSV: "text/csv; charset=utf-8",
    JSON_LINES: "application/jsonl",
}


async def pieces(db: Runs, asked: ExportLedgerRequest) -> AsyncIterator[bytes]:
    """Yield the file in pieces of some 64 KiB: what was posted until now, the oldest transaction first.

    There is a piece even of an empty file.
    """
    lines = asked.format == JSON_LINES
    written, yielded = b"" if lines else formats.HEADER.encode(), False
    async for page in _pages(db, asked):
        written += (formats.json_lines_of(page) if lines else formats.csv_of(page)).encode()
        while len(written) >= PIECE_BYTES:
            yield written[:PIECE_BYTES]
            written, yielded = written[PIECE_BYTES:], True
    if written or not yielded:
        yield written


async def _pages(db: Runs, asked: ExportLedgerRequest) -> AsyncIterator[list[Row]]:
    begin, end = between(asked)
    time, transaction_id, position = begin, NO_ID, 0
    end = min(end, times.now())
    page: list[Row] = []
    while not page or len(page) == PAGE:
        page = await db.rows(
            JOURNAL,
            store_id=asked.store_id,
            after_time=time,
            after_id=transaction_id,
            after_position=position,
            before=end,
            size=PAGE,
        )
        if not page:
            return
        yield page
        last = page[-1]
        time, transaction_id, position = last["create_time"], last["transaction_id"], last["position"]
