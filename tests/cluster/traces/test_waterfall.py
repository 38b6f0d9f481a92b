"""The waterfall and the summary, of traces made up here."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from services.cluster.traces.spans import Span
from services.cluster.traces.waterfall import duration, parts, render, summary

BEGIN_NS = 1_700_000_000_000_000_000


def span(
    span_id: str, parent_id: str, service: str, name: str, start_ms: float, end_ms: float, **more: Any
) -> Span:
    return Span(
        **{"trace_id": "t", "instance": f"{service}-1", "kind": "server", **more},
        span_id=span_id,
        parent_id=parent_id,
        service=service,
        name=name,
        start_ns=BEGIN_NS + int(start_ms * 1e6),
        end_ns=BEGIN_NS + int(end_ms * 1e6),
    )


CHECKOUT = [
    span("1", "", "gateway", "POST /v1/orders", 0, 20),
    span("2", "1", "order", "commerce.order.v1.OrderService/CreateOrder", 2, 18),
    span("3", "2", "order", "SQL create_order", 5, 10, kind="client"),
    span("4", "2", "payment", "authorize", 30, 100, error="TimeoutError"),
]
SHIPMENT = [
    span("5", "1", "order", "commerce.order.v1.OrderService/ShipOrder", 192_000, 192_010),
    span("6", "5", "order", "SQL ship", 192_002, 192_004),
]


def drawn(spans: list[Span], **settings: Any) -> list[str]:
    out = io.StringIO()
    render(spans, Console(**{"file": out, "width": 100, "color_system": None, **settings}))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def columns(line: str) -> tuple[str, str]:
    """The service, and the name in its place in the tree."""
    return line[:14].strip(), line[14:].split("━")[0].rstrip()


def test_indents_each_span_under_its_parent() -> None:
    heading, *lines = drawn(CHECKOUT)

    assert heading == "start   4 spans, 100.0 ms"
    assert [columns(line) for line in lines] == [
        ("gateway", "POST /v1/orders"),
        ("order", "└ OrderService/CreateOrder"),
        ("order", "  ├ SQL create_order"),
        ("payment", "  └ ✗ authorize: TimeoutError"),
    ]
    assert [line.rsplit("  ", 1)[1].strip() for line in lines] == ["20.0 ms", "16.0 ms", "5.00 ms", "70.0 ms"]


def test_draws_bars_to_the_scale_of_their_part() -> None:
    _, gateway, _, _, payment = drawn(CHECKOUT)

    width = payment.count("━") / 0.7
    assert abs(gateway.count("━") - 0.2 * width) <= 1
    assert abs((payment.index("━") - gateway.index("━")) - 0.3 * width) <= 1


def test_cuts_a_long_pause_and_says_when_the_trace_went_on() -> None:
    lines = drawn(CHECKOUT + SHIPMENT)

    assert lines[5] == "+3 min 12 s   2 spans, 10.0 ms"
    assert [columns(line) for line in lines[6:]] == [
        ("order", "OrderService/ShipOrder"),
        ("order", "└ SQL ship"),
    ]
    assert [len(part) for part in parts(CHECKOUT + SHIPMENT)] == [4, 2]


def test_an_open_stream_neither_joins_parts_nor_stretches_them() -> None:
    lines = drawn([*CHECKOUT, *SHIPMENT, span("7", "1", "order", "WatchOrder", 1, 192_100)])

    assert lines[0] == "start   5 spans, 100.0 ms"
    assert lines[6] == "+3 min 12 s   2 spans, 10.0 ms"


def test_shows_a_stream_alone() -> None:
    assert drawn([span("7", "", "order", "WatchOrder", 0, 60_000)])[0] == "start   1 span, 1 min 0 s"


def test_puts_spans_whose_parent_never_came_under_a_line_of_their_own() -> None:
    _, *lines = drawn(
        [
            *CHECKOUT,
            span("8", "lost", "catalog", "SQL a", 40, 41),
            span("9", "lost", "catalog", "SQL b", 42, 43),
        ]
    )

    assert lines[4] == "…             … not received"
    assert [columns(line) for line in lines[5:]] == [("catalog", "├ SQL a"), ("catalog", "└ SQL b")]


def test_hangs_a_linked_trace_on_the_span_that_it_links_to() -> None:
    batch = span(
        "a", "z", "order", "reserve", 22, 29, trace_id="u", linked=True, links=(("t", "2"), ("v", "9"))
    )
    call = span("b", "a", "catalog", "ReserveStock", 23, 28, trace_id="u", linked=True)

    _, *lines = drawn([*CHECKOUT, batch, call])

    assert [columns(line) for line in lines[2:]] == [
        ("order", "  ├ SQL create_order"),
        ("order", "  ├ ∞ reserve"),
        ("catalog", "  │ └ ReserveStock"),
        ("payment", "  └ ✗ authorize: TimeoutError"),
    ]


def test_fits_the_terminal_and_stays_plain_without_colours() -> None:
    long = [span("1", "", "a-service-with-a-name", "x" * 300, 0, 1), *CHECKOUT[1:]]
    for width in (60, 80, 200):
        lines = drawn(long, width=width)
        assert all(len(line) < width for line in lines)
        assert "\x1b" not in "".join(lines)


def test_marks_errors_red_where_there_are_colours() -> None:
    lines = drawn(CHECKOUT, color_system="standard", force_terminal=True, no_color=False)

    assert "\x1b[31m✗ authorize" in lines[4] and "\x1b[31m" not in lines[1]


def test_lets_no_control_sequence_through() -> None:
    assert "\x1b" not in "".join(drawn([span("1", "", "evil\x1b[2J", "name\x1b]0;title\x07\n", 0, 1)]))


def test_uses_ascii_where_the_terminal_knows_nothing_else() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    render(CHECKOUT, Console(file=out, width=100))
    out.flush()


def test_says_when_there_is_nothing() -> None:
    assert drawn([]) == ["no spans"]
    assert str(summary([])) == "0 spans in 0 processes (), 0 hops, no errors, 0.00 ms"


def test_summarises_processes_and_hops() -> None:
    found = summary(CHECKOUT + SHIPMENT)

    assert found.services == ("gateway", "order", "payment")
    assert found.hops == (("gateway", "order"), ("order", "payment"))
    assert (found.processes, found.spans, found.errors) == (3, 6, 1)
    assert str(found) == ("6 spans in 3 processes (gateway, order, payment), 2 hops, 1 error, 3 min 12 s")


def test_writes_durations_to_be_read() -> None:
    given = (0.42, 12.34, 999.0, 1534.0, 192_000.0, 3_720_000.0)
    assert [duration(one) for one in given] == [
        "0.42 ms",
        "12.3 ms",
        "999.0 ms",
        "1.53 s",
        "3 min 12 s",
        "1 h 2 min",
    ]
