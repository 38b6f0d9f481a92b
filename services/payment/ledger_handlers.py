"""LedgerService: one method an RPC, in the order of the contract."""

from collections import defaultdict

from commerce.common.v1.money_pb2 import Money
from commerce.payment.v1 import ledger_service_pb2 as rpc
from commerce.payment.v1.ledger_service_pb2_grpc import LedgerServiceServicer

from services.payment import books
from services.runtime.work import Call


class LedgerService(LedgerServiceServicer):
    """The books."""

    async def GetTrialBalance(
        self, request: rpc.GetTrialBalanceRequest, call: Call
    ) -> rpc.GetTrialBalanceResponse:
        found = await call.db.rows(books.TRIAL_BALANCE, store_id=request.store_id)
        reply = rpc.GetTrialBalanceResponse()
        differences: defaultdict[str, int] = defaultdict(int)
        for row in found:
            currency, debits, credits = row["currency_code"], row["debits"], row["credits"]
            differences[currency] += debits - credits
            reply.accounts.append(
                rpc.AccountBalance(
                    account=row["account"],
                    debits=Money(currency_code=currency, minor_units=debits),
                    credits=Money(currency_code=currency, minor_units=credits),
                )
            )
        reply.differences.extend(
            Money(currency_code=currency, minor_units=difference)
            for currency, difference in differences.items()
        )
        return reply
