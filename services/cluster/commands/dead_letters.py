"""`commerce dead-letters`: events that could not take effect, and the way to give them another chance."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import asyncpg
import nats
from rich.console import Console

from services.cluster.home import Home
from services.cluster.output import Output, checked_id, print_json, print_list

SHOWN = 1_000


async def show(home: Home, output: Output, console: Console) -> None:
    """Print each dead letter: whose it is, what it is, since when, and why it could not take effect."""
    letters = await _letters(home.state())
    records = [_record(letter) for letter in letters]
    print_list(
        console, output, records, records, "there are no dead letters", "dead-letters --replay EVENT_ID"
    )


def _record(letter: dict[str, Any]) -> dict[str, str]:
    return {
        "event": str(letter["event_id"]),
        "type": letter["type"],
        "service": letter["service"],
        "since": f"{letter['create_time']:%Y-%m-%d %H:%M:%S} UTC",
        "reason": letter["reason"],
    }


async def replay(home: Home, wanted: str, output: Output, console: Console) -> None:
    """Send one dead letter, by its event id, or "all" again. It takes effect, or comes back with its reason."""
    state = home.state()
    wanted = wanted if wanted == "all" else checked_id(wanted, "an event's id")
    letters = [letter for letter in await _letters(state) if wanted in ("all", str(letter["event_id"]))]
    if not letters:
        raise ValueError(
            f"there is no dead letter {wanted}" if wanted != "all" else "there are no dead letters"
        )
    client = await nats.connect(state["nats"], connect_timeout=2, allow_reconnect=False)
    database = await asyncpg.connect(state["database"])
    try:
        for letter in letters:
            # Under a message id of its own: JetStream would take it for the one that it has seen.
            await client.jetstream().publish(letter["type"], letter["payload"], headers=_headers(letter))
            await database.execute(
                f'DELETE FROM "{letter["service"]}".dead_letters WHERE event_id = $1', letter["event_id"]
            )
            if output is Output.TEXT:
                said = f"sent again: {letter['event_id']}  {letter['type']}"
                console.print(said, highlight=False, soft_wrap=True)
    finally:
        await database.close()
        await client.close()
    if output is Output.JSON:
        print_json([_record(letter) for letter in letters])


async def _letters(state: dict[str, Any]) -> Sequence[dict[str, Any]]:
    database = await asyncpg.connect(state["database"])
    try:
        found = []
        for code in state["services"]:
            rows = await database.fetch(
                f'SELECT * FROM "{code}".dead_letters ORDER BY create_time LIMIT {SHOWN}'
            )
            found += [{**row, "service": code} for row in rows]
        return found
    finally:
        await database.close()


def _headers(letter: dict[str, Any]) -> dict[str, str]:
    headers = {
        "Nats-Msg-Id": str(uuid.uuid4()),
        "ce-specversion": "1.0",
        "ce-id": str(letter["event_id"]),
        "ce-source": f"/commerce/{letter['service']}/dead-letters",
        "ce-type": letter["type"],
        "content-type": "application/protobuf",
    }
    return headers | ({"traceparent": letter["traceparent"]} if letter["traceparent"] else {})
