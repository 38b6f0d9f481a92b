"""The delivered order's traces: what they must show, and that nothing of them is missing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from services.cluster.demo.clients import short
from services.cluster.demo.shop import Shop
from services.cluster.demo.teller import expect
from services.cluster.traces import tracing, waterfall
from services.cluster.traces.spans import Span, Spans

# Of the trace that the order was placed in, and of the one that its first parcel was sent in: which process shows what.
PLACED = {
    ("gateway", "POST /v1/stores/"),
    ("order", "OrderService/CreateOrder"),
    ("customer", "CustomerService/GetCustomer"),
    ("catalog", "StockService/ReserveStock"),
    ("catalog", "SQL "),
    ("payment", "PaymentService/AuthorizePayment"),
    ("payment", "SQL "),
    ("payment", "POST sandbox"),
    ("payment", "publish PaymentAuthorized"),
    ("order", "react PaymentAuthorized"),
    ("order", "SQL "),
    ("order", "publish OrderConfirmed"),
}
SENT = {
    ("gateway", "POST /v1/orders/"),
    ("order", "publish OrderShipped"),
    ("payment", "react OrderShipped"),
    ("payment", "POST sandbox"),
    ("payment", "publish PaymentCaptured"),
}


async def show(shop: Shop) -> None:
    async with shop.teller.step("One trace, every hop") as step:
        timeline = await shop.admin.rest("GET", f"/v1/orders/{shop.delivered}/events")
        shop.events = timeline.body["events"]
        states = [short(event["state"]) for event in shop.events]
        expect("the timeline's last state", states[-1], "DELIVERED")
        steps = tracing.by_trace((event["traceId"], event["step"]) for event in shop.events)
        expect("the steps in the trace of the first call", steps[shop.trace_id][:2], ["create", "reserve"])
        expect("its last step", steps[shop.trace_id][-1], "authorize")
        sent = next(trace_id for trace_id, taken in steps.items() if "ship" in taken)
        for trace_id, wanted in ((shop.trace_id, PLACED), (sent, SENT)):
            await step.until("what the trace lacks", partial(_lacking, shop, trace_id, wanted), [])
        step.says(str(waterfall.summary(shop.traces[shop.trace_id])))


async def _lacking(shop: Shop, trace_id: str, wanted: set[tuple[str, str]]) -> list[str]:
    spans = shop.traces[trace_id] = Spans(shop.cluster.spans_file).trace(trace_id)
    return problems(spans, wanted)


def problems(spans: Sequence[Span], wanted: set[tuple[str, str]]) -> list[str]:
    """What a trace lacks: a span that was wanted, a parent, one root at the gateway. Empty when it is whole."""
    names = [(span.service, waterfall.title(span)) for span in spans]
    lacking = [
        f"{service}: {name}"
        for service, name in sorted(wanted)
        if not any(service == at and title.startswith(name) for at, title in names)
    ]
    known = {span.span_id for span in spans}
    lacking += [
        f"the parent of {span.name}" for span in spans if span.parent_id and span.parent_id not in known
    ]
    roots = [span.service for span in spans if not span.parent_id]
    if roots != ["gateway"]:
        lacking.append(f"one root at the gateway: {roots}")
    return lacking
