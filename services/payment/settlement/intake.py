"""Settlements: a provider's report is taken in, in batches; and what was taken in, told.

A batch is one transaction. It locks its settlement, so that another stream of the same report waits; then it waits for
its turn among the provider's reports, for a line may change what lines of other reports are matched with.
"""

from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, NamedTuple
from uuid import UUID

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1 import settlement_service_pb2 as rpc

from services.payment.gateways.gateway import Gateway, Unfetched
from services.payment.gateways.registry import Gateways, unable
from services.payment.settlement import matching, queries
from services.payment.settlement.rules import Line
from services.runtime import times
from services.runtime.database import Row, Runs
from services.runtime.refusals import Refusal, invalid
from services.runtime.service import Runtime
from services.runtime.times import given_time
from services.runtime.validation import violations
from services.runtime.work import Work

BATCH = 1000
# Wherever on Earth, a day that has begun ends before then; who asks for more, asks for what nobody can report yet.
AHEAD = timedelta(days=2)


class Report(NamedTuple):
    """Which report is taken in."""

    settlement_id: str
    gateway: str
    begin_time: datetime
    end_time: datetime


class Settlements:
    """Takes reports in."""

    def __init__(self, runtime: Runtime, gateways: Gateways) -> None:
        self._runtime, self._gateways = runtime, gateways

    async def take_in(self, batch: rpc.ImportSettlementRequest, work: Work) -> None:
        """Have a batch of a report take effect; lines that are known change nothing.

        Refused with GATEWAY_UNKNOWN, SETTLEMENT_OUT_OF_ORDER or REQUEST_ID_REUSED.
        """
        self._gateways.named(batch.gateway)
        report = report_of(batch)
        begun = await _locked(report, work)
        if batch.batch > begun["batches"] + 1:
            raise Refusal(
                ErrorReason.ERROR_REASON_SETTLEMENT_OUT_OF_ORDER,
                f"The next batch is number {begun['batches'] + 1}",
                expected=begun["batches"] + 1,
            )
        if batch.lines:
            await work.rows(queries.TAKE_TURN, gateway=report.gateway)
            lines = [_line(line) for line in batch.lines]
            await matching.keep(lines, report.settlement_id, report.gateway, work)
        await work.rows(queries.COUNT, settlement_id=report.settlement_id, batch=batch.batch)

    async def fetch(self, request: rpc.FetchSettlementRequest) -> None:
        """Fetch a report and take it in, a batch at a time; between them, not within one, the provider is asked.

        Refused with GATEWAY_UNKNOWN, GATEWAY_UNABLE, GATEWAY_UNAVAILABLE or REQUEST_ID_REUSED.
        """
        gateway, report = self._gateways.named(request.gateway).unguarded, report_of(request)
        if not gateway.abilities.settlements:
            raise unable(gateway.code, "settlements", f"{gateway.code} sends no reports")
        # What is taken or given back while the report is read may be missing from it: it is begun before.
        await self._runtime.carry_out(partial(_begin, report))
        try:
            async for batch in _batches(gateway, request, report):
                await self._runtime.carry_out(partial(self.take_in, batch), "take lines in")
        except Unfetched as error:
            raise _unavailable(gateway.code, str(error)) from None


async def complete(request: rpc.ImportSettlementRequest | rpc.FetchSettlementRequest, db: Runs) -> str:
    """Note that a report has come to its end, and what it lacks; return its id."""
    report = report_of(request)
    begun = await _locked(report, db)
    await db.rows(queries.TAKE_TURN, gateway=report.gateway)
    await db.rows(
        queries.MISSING,
        settlement_id=report.settlement_id,
        gateway=report.gateway,
        begin_time=report.begin_time,
        before=min(report.end_time, begun["create_time"]),
        create_time=times.now(),
    )
    await db.rows(queries.COMPLETE, settlement_id=report.settlement_id)
    return report.settlement_id


def report_of(request: rpc.ImportSettlementRequest | rpc.FetchSettlementRequest) -> Report:
    """Return which report a request is about. Refused when its time is none."""
    begin, end = given_time(request, "begin_time"), given_time(request, "end_time")
    assert begin is not None  # The contract requires both.
    assert end is not None
    # Not rules of the contract: those know the machine's clock only.
    now = times.now()
    if begin > now:
        raise invalid("begin_time", "must have begun")
    if begin >= end:
        raise invalid("end_time", "must be after begin_time")
    if end > now + AHEAD:
        raise invalid("end_time", f"must be no later than {AHEAD.days} days from now")
    return Report(str(UUID(request.request_id)), request.gateway, begin, end)


async def _batches(
    gateway: Gateway, request: rpc.FetchSettlementRequest, report: Report
) -> AsyncIterator[rpc.ImportSettlementRequest]:
    """Yield a provider's report as it would be sent to us. Raises Unfetched."""
    lines: list[rpc.SettlementLine] = []
    numbers = count(1)

    def batch() -> rpc.ImportSettlementRequest:
        whole = rpc.ImportSettlementRequest(
            gateway=request.gateway,
            begin_time=request.begin_time,
            end_time=request.end_time,
            batch=next(numbers),
            lines=lines,
            request_id=request.request_id,
        )
        for field, text in violations(whole):
            raise Unfetched(f"{field}: {text}")
        lines.clear()
        return whole

    source: Any = gateway.settlement(report.begin_time, report.end_time)
    async with aclosing(source):
        async for line in source:
            lines.append(line)
            if len(lines) == BATCH:
                yield batch()
    if lines:
        yield batch()


async def _begin(report: Report, work: Work) -> None:
    await _locked(report, work)


async def _locked(report: Report, db: Runs) -> Row:
    """Return how far a report is; nobody else takes a batch of it in until the work ends."""
    row = await db.row(queries.LOCK, settlement_id=report.settlement_id)
    if row is None:
        await db.rows(queries.BEGIN, **report._asdict(), create_time=times.now())
        row = await db.row(queries.LOCK, settlement_id=report.settlement_id)
        assert row is not None
    if report[1:] != (row["gateway"], row["begin_time"], row["end_time"]):
        raise Refusal(
            ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
            "The request_id was used before with another report",
            request_id=report.settlement_id,
        )
    return row


def _line(line: rpc.SettlementLine) -> Line:
    time = given_time(line, "time")
    assert time is not None  # The contract requires it.
    return Line(
        line.line_id,
        line.kind,
        line.charge_reference,
        line.operation_reference,
        line.gross.currency_code,
        line.gross.minor_units,
        line.fee.minor_units,
        time,
    )


def _unavailable(gateway: str, cause: str) -> Refusal:
    return Refusal(
        ErrorReason.ERROR_REASON_GATEWAY_UNAVAILABLE,
        f"The gateway {gateway} did not send its whole report",
        gateway=gateway,
        cause=cause[:200],
    )
