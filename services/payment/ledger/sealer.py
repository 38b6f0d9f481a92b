"""The sealer: what was posted is chained, and added to the sums of its days, soon after; by one replica at a time."""

import asyncio
import random

from services.payment.ledger import seal_queries
from services.payment.ledger.chain_rules import Chains, Link
from services.runtime import logs
from services.runtime.database import HINDERED, Row
from services.runtime.service import Runtime
from services.runtime.work import Work

EVERY_SECONDS = 0.25
# After a look that found nothing: most shops sell nothing for most of the time.
QUIET_SECONDS = 1.0
# After a fault: balances are right without a seal, only slower.
LATER_SECONDS = 5.0
TRANSACTIONS = 2_000


class Sealer:
    """Seals the books of all stores."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            seconds = EVERY_SECONDS
            try:
                while (sealed := await self._seal()) == TRANSACTIONS:
                    pass
                seconds = EVERY_SECONDS if sealed else QUIET_SECONDS
            except (TimeoutError, *HINDERED) as error:
                logs.log.warning("the books wait for their seal", error=str(error))
            except Exception as error:
                logs.log.error("the books are not sealed", exc_info=error)
                seconds = LATER_SECONDS
            await asyncio.sleep(seconds * random.uniform(0.8, 1.2))

    async def _seal(self) -> int:
        """Seal some transactions. Return how many; all that there may be at once means that there may be more."""
        look = await self._runtime.database.row(seal_queries.UNSEALED)
        if look is None or not look["some"]:
            return 0
        sealed = 0

        async def record(work: Work) -> None:
            nonlocal sealed
            sealed = await seal(work)

        await self._runtime.carry_out(record, "seal the books")
        return sealed


async def seal(work: Work) -> int:
    """Seal what comes next, unless another replica is at it. Return how many transactions."""
    at = await work.row(seal_queries.SEAL_LOCKED)
    if at is None:
        return 0
    after = {"xid": at["xid"], "transaction_id": at["transaction_id"]}
    found = await work.rows(seal_queries.TO_SEAL, **after, size=TRANSACTIONS)
    if not found:
        return 0
    links = await _chained(work, found)
    last = found[-1]
    await work.rows(
        seal_queries.SEALED,
        **after,
        upto_xid=last["xid"],
        upto_transaction_id=last["transaction_id"],
        store_ids=[link.store_id for link in links],
        numbers=[link.number for link in links],
        transaction_ids=[link.transaction_id for link in links],
        hashes=[link.hash for link in links],
    )
    return len(found)


async def _chained(work: Work, found: list[Row]) -> list[Link]:
    stores = list({row["store_id"] for row in found})
    ends = await work.rows(seal_queries.CHAIN_ENDS, store_id=stores)
    chains = Chains({row["store_id"]: (row["number"], row["hash"]) for row in ends})
    return [chains.add(row["store_id"], row["transaction_id"], row["digest"]) for row in found]
