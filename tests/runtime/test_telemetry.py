"""Trace contexts, sampling and what a span records."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from services.runtime import otlp, telemetry
from services.runtime.telemetry import Trace, current, span
from tests.collector import Sink

HEADER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
SAMPLED = Trace(0x4BF92F3577B34DA6A3CE929D0E0E473600F067AA0BA902B7, True)
UNSAMPLED = SAMPLED._replace(sampled=False)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (
        "SDK_DISABLED",
        "TRACES_EXPORTER",
        "TRACES_SAMPLER",
        "TRACES_SAMPLER_ARG",
        "EXPORTER_OTLP_ENDPOINT",
    ):
        monkeypatch.delenv(f"OTEL_{name}", raising=False)
    telemetry.start("test", "0")
    yield
    monkeypatch.undo()
    telemetry.start("test", "0")
    telemetry.stop()


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Sink:
    sink = Sink()
    monkeypatch.setattr(telemetry, "_exporter", sink)
    return sink


def test_reads_and_writes_a_traceparent() -> None:
    assert Trace.parse(HEADER) == SAMPLED
    assert SAMPLED.traceparent == HEADER
    assert UNSAMPLED.traceparent == HEADER[:-1] + "0"
    assert Trace.parse(HEADER[:-2] + "03") == SAMPLED
    assert Trace.parse(HEADER[:-2] + "02") == UNSAMPLED


def test_reads_a_later_version_with_more_fields() -> None:
    assert Trace.parse("cc" + HEADER[2:]) == SAMPLED
    assert Trace.parse("cc" + HEADER[2:] + "-more") == SAMPLED


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "x",
        HEADER[:-1],
        HEADER + "-more",
        HEADER + "\n",
        " " + HEADER,
        HEADER.upper(),
        "ff" + HEADER[2:],
        "cc" + HEADER[2:] + "more",
        "cc" + HEADER[2:] + "\n",
        "0g" + HEADER[2:],
        HEADER.replace("4bf92f3577b34da6a3ce929d0e0e4736", "0" * 32),
        HEADER.replace("00f067aa0ba902b7", "0" * 16),
        HEADER.replace("-", "_"),
    ],
)
def test_refuses_a_malformed_traceparent(header: str | None) -> None:
    assert Trace.parse(header) is None


def test_starts_a_trace_where_there_is_none() -> None:
    assert current() is None
    with span("call") as outer:
        assert current() == outer.trace
        with span("inner") as inner:
            assert inner.trace == outer.trace
    assert current() is None
    assert Trace.parse(outer.trace.traceparent) is not None


def test_carries_an_unsampled_trace_unchanged(sink: Sink) -> None:
    with span("call", parent=UNSAMPLED) as call:
        assert current() == call.trace == UNSAMPLED
        with span("inner") as inner:
            inner.set("key", 1)
            inner.fail("x")
            assert inner.trace == UNSAMPLED and not inner.recorded
    assert current() is None and sink.spans == []


def test_records_a_sampled_trace_with_parents_links_and_attributes(sink: Sink) -> None:
    with span("call", kind="server", parent=SAMPLED, attributes={"given": "1"}) as call:
        assert call.trace.trace_id == SAMPLED.trace_id and call.trace.span_id != SAMPLED.span_id
        with span("inner", links=[UNSAMPLED]) as inner:
            inner.set("rows", 3)

    first, second = sink.spans
    assert (first.name, first.parent_id, first.attributes) == ("inner", call.trace.span_id, {"rows": 3})
    assert (second.name, second.parent_id, second.given) == ("call", SAMPLED.span_id, {"given": "1"})
    assert first.links == [UNSAMPLED]
    assert 0 < second.start <= first.start <= first.end <= second.end


def test_no_card_number_leaves_in_a_span(sink: Sink) -> None:
    number = "4111111111111111"
    with span("call", parent=SAMPLED, attributes={"given": f"card {number}"}) as call:
        call.set("one", number)
        call.set("many", [number])
        call.fail(f"no {number}")

    (ended,) = sink.spans
    sent = str(otlp._encode(ended))
    assert number not in sent
    assert sent.count("************1111") == 5


def test_a_root_has_no_parent(sink: Sink) -> None:
    with span("call"), span("inner"):
        pass
    with span("other", parent=Trace.root()):
        pass

    inner, call, other = sink.spans
    assert (call.parent_id, other.parent_id) == ("", "")
    assert inner.parent_id == call.trace.span_id
    assert other.trace.trace_id != call.trace.trace_id


def test_an_exception_is_an_error_by_its_type_alone(sink: Sink) -> None:
    with pytest.raises(KeyError), span("call"):
        raise KeyError("jane@example.org")

    (call,) = sink.spans
    assert (call.error, call.attributes) == ("KeyError", {"error.type": "KeyError"})


async def test_cancellation_is_no_error(sink: Sink) -> None:
    with pytest.raises(asyncio.CancelledError), span("call"):
        raise asyncio.CancelledError

    assert sink.spans[0].error is None


async def test_a_generator_closed_elsewhere_ends_its_span(sink: Sink) -> None:
    async def stream() -> AsyncIterator[int]:
        with span("stream"):
            yield 1

    messages = stream()
    await asyncio.create_task(anext(messages))  # type: ignore[arg-type]
    await messages.aclose()  # type: ignore[attr-defined]

    assert [(ended.name, ended.error) for ended in sink.spans] == [("stream", None)]


async def test_tasks_keep_their_own_trace() -> None:
    async def task(name: str) -> tuple[str, str]:
        with span(name) as own:
            await asyncio.sleep(0)
            seen = current()
            assert seen is not None
            return own.trace.trace_id, seen.trace_id

    for own, seen in await asyncio.gather(*(task(str(number)) for number in range(10))):
        assert own == seen


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("OK", None),
        ("NOT_FOUND", None),
        ("CANCELLED", None),
        ("INTERNAL", "INTERNAL"),
        ("UNAVAILABLE", "UNAVAILABLE"),
    ],
)
def test_ends_an_rpc_with_its_status(sink: Sink, code: str, error: str | None) -> None:
    attributes = {"rpc.method": "commerce.order.v1.OrderService/GetOrder"}
    with pytest.raises(RuntimeError), span("call", attributes=attributes) as call:
        telemetry.end_rpc(call, code)
        raise RuntimeError("abort")

    (ended,) = sink.spans
    assert ended.given == attributes
    assert (ended.attributes or {})["rpc.response.status_code"] == code
    assert ended.error == error


def sampled(number: int) -> Trace:
    """A trace whose id ends with a number in [0, 2^64)."""
    return Trace(1 << 128 | number << 64 | 1, True)


@pytest.mark.parametrize(
    ("sampler", "argument", "roots"),
    [
        ("", "", 400),
        ("always_on", "", 400),
        ("parentbased_always_off", "", 0),
        ("traceidratio", "0.25", 100),
        ("parentbased_traceidratio", "0.25", 100),
        ("parentbased_traceidratio", "many", 400),
        ("unknown", "", 400),
    ],
)
def test_samples_roots_as_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, sampler: str, argument: str, roots: int
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    telemetry.start("test", "0")

    found = sum(Trace.root().sampled for _ in range(400))
    assert found == roots if roots in (0, 400) else abs(found - roots) < 60


def test_a_parent_decides_only_where_the_sampler_is_parent_based(monkeypatch: pytest.MonkeyPatch) -> None:
    low, high = sampled(1), sampled(2**64 - 1)
    for sampler, kept in (("parentbased_traceidratio", [True, True]), ("traceidratio", [True, False])):
        monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
        monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.5")
        telemetry.start("test", "0")
        decided = []
        for parent in (low, high):
            with span("call", parent=parent) as call:
                decided.append(call.trace.sampled)
        assert decided == kept


def test_stops_in_bounded_time_without_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    telemetry.start("test", "0")
    with span("call"):
        pass

    before = asyncio.new_event_loop().time()
    telemetry.stop(timeout_seconds=0.2)
    assert asyncio.new_event_loop().time() - before < 2


def test_drops_the_oldest_when_the_queue_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setattr(otlp.Exporter, "_run", lambda self: None)
    telemetry.start("test", "0")
    exporter = telemetry._exporter
    assert exporter is not None
    for number in range(25):
        with span(str(number)):
            pass

    assert exporter.dropped == 15
    assert [waiting.name for waiting in exporter._queue] == [str(number) for number in range(15, 25)]
