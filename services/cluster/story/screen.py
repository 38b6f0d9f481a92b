"""The last screen: the delivered order, the refused ones, the balance and the waterfall."""

from __future__ import annotations

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from services.cluster import follow, waterfall
from services.cluster.story.clients import short
from services.cluster.story.shop import Shop, euros


async def show(shop: Shop, console: Console) -> None:
    order = await shop.order(shop.delivered)
    _heading(console, f"Delivered: order {shop.delivered}")
    for line in order["lines"]:
        total = euros(int(line["unitPrice"]["minorUnits"]) * line["quantity"])
        console.print(f"{line['quantity']} × {line['name']}, {total}", highlight=False)
    _print(console, ("", "state", "at", "step", "by"), [
        (event["sequence"], short(event["state"]), event["time"][11:23], event["step"], _actor(event["actor"]))
        for event in shop.events
    ])  # fmt: skip

    _heading(console, "Refused, as they should be")
    _print(console, ("asked", "ended", "reason"), [
        (refusal.asked, refusal.ended, refusal.reason.partition(" ")[0]) for refusal in shop.refusals
    ])  # fmt: skip

    _heading(console, "Trial balance")
    _print(console, ("account", "debits", "credits"), [
        (each["account"], euros(each["debits"]["minorUnits"]), euros(each["credits"]["minorUnits"]))
        for each in shop.balance["accounts"]
    ])  # fmt: skip
    (difference,) = shop.balance["differences"]
    console.print(f"debits − credits = {euros(difference['minorUnits'])}", highlight=False)

    steps = follow.by_trace((event["traceId"], event["step"]) for event in shop.events)
    for trace_id, spans in shop.traces.items():
        _heading(console, f"Trace of {', '.join(steps[trace_id])}: {trace_id}")
        waterfall.render(spans, console)


def _heading(console: Console, text: str) -> None:
    characters = "-" if console.options.ascii_only else "─"
    console.print()
    console.print(Rule(Text(text, "bold"), align="left", characters=characters, style="dim"))


def _print(console: Console, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _actor(actor: str) -> str:
    """A role and a subject; only the role says something here."""
    return actor.partition(" ")[0] if len(actor) > 30 else actor
