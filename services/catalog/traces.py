"""A batch serves many orders, each with a trace of its own: the batch shows in all of them."""

from collections.abc import Iterable

from commerce.catalog.v1.catalog_pb2 import ReservationState
from commerce.catalog.v1.stock_service_pb2 import ReservationRequest, ReservationResult
from commerce.common.v1.error_reason_pb2 import ErrorReason

from services.runtime import telemetry


def record(orders: Iterable[ReservationRequest], results: Iterable[ReservationResult]) -> None:
    """Leave a short span `reserve` in each order's trace, linked to the span of the batch."""
    batch = telemetry.current()
    for order, result in zip(orders, results, strict=True):
        own = telemetry.Trace.parse(order.traceparent)
        if own is None or not own.sampled or (batch is not None and own.trace_id == batch.trace_id):
            continue
        with telemetry.span("reserve", parent=own, links=(batch,) if batch else ()) as span:
            span.set("commerce.order_id", order.order_id)
            if result.reason:
                span.set("commerce.reason", ErrorReason.Name(result.reason).removeprefix("ERROR_REASON_"))
            else:
                state = ReservationState.Name(result.state).removeprefix("RESERVATION_STATE_")
                span.set("commerce.reservation_state", state)
