"""Every refusal is small enough for any client to read, whatever was asked: its trailers stay below 4 KiB."""

import base64
import json
from urllib.parse import quote

import pytest
from buf.validate import validate_pb2
from commerce.catalog.v1.catalog_service_pb2 import CreateProductRequest, UpdateProductRequest
from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.order.v1.coupon_service_pb2 import CreateCouponRequest
from commerce.order.v1.order_service_pb2 import CreateOrderLine, PreviewOrderRequest
from commerce.payment.v1.settings_service_pb2 import SetPaymentSettingsRequest
from google.protobuf import json_format, message_factory
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.refusals import DETAILS, Refusal, details
from services.runtime.validation import parsed
from services.runtime.validation import violations as found_in
from tests.edge.contract import rpcs
from tests.edge.odd import LONG, odd
from tests.shop import new_id

MOST_BYTES = 4096
MOST_VIOLATIONS = 20
PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
REQUESTS = {
    rpc.method.input_type.full_name: message_factory.GetMessageClass(rpc.method.input_type) for rpc in rpcs()
}


def trailers(refusal):
    """The bytes that a refusal takes on the wire: gRPC escapes the message and has the details in base64."""
    message = quote(refusal.message, safe=PRINTABLE)
    return len(f"grpc-status{refusal.code.value[0]}grpc-message{message}{DETAILS}") + len(
        base64.b64encode(details(refusal))
    )


def violations(refusal):
    """The violations of the status, as it is sent."""
    found = error_details_pb2.BadRequest()
    for detail in status_pb2.Status.FromString(details(refusal)).details:
        detail.Unpack(found)
    return list(found.field_violations)


def texts(kind, outer=()):
    """Each text that a message may hold, as the fields on the way to it. UUIDs and rows are judged apart."""
    for field in kind.fields:
        rules = field.GetOptions().Extensions[validate_pb2.field]
        apart = rules.repeated.items.ignore or rules.string.uuid or rules.repeated.items.string.uuid
        inner = field.message_type
        if apart or inner in outer or (inner is not None and inner.GetOptions().map_entry):
            continue
        if inner is not None:
            yield from ((field, *rest) for rest in texts(inner, (*outer, kind)))
        elif field.type == field.TYPE_STRING:
            yield (field,)


def put(message, way, text):
    """Put a text at the end of a way; where that is, as a violation names it."""
    field, *rest = way
    held = getattr(message, field.name)
    place = f"{field.name}[0]" if field.is_repeated else field.name
    if rest:
        return f"{place}.{put(held.add() if field.is_repeated else held, rest, text)}"
    if field.is_repeated:
        held.append(text)
    else:
        setattr(message, field.name, text)
    return place


def in_json(refusal):
    """The status as REST has it, with every field, as Envoy prints it."""
    status = json_format.MessageToDict(
        status_pb2.Status.FromString(details(refusal)), always_print_fields_with_no_presence=True
    )
    return json.dumps(status, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")


def check_bounds(refusal):
    named = violations(refusal)
    assert trailers(refusal) < MOST_BYTES
    assert len(named) <= MOST_VIOLATIONS
    assert len(in_json(refusal).encode()) < MOST_BYTES
    assert all(len(each.field) <= 150 and len(each.description) <= 400 for each in named)
    assert status_pb2.Status.FromString(details(refusal)).message == refusal.message


@pytest.mark.parametrize("name", REQUESTS)
def test_names_a_text_with_a_nul_wherever_that_is_in(name):
    for way in texts(REQUESTS[name].DESCRIPTOR):
        request = REQUESTS[name]()
        place = put(request, way, "a\0b")
        assert place in dict(found_in(request)), place


@pytest.mark.parametrize("name", REQUESTS)
@settings(max_examples=15, derandomize=True, database=None, deadline=None)
@given(chance=st.randoms(use_true_random=False))
def test_is_bounded_for_whatever_is_sent_as(name, chance):
    request = odd(REQUESTS[name](), chance)
    try:
        parsed(REQUESTS[name], request.SerializeToString())
    except Refusal as refusal:
        check_bounds(refusal)


@given(
    message=st.text(max_size=3000) | st.sampled_from(LONG),
    metadata=st.dictionaries(
        st.sampled_from(["product_id", "sku", "cause", "limit", "gateway", "event_id"]),
        st.text(st.characters(exclude_categories=()), max_size=3000) | st.sampled_from(LONG),
    ),
    violations=st.lists(st.tuples(st.sampled_from(LONG) | st.text(), st.sampled_from(LONG) | st.text())),
    retry=st.none() | st.floats(0, 1e6),
)
@settings(max_examples=200, derandomize=True, database=None, deadline=None)
def test_is_bounded_whatever_a_handler_says(message, metadata, violations, retry):
    reason = ErrorReason.ERROR_REASON_PRODUCT_SKU_TAKEN
    check_bounds(Refusal(reason, message, violations=violations, retry_seconds=retry, **metadata))


@pytest.mark.parametrize("text", ["x", "\u00e9", "<", "%", "\0", "\U0001f600"])
@pytest.mark.parametrize("size", [1, 20, 30, 40, 60, 100, 500])
def test_is_bounded_with_everything_in_it_that_can_be(text, size):
    metadata = dict.fromkeys(("product_id", "gateway", "event_id", "cause"), text * 600)
    violations = [(f"{number}{text * size}", text * size) for number in range(100)]
    for beside in ({}, metadata):
        for message in (text, text * 600):
            refusal = Refusal(
                ErrorReason.ERROR_REASON_INVALID_ARGUMENT,
                message,
                violations=violations,
                retry_seconds=1e6,
                trace_id="f" * 32,
                **beside,
            )
            check_bounds(refusal)
            assert refusal.metadata["violations"] == "100"


@pytest.mark.parametrize("count", [10, 100, 400, 50_000])
def test_says_how_much_more_is_wrong(count):
    line = CreateOrderLine(product_id="x")
    refusal = refusal_of(PreviewOrderRequest(store_id=new_id(), lines=count * [line]))

    total = int(refusal.metadata.get("violations", len(violations(refusal))))
    assert total >= min(2 * count, 200)
    assert refusal.message.endswith(f"; and {total - 5} more")
    check_bounds(refusal)


def test_that_is_short_is_whole():
    refusal = refusal_of(PreviewOrderRequest(store_id="x", customer_id="y"))

    assert [each.field for each in violations(refusal)] == ["store_id", "customer_id", "lines"]
    assert "more" not in refusal.message
    assert refusal.metadata == {}


def test_does_not_repeat_a_key_of_a_map():
    refusal = refusal_of(CreateProductRequest(attributes={"k" * 20_000: "v"}))

    (named,) = [each.field for each in violations(refusal) if each.field.startswith("attributes")]
    assert len(named) < 100
    assert "kkkkk" in named


def test_of_a_list_that_is_too_long_looks_at_no_more_items_than_it_may_have():
    """Otherwise a refusal would cost whatever somebody likes to send."""
    bad = CreateOrderLine(product_id="x", quantity=1)
    good = CreateOrderLine(product_id=new_id(), quantity=1)
    seen = {}
    for count in (50, 50_000):
        request = PreviewOrderRequest(store_id=new_id(), customer_id=new_id(), lines=count * [bad])
        seen[count] = int(refusal_of(request).metadata["violations"])
    of_lists = refusal_of(PreviewOrderRequest(store_id=new_id(), customer_id=new_id(), lines=50_000 * [good]))

    assert [each.field for each in violations(of_lists)] == ["lines", "lines"]
    # A line of each may be wrong, and so may the list: 50 lines name a product more than once, and are not too many.
    assert seen == {50: 50 + 1, 50_000: 100 + 2}


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63), 10**12])
def test_of_a_time_beyond_all_names_its_field(seconds):
    request = CreateCouponRequest(store_id=new_id(), code="TEN", percentage_ppm=1, request_id=new_id())
    request.begin_time.seconds = request.end_time.seconds = seconds

    assert "end_time" in [each.field for each in violations(refusal_of(request))]

    waiting = SetPaymentSettingsRequest(store_id=new_id(), request_id=new_id())
    waiting.settings.action_wait.seconds = seconds
    assert [each.field for each in violations(refusal_of(waiting))] == ["settings.action_wait"]


def refusal_of(request):
    with pytest.raises(Refusal) as refused:
        parsed(type(request), request.SerializeToString())
    return refused.value


def test_does_not_repeat_a_card_number_that_the_end_of_a_key_is_cut_from():
    number = "4242424242424242"
    refusal = refusal_of(CreateProductRequest(attributes={"k" * 50 + " " + number: "v"}))

    assert not [each for each in violations(refusal) if "42424242" in each.field]


def test_of_a_large_request_does_not_mind_a_list_that_has_no_bound():
    request = UpdateProductRequest(product_id=new_id(), request_id=new_id(), name="A lamp")
    request.update_mask.paths.extend(["name"] * 1_000)

    assert parsed(UpdateProductRequest, request.SerializeToString()) == request
