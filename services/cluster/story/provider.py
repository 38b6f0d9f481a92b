"""The payment provider, seen from outside: its own book, and what customers do on its pages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import aiohttp

from services.cluster.story.clients import CALL_SECONDS


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
        wanted, found = set(order_ids), []
        after: int | None = 0
        while after is not None:
            async with self._http.get("/v1/book", params={"after": after}) as answer:
                answer.raise_for_status()
                page = await answer.json()
            found += [charge for charge in page["charges"] if charge["reference"] in wanted]
            after = page["next_after"]
        return found

    async def confirm(self, next_action_url: str) -> None:
        """What a customer does at the page of a 3-D Secure challenge."""
        async with self._http.post(next_action_url, json={"outcome": "pass"}) as answer:
            answer.raise_for_status()
