"""LedgerService: one method an RPC, in the order of the contract."""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1 import ledger_service_pb2 as rpc
from commerce.payment.v1.ledger_service_pb2_grpc import LedgerServiceServicer
from google.api.httpbody_pb2 import HttpBody

from services.payment.ledger import queries
from services.payment.ledger.export import KINDS, pieces
from services.payment.ledger.verification import audited
from services.runtime.database import Row
from services.runtime.pages import Pages
from services.runtime.times import given_time, timestamp
from services.runtime.work import Call


class LedgerService(LedgerServiceServicer):
    """The books."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    async def ListLedgerEntries(
        self, request: rpc.ListLedgerEntriesRequest, call: Call
    ) -> rpc.ListLedgerEntriesResponse:
        statement, values = queries.question(request, self._pages.position(request))
        found = await call.db.rows(statement, **values, size=self._pages.size(request) + 1)
        page, token = self._pages.cut(request, found, queries.place)
        return rpc.ListLedgerEntriesResponse(entries=map(_entry, page), next_page_token=token)

    async def GetAccountBalances(
        self, request: rpc.GetAccountBalancesRequest, call: Call
    ) -> rpc.GetAccountBalancesResponse:
        at = given_time(request, "at")
        found = await queries.balances(call.db, request.store_id, at)
        return rpc.GetAccountBalancesResponse(accounts=_balances(found))

    async def GetTrialBalance(
        self, request: rpc.GetTrialBalanceRequest, call: Call
    ) -> rpc.GetTrialBalanceResponse:
        found = await queries.balances(call.db, request.store_id)
        return rpc.GetTrialBalanceResponse(accounts=_balances(found), differences=_differences(found))

    async def ExportLedger(self, request: rpc.ExportLedgerRequest, call: Call) -> AsyncIterator[HttpBody]:
        kind = KINDS[request.format]
        async for piece in pieces(call.db, request):
            yield HttpBody(content_type=kind, data=piece)
            kind = ""  # The first piece says it for all.

    async def VerifyLedger(self, request: rpc.VerifyLedgerRequest, call: Call) -> rpc.VerifyLedgerResponse:
        found = await audited(call.db, request.store_id, request.after_number)
        return rpc.VerifyLedgerResponse(
            number=found.number,
            hash=found.hash.hex(),
            intact=not found.broken,
            broken_number=found.broken,
            more=found.more,
        )


def _entry(row: Row) -> rpc.LedgerEntry:
    debit, credit = row["debit_minor_units"], row["credit_minor_units"]
    currency = row["currency_code"]
    return rpc.LedgerEntry(
        transaction_id=str(row["transaction_id"]),
        position=row["position"],
        kind=row["kind"],
        account=row["account"],
        debit=Money(currency_code=currency, minor_units=debit) if debit else None,
        credit=Money(currency_code=currency, minor_units=credit) if credit else None,
        payment_id=str(row["payment_id"] or ""),
        order_id=str(row["order_id"] or ""),
        product_id=str(row["product_id"] or ""),
        create_time=timestamp(row["create_time"]),
    )


def _balances(found: Sequence[Row]) -> list[rpc.AccountBalance]:
    return [
        rpc.AccountBalance(
            account=row["account"],
            debits=Money(currency_code=row["currency_code"], minor_units=row["debits"]),
            credits=Money(currency_code=row["currency_code"], minor_units=row["credits"]),
        )
        for row in found
    ]


def _differences(found: Sequence[Row]) -> list[Money]:
    sums: defaultdict[str, int] = defaultdict(int)
    for row in found:
        sums[row["currency_code"]] += row["debits"] - row["credits"]
    return [Money(currency_code=currency, minor_units=difference) for currency, difference in sums.items()]
