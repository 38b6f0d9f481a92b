"""Row of walks: how many files of its service a request enters, which is what somebody opens to understand it."""

import json
from dataclasses import replace
from pathlib import Path

from services.cluster.cluster import Cluster
from services.runtime.definition import definitions
from tests.bench.figures import Figure, Limit
from tests.bench.house import House
from tests.shop import Clients, Shop, eventually

# No more than they are now; and what we would like, which only pages of a thousand lines would bring today.
LIMITS = {
    "CreateOrder": Limit(12, 7, at_most=True),
    "AuthorizePayment": Limit(19, 9, at_most=True),
    "IngestWebhook": Limit(16, 9, at_most=True),
}


async def walks(house: House) -> list[Figure]:
    """Orders that are confirmed by the reply and by a webhook: the longest walk of each RPC."""
    noted = house.folder / "walks"
    watched = [replace(each, module="tests.bench.walked") for each in definitions()]
    async with Cluster(
        house.folder / "walked", definitions=watched, environment={"WALKS": str(noted)}
    ) as cluster:
        clients = Clients(cluster)
        try:
            await _shop(Shop(clients))
            found = await eventually(lambda: _all(noted))
        finally:
            await clients.close()
    return [
        Figure(
            "walks",
            f"own files that {rpc} enters",
            len(found[rpc]),
            "files",
            limit,
            " ".join(found[rpc]),
        )
        for rpc, limit in LIMITS.items()
    ]


async def _shop(shop: Shop) -> None:
    """One order whose payment the reply tells of, and one of whose a webhook does."""
    for method in ("pm_sandbox_ok", "pm_sandbox_late_webhook"):
        await shop.order(method=method, until="CONFIRMED")


async def _all(noted: Path) -> dict[str, list[str]] | None:
    """The longest walk of each RPC; None while one is missing."""
    found: dict[str, list[str]] = {}
    for line in noted.read_text().splitlines():
        walk = json.loads(line)
        found[walk["rpc"]] = max(found.get(walk["rpc"], []), walk["files"], key=len)
    return found if found.keys() >= LIMITS.keys() else None
