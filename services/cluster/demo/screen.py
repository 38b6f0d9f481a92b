"""The last screen: the delivered order, the refused ones, the books and the waterfall."""

from __future__ import annotations

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from services.cluster.demo.clients import short
from services.cluster.demo.pricing import equation
from services.cluster.demo.shop import Shop, cents, euros, plain
from services.cluster.traces import tracing, waterfall


async def show(shop: Shop, console: Console) -> None:
    order = await shop.order(shop.delivered)
    _heading(console, f"Delivered: order {shop.delivered}")
    _print(console, ("", "price", "discount", "tax", "rate"), [
        (
            f"{line['quantity']} × {line['name']}",
            plain(line["quantity"] * cents(line["unitPrice"])),
            plain(-cents(line["discount"])),
            plain(cents(line["tax"])),
            f"{line['taxRatePpm'] / 10_000:g} %",
        )
        for line in order["lines"]
    ], right=True)  # fmt: skip
    back = euros(cents(order["refunded"]))
    console.print(f"{equation(order)}; {back} refunded", highlight=False)
    console.print()
    _print(console, ("", "state", "at", "step", "by", "trace"), [
        (
            event["sequence"],
            short(event["state"]),
            event["time"][11:23],
            event["step"],
            _actor(event["actor"]),
            event["traceId"][:8],
        )
        for event in shop.events
    ])  # fmt: skip

    _heading(console, "Refused or expired, as it should be")
    _print(console, ("asked", "ended", "reason"), [
        (refusal.asked, refusal.ended, refusal.reason) for refusal in shop.refusals
    ])  # fmt: skip

    _heading(console, "Trial balance")
    _print(console, ("account", "debits", "credits"), [
        (each["account"], euros(cents(each["debits"])), euros(cents(each["credits"])))
        for each in shop.balance["accounts"]
    ])  # fmt: skip
    (difference,) = shop.balance["differences"]
    console.print(f"debits − credits = {euros(cents(difference))}", highlight=False)

    _heading(console, f"The provider's report: settlement {shop.settlement['settlementId']}")
    _print(console, ("charge", "differs in", "ours", "the report's"), [
        (
            each["chargeReference"],
            each["reason"].removeprefix("DISCREPANCY_REASON_").lower(),
            euros(cents(each["ours"])),
            euros(cents(each["theirs"])),
        )
        for each in shop.discrepancies
    ])  # fmt: skip
    (net,), (fees,) = shop.settlement["net"], shop.settlement["fees"]
    counts = "{matched} of {lines} lines agree".format(**shop.settlement)
    console.print(f"{counts}; net {euros(cents(net))}, fees {euros(cents(fees))}", highlight=False)

    steps = tracing.by_trace((event["traceId"], event["step"]) for event in shop.events)
    for trace_id, spans in shop.traces.items():
        _heading(console, f"Trace of {', '.join(steps[trace_id])}: {trace_id}")
        if trace_id == shop.trace_id:
            waterfall.render(spans, console)
        else:
            console.print(str(waterfall.summary(spans)), highlight=False)


def _heading(console: Console, text: str) -> None:
    characters = "-" if console.options.ascii_only else "─"
    console.print()
    console.print(Rule(Text(text, "bold"), align="left", characters=characters, style="dim"))


def _print(
    console: Console, headings: tuple[str, ...], rows: list[tuple[str, ...]], right: bool = False
) -> None:
    """Prints a table; `right` aligns all columns but the first to the right."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in headings:
        table.add_column(heading, justify="right" if right and heading else "left")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _actor(actor: str) -> str:
    """A role and a subject; only the role says something here."""
    return actor.partition(" ")[0] if len(actor) > 30 else actor
