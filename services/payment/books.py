"""The SQL of the books, by name."""

from sqlalchemy import BigInteger, func, select

from services.payment.tables import ledger_entries
from services.runtime.statements import param, statement

_e = ledger_entries.c

TRIAL_BALANCE = statement(
    select(
        _e.currency_code,
        _e.account,
        func.sum(_e.debit_minor_units).cast(BigInteger).label("debits"),
        func.sum(_e.credit_minor_units).cast(BigInteger).label("credits"),
    )
    .where(_e.store_id == param("store_id"))
    .group_by(_e.currency_code, _e.account)
    .order_by(_e.currency_code, _e.account),
    "trial balance",
)
