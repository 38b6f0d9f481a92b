"""What is left out of a request is not zero: it must be said, or the contract says what leaving it out means."""

import re

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

NUMBERS = {kind for name, kind in Field.Type.items() if re.search("INT|FIXED|FLOAT|DOUBLE|BOOL|ENUM", name)}
# What a field's comment says when leaving it out is an answer of its own.
MEANS = re.compile(r"\b(?:0|false|unspecified) means\b|\bwhen 0\b")


def unsaid(contract, names):
    """The numbers, flags and choices of requests that are silently zero when they are left out."""
    return {
        f"{name}.{field.name}"
        for name in names
        for field in contract.messages[name].field
        if field.type in NUMBERS
        and field.label != Field.LABEL_REPEATED
        and not field.proto3_optional
        and not field.HasField("oneof_index")
        and not _refuses_zero(field.options.Extensions[validate_pb2.field])
        and not MEANS.search(contract.comment(name, field.name))
    }


def optional_for_nothing(contract, names):
    """Those that can tell zero from nothing, and do not say what nothing means: they must be set."""
    return {
        f"{name}.{field.name}"
        for name in names
        for field in contract.messages[name].field
        if field.type in NUMBERS
        and field.proto3_optional
        and not field.options.Extensions[validate_pb2.field].required
        and not re.search(r"means|[Oo]nly|unset|empty", contract.comment(name, field.name))
    }


def _refuses_zero(rules):
    kind = rules.WhichOneof("type")
    if kind in (None, "bool"):
        return False
    number = getattr(rules, kind)
    return 0 in number.not_in or (
        kind != "enum" and (number.gte > 0 or (number.HasField("gt") and number.gt >= 0))
    )


@pytest.fixture(scope="module")
def requests(contract):
    return {name for rpc in contract.rpcs for name in contract.reachable(rpc.method.input_type)}


def test_is_said_or_means_something(contract, requests):
    assert "commerce.common.v1.Money" in requests
    assert unsaid(contract, requests) == set()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("commerce.common.v1.Money", "minor_units"),
        ("commerce.common.v1.Location", "latitude"),
        ("commerce.catalog.v1.SetStockRequest", "quantity"),
        ("commerce.order.v1.TaxRate", "rate_ppm"),
    ],
)
def test_that_could_be_left_out_again_is_found(contract, requests, message, field):
    def left_out(copy):
        copy.field(message, field).proto3_optional = False
        copy.field(message, field).ClearField("oneof_index")

    assert unsaid(contract.broken(left_out), requests) == {f"{message}.{field}"}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("commerce.order.v1.CreateOrderLine", "quantity"),
        ("commerce.catalog.v1.AdjustStockRequest", "delta"),
        ("commerce.payment.v1.SettlementLine", "kind"),
    ],
)
def test_whose_zero_is_no_longer_refused_is_found(contract, requests, message, field):
    def boundless(copy):
        copy.field(message, field).options.ClearExtension(validate_pb2.field)

    assert unsaid(contract.broken(boundless), requests) == {f"{message}.{field}"}


def test_that_no_longer_says_what_leaving_it_out_means_is_found(contract, requests):
    def silent(copy):
        for file in copy.files.file:
            file.ClearField("source_code_info")

    found = unsaid(contract.broken(silent), requests)
    assert {"commerce.order.v1.ListOrdersRequest.page_size", "commerce.order.v1.ReturnLine.restock"} <= found


def test_that_must_be_set_is_required_by_the_contract(contract, requests):
    assert optional_for_nothing(contract, requests) == set()
