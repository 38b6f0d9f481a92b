"""A trace as a waterfall for a terminal.

An order's trace may pause for minutes, until somebody ships it. So it is cut into parts wherever nothing was
going on for half a second, and each part has a time scale of its own and says when it began.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from services.cluster.traces.spans import Span

PAUSE_NS = 500_000_000
# A stream that is held open is not activity: it does not keep a part together.
STREAM_NS = 10_000_000_000
COLOURS = ("cyan", "green", "magenta", "blue", "yellow", "bright_cyan", "bright_green", "bright_magenta")
# The gateway's attribute: the verb of a call that became an RPC, and its path's template. Others have no verb.
REST = "commerce.rest"
PARAMETER = re.compile(r"\{\w+\}")
SERVICE_WIDTH = 14
DURATION_WIDTH = 10
BAR_SHARE = 0.32


@dataclass(frozen=True, slots=True)
class Glyphs:
    bar: str
    last: str
    middle: str
    down: str
    missing: str
    failed: str
    linked: str
    cut: str


UNICODE = Glyphs("━", "└ ", "├ ", "│ ", "…", "✗", "∞", "…")
ASCII = Glyphs("=", "`-", "|-", "| ", "...", "!", "&", "~")


@dataclass(frozen=True, slots=True)
class Summary:
    """What a trace went through. `hops` are the steps from one service to another, in their first order."""

    services: tuple[str, ...]
    processes: int
    spans: int
    hops: tuple[tuple[str, str], ...]
    errors: int
    first_to_last_ms: float

    def __str__(self) -> str:
        return (
            f"{self.spans} spans in {self.processes} processes ({', '.join(self.services)}), "
            f"{len(self.hops)} hops, {self.errors or 'no'} {'error' if self.errors == 1 else 'errors'}, "
            f"{duration(self.first_to_last_ms)}"
        )


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the tree: a span and what is drawn before its name. No span: a parent that never came."""

    span: Span | None
    branch: str


def render(spans: Sequence[Span], console: Console) -> None:
    """Prints the spans of one trace, and those linked to it, as wide as the console is."""
    if not spans:
        console.print("no spans")
        return
    glyphs = ASCII if console.options.ascii_only else UNICODE
    services = {service: place for place, service in enumerate(summary(spans).services)}
    begin = min(span.start_ns for span in spans)
    for part in parts(spans):
        start = min(span.start_ns for span in part)
        ends = [span.end_ns for span in part if not _is_stream(span)]
        end = max(ends or [span.end_ns for span in part])
        _print(console, _heading(start - begin, end - start, len(part)))
        for row in tree(part, {span.span_id for span in spans}, glyphs):
            _print(console, _line(row, start, max(end - start, 1), services, console.width - 1, glyphs))


def summary(spans: Sequence[Span]) -> Summary:
    """Counts a trace."""
    ordered = sorted(spans, key=lambda span: span.start_ns)
    service_of = {span.span_id: span.service for span in ordered}
    hops = (
        (service_of[above], span.service)
        for span in ordered
        if (above := _parent(span, service_of)) in service_of and service_of[above] != span.service
    )
    last = max((span.end_ns for span in ordered), default=0)
    return Summary(
        services=tuple(dict.fromkeys(span.service for span in ordered)),
        processes=len({(span.service, span.instance) for span in ordered}),
        spans=len(ordered),
        hops=tuple(dict.fromkeys(hops)),
        errors=sum(span.error is not None for span in ordered),
        first_to_last_ms=(last - ordered[0].start_ns) / 1e6 if ordered else 0.0,
    )


def parts(spans: Sequence[Span]) -> list[list[Span]]:
    """The spans by start, cut wherever none of them was running for PAUSE_NS."""
    found: list[list[Span]] = []
    quiet_from = 0
    for span in sorted(spans, key=lambda span: (span.start_ns, -span.end_ns)):
        if not found or span.start_ns - quiet_from > PAUSE_NS:
            found.append([])
        found[-1].append(span)
        quiet_from = max(quiet_from, span.start_ns if _is_stream(span) else span.end_ns)
    return found


def tree(part: Sequence[Span], known: set[str], glyphs: Glyphs) -> Iterator[Row]:
    """The spans of a part, parents first. `known` are all span ids of the trace, in whatever part."""
    here = {span.span_id for span in part}
    below: dict[str, list[Span]] = {}
    for span in part:
        above = _parent(span, known)
        # A parent in an earlier part stays there; one that nobody sent gets a line of its own.
        below.setdefault(above if above in here or (above and above not in known) else "", []).append(span)
    for parent_id, children in below.items():
        if parent_id == "":
            for span in children:
                yield Row(span, "")
                yield from _under(span.span_id, below, "", glyphs, {span.span_id})
        elif parent_id not in here:
            yield Row(None, "")
            yield from _under(parent_id, below, "", glyphs, set())


def duration(milliseconds: float) -> str:
    """A duration to read: 0.42 ms, 12.3 ms, 1.53 s, 3 min 12 s."""
    if milliseconds < 10:
        return f"{milliseconds:.2f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.2f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def title(span: Span, glyphs: Glyphs = UNICODE) -> str:
    """A span's name without its package; for a REST call its method and path, ids left out."""
    rest = PARAMETER.sub(glyphs.cut, str(span.attributes.get(REST, "")))
    called = "" if rest.startswith(" ") else rest
    whole = _clean(called or span.name)
    package, slash, method = whole.partition("/")
    # "commerce.order.v1.OrderService/GetOrder" but not "GET /v1/orders".
    return f"{package.rpartition('.')[2]}/{method}" if slash and " " not in package else whole


def _under(
    span_id: str, below: dict[str, list[Span]], indent: str, glyphs: Glyphs, seen: set[str]
) -> Iterator[Row]:
    children = [child for child in below.get(span_id, []) if child.span_id not in seen]
    for place, child in enumerate(children, start=1):
        last = place == len(children)
        yield Row(child, indent + (glyphs.last if last else glyphs.middle))
        deeper = indent + ("  " if last else glyphs.down)
        yield from _under(child.span_id, below, deeper, glyphs, seen | {child.span_id})


def _parent(span: Span, known: set[str] | dict[str, str]) -> str:
    """The span's parent; for the first span of a linked trace, the span that the link joins it to."""
    if span.linked and span.parent_id not in known:
        return next((target for _, target in span.links if target in known), "")
    return span.parent_id


def _is_stream(span: Span) -> bool:
    return span.end_ns - span.start_ns > STREAM_NS


def _heading(offset_ns: int, length_ns: int, count: int) -> Text:
    spans = "1 span" if count == 1 else f"{count} spans"
    text = f"+{duration(offset_ns / 1e6)}" if offset_ns else "start"
    return Text.assemble((text, "bold"), (f"   {spans}, {duration(length_ns / 1e6)}", "dim"))


def _line(
    row: Row, start_ns: int, length_ns: int, services: dict[str, int], width: int, glyphs: Glyphs
) -> Text:
    bar_width = max(8, int(width * BAR_SHARE))
    name_width = max(16, width - bar_width - SERVICE_WIDTH - DURATION_WIDTH - 2)
    span = row.span
    if span is None:
        missing = glyphs.missing.ljust(SERVICE_WIDTH) + row.branch + f"{glyphs.missing} not received"
        return Text(missing, style="dim")
    colour = "red" if span.error is not None else COLOURS[services[span.service] % len(COLOURS)]
    service = _fitted(_clean(span.service), SERVICE_WIDTH - 1, glyphs).ljust(SERVICE_WIDTH)
    branch = row.branch if len(row.branch) < name_width - 12 else row.branch[: name_width - 13] + glyphs.cut
    name = _fitted(_label(span, glyphs), name_width - len(branch) - 1, glyphs)
    return Text.assemble(
        (service, COLOURS[services[span.service] % len(COLOURS)]),
        (branch, "dim"),
        (name.ljust(name_width - len(branch)), "red" if span.error is not None else ""),
        (_bar(span, start_ns, length_ns, bar_width, glyphs), colour),
        (duration(span.duration_ms).rjust(DURATION_WIDTH), "red" if span.error is not None else "dim"),
    )


def _label(span: Span, glyphs: Glyphs) -> str:
    """The span's title, marked when it failed or came by a link."""
    name = title(span, glyphs)
    if span.error is not None:
        name = f"{glyphs.failed} {name}: {_clean(span.error)}"
    return f"{glyphs.linked} {name}" if span.linked and span.links else name


def _bar(span: Span, start_ns: int, length_ns: int, width: int, glyphs: Glyphs) -> str:
    first = min(width - 1, int((span.start_ns - start_ns) / length_ns * width))
    share = (span.end_ns - span.start_ns) / length_ns
    length = min(width - first, max(1, round(share * width)))
    return (" " * first + glyphs.bar * length).ljust(width)


def _fitted(text: str, width: int, glyphs: Glyphs) -> str:
    return text if len(text) <= width else text[: max(0, width - len(glyphs.cut))] + glyphs.cut


def _clean(text: str) -> str:
    """Whoever sends spans must not write control sequences to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _print(console: Console, text: Text) -> None:
    console.print(text, no_wrap=True, overflow="crop", crop=True, highlight=False)
