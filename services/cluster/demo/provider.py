"""The payment provider, seen from outside: its own book and report, and what customers and their banks do there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aiohttp

from services.cluster.demo.clients import CALL_SECONDS, new_id


class Provider:
    """The sandbox, with the key of the store's account."""

    def __init__(self, address: str, api_key: str) -> None:
        headers = {"authorization": f"Bearer {api_key}"}
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        self._http = aiohttp.ClientSession(f"http://{address}", headers=headers, timeout=timeout)

    async def close(self) -> None:
        await self._http.close()

    async def charges(self, order_ids: Iterable[str]) -> list[dict[str, Any]]:
        """Every charge in the book that was made for one of these orders."""
        wanted = set(order_ids)
        return [charge for charge in await self._all("/v1/book", "charges") if charge["reference"] in wanted]

    async def report(self, begin: int, end: int) -> list[dict[str, Any]]:
        """The settlement of a time, in Unix seconds: what each movement of money brought, and what it cost."""
        return await self._all("/v1/settlement", "lines", {"from": begin, "to": end})

    async def keeps(self, token: str) -> dict[str, Any] | None:
        """What the provider knows a payment method by; None when it knows it no more."""
        async with self._http.get(f"/v1/payment_methods/{token}") as answer:
            if answer.status == 404:
                return None
            answer.raise_for_status()
            known: dict[str, Any] = await answer.json()
            return known

    async def confirm(self, next_action_url: str, outcome: str = "pass") -> None:
        """What a customer does at the page of a 3-D Secure challenge: pass it, or fail."""
        await self._post(next_action_url, {"outcome": outcome})

    async def dispute(self, charge_id: str, amount: int, reason: str) -> dict[str, Any]:
        """What a customer's bank does, who takes back so many cents of a charge."""
        body = {"charge_id": charge_id, "amount_minor_units": amount, "reason": reason}
        return await self._post("/v1/disputes", body)

    async def decide(self, dispute_id: str, outcome: str) -> None:
        """The bank's last word on a dispute: won or lost."""
        await self._post(f"/v1/disputes/{dispute_id}", {"outcome": outcome})

    async def plant(self, kind: str, key: str) -> dict[str, Any]:
        """Makes the report wrong about an operation: the line as it is then, and as it was."""
        return await self._post("/v1/settlement/plant", {"kind": kind, "idempotency_key": key})

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._http.post(path, json=body, headers={"idempotency-key": new_id()}) as answer:
            answer.raise_for_status()
            told: dict[str, Any] = await answer.json()
            return told

    async def _all(self, path: str, name: str, asked: dict[str, int] | None = None) -> list[dict[str, Any]]:
        """Every page of a list."""
        found: list[dict[str, Any]] = []
        after: int | None = 0
        while after is not None:
            async with self._http.get(path, params={**(asked or {}), "after": after}) as answer:
                answer.raise_for_status()
                page = await answer.json()
            found += page[name]
            after = page["next_after"]
        return found
