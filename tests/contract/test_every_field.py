"""What every field has: a bound, so that no message can be too large; a class, where it holds personal data."""

import re

import pytest
from buf.validate import validate_pb2
from commerce.options.v1 import options_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

# A format of which every text is short.
SHORT = ("uuid", "tuuid", "ip", "ipv4", "ipv6", "hostname", "ulid")
# Words in a field's name that speak of a person wherever they stand.
PERSONAL = re.compile(
    r"(?:^|_)(?:email|mail|phone|telephone|mobile|recipient|addressee|address|street|city|postal|postcode|zip"
    r"|latitude|longitude|location|birth|birthday|gender|iban|card|payment_method|client_secret|avatar|nickname"
    r"|(?:full|first|last|given|family|middle|display|user)_name)(?:s|es)?(?:_|$)"
)
# Words that do so in a message about a person or a place: elsewhere they name a product, an event, a cloud region.
PERSONAL_HERE = re.compile(
    r"(?:^|_)(?:name|line|lines|region|query|note|comment|brand|last_four|expiry|(?<!page_)token)(?:_|$)"
)
PEOPLE = re.compile(r"Customer|User|Person|Address|Recipient|Courier|Profile|Contact|PaymentMethod")
MONEY = "commerce.common.v1.Money"
# Nobody types these: ids, tokens and references of machines, names that the code gives, addresses of pictures.
MADE_BY_MACHINES = re.compile(
    r"(?:_id|_ids|_reference|_token|^token|^gateways?|^account|^payment_method|^image_urls|^traceparent)$"
)
# Not a person's, though its name sounds like it: the field, and why.
IMPERSONAL = {
    "commerce.common.v1.PostalAddress.country_code": "a country has too many people to be one's own",
    **{
        f"commerce.payment.v1.{message}.payment_method_id": "an id of ours, as an order's is"
        for message in ("PaymentMethod", "SetDefaultPaymentMethodRequest", "RemovePaymentMethodRequest")
    },
}


def unbounded(contract, names):
    return {
        f"{name}.{field.name}"
        for name in names
        if not contract.messages[name].options.map_entry
        for field in contract.messages[name].field
        if not _bounded(contract, field, field.options.Extensions[validate_pb2.field])
    }


def _bounded(contract, field, rules):
    kind = contract.messages.get(field.type_name.removeprefix("."))
    if kind is not None and kind.options.map_entry:
        key, value = (each.type for each in kind.field)
        texts = _bounded_text(key, rules.map.keys) and _bounded_text(value, rules.map.values)
        return rules.map.HasField("max_pairs") and texts
    if field.label == Field.LABEL_REPEATED:
        items = rules.repeated.items
        return rules.repeated.HasField("max_items") and _bounded_text(field.type, items)
    return _bounded_text(field.type, rules)


def _bounded_text(kind, rules):
    if kind == Field.TYPE_STRING:
        text = rules.string
        return (
            any(text.HasField(name) for name in ("max_len", "len", "max_bytes", "len_bytes", "const"))
            or bool(getattr(text, "in"))
            or text.WhichOneof("well_known") in SHORT
        )
    if kind == Field.TYPE_BYTES:
        return rules.bytes.HasField("max_len") or rules.bytes.HasField("len")
    return True


def unclassed(contract):
    """The fields that hold personal data and do not say so."""
    return {
        f"{name}.{field.name}"
        for name, message in contract.messages.items()
        if name.startswith("commerce.")
        for field in message.field
        if _personal(name, field) and not field.options.Extensions[options_pb2.pii]
    } - IMPERSONAL.keys()


def _personal(message, field):
    if field.type == Field.TYPE_MESSAGE and not field.type_name.endswith(("PostalAddress", "Location")):
        return False  # Its own fields say what they hold.
    about_people = PEOPLE.search(message.rpartition(".")[2])
    return PERSONAL.search(field.name) or (about_people and PERSONAL_HERE.search(field.name))


def unlisted(contract):
    """The fields of what people send that hold a Money or a code, and do not say which may stand there."""
    sent = {
        name
        for rpc in contract.rpcs
        if not rpc.only_services
        for name in contract.reachable(rpc.method.input_type)
    } - {MONEY}
    return {
        f"{name}.{field.name}"
        for name in sent
        for field in contract.messages[name].field
        if (field.type_name == f".{MONEY}" or re.search(r"(?:currency|country)_code$|time_zone$", field.name))
        and not field.options.Extensions[options_pb2.text]
    }


def unspelled(contract):
    """The texts that people send and that have no kind, and no form or name that tells that a machine made them."""
    sent = {
        name
        for rpc in contract.rpcs
        if not rpc.only_services
        for name in contract.reachable(rpc.method.input_type)
    } - {MONEY}
    return {
        f"{name}.{field.name}"
        for name in sent
        if not contract.messages[name].options.map_entry
        for field in contract.messages[name].field
        if _holds_text(contract, field)
        and not MADE_BY_MACHINES.search(field.name)
        and not field.options.Extensions[options_pb2.text]
    }


def misplaced(contract):
    """The fields with `distinct` that are no list of a request, or whose items have no such text: nobody looks."""
    requests = {rpc.method.input_type.removeprefix(".") for rpc in contract.rpcs}
    return {
        f"{name}.{field.name}"
        for name, message in contract.messages.items()
        for field in message.field
        if (by := field.options.Extensions[options_pb2.distinct])
        and not (name in requests and _has_items_with(contract, field, by))
    }


def _has_items_with(contract, field, text):
    item = contract.messages.get(field.type_name.removeprefix("."))
    texts = {each.name for each in item.field if each.type == Field.TYPE_STRING} if item else set()
    return field.label == Field.LABEL_REPEATED and text in texts


def _holds_text(contract, field):
    rules = field.options.Extensions[validate_pb2.field]
    if field.type == Field.TYPE_MESSAGE:
        entry = contract.messages.get(field.type_name.removeprefix("."))
        return entry is not None and entry.options.map_entry
    return field.type == Field.TYPE_STRING and not (rules.string.uuid or rules.repeated.items.string.uuid)


def without_status(contract):
    values = contract.enums["commerce.common.v1.ErrorReason"].value
    return {
        value.name
        for value in values
        if not value.options.HasExtension(options_pb2.status)
        or not value.options.Extensions[options_pb2.status]
    }


@pytest.fixture(scope="module")
def requests(contract):
    return {name for rpc in contract.rpcs for name in contract.reachable(rpc.method.input_type)}


@pytest.fixture(scope="module")
def others(contract, requests):
    """Every message of ours that travels, and not in a request: replies and events."""
    travelling = {
        name
        for name in contract.messages
        if name.startswith("commerce.") and not name.startswith("commerce.options.")
    }
    return travelling - requests


def test_of_a_request_has_an_upper_bound(contract, requests):
    assert "commerce.common.v1.PostalAddress" in requests
    assert unbounded(contract, requests) == set()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("commerce.order.v1.CancelOrderRequest", "reason"),
        ("commerce.order.v1.CreateOrderRequest", "lines"),
        ("commerce.common.v1.PostalAddress", "city"),
        ("commerce.catalog.v1.ReserveStockRequest", "request_id"),
        ("commerce.catalog.v1.BatchGetProductsRequest", "product_ids"),
        ("commerce.catalog.v1.CreateProductRequest", "attributes"),
    ],
)
def test_without_a_bound_is_found(contract, requests, message, field):
    def boundless(copy):
        copy.field(message, field).options.ClearExtension(validate_pb2.field)

    assert unbounded(contract.broken(boundless), requests) == {f"{message}.{field}"}


def test_of_repeated_texts_has_a_bound_for_each_of_them_too(contract, requests):
    def items_boundless(copy):
        rules = copy.field("commerce.common.v1.PostalAddress", "lines").options.Extensions[validate_pb2.field]
        rules.repeated.ClearField("items")

    assert unbounded(contract.broken(items_boundless), requests) == {"commerce.common.v1.PostalAddress.lines"}


@pytest.mark.parametrize("part", ["keys", "values", "max_pairs"])
def test_of_a_map_has_a_bound_for_its_keys_and_values_too(contract, requests, part):
    def boundless(copy):
        field = copy.field("commerce.catalog.v1.CreateProductRequest", "attributes")
        field.options.Extensions[validate_pb2.field].map.ClearField(part)

    assert unbounded(contract.broken(boundless), requests) == {
        "commerce.catalog.v1.CreateProductRequest.attributes"
    }


def test_of_a_reply_or_an_event_has_an_upper_bound_too(contract, others):
    assert unbounded(contract, others) == set()


def test_that_holds_personal_data_says_of_which_class(contract):
    assert unclassed(contract) == set()


def test_that_holds_personal_data_is_found_by_its_name_when_it_does_not_say_so(contract):
    """Take the class from every field that has one: the names alone must lead back to it."""
    classed = {
        (name, field.name)
        for name, message in contract.messages.items()
        for field in message.field
        if field.options.Extensions[options_pb2.pii]
    }
    assert len(classed) > 20
    for message, name in classed:

        def forgotten(copy, message=message, name=name):
            copy.field(message, name).options.ClearExtension(options_pb2.pii)

        assert unclassed(contract.broken(forgotten)) == {f"{message}.{name}"}


def test_that_holds_a_currency_or_a_country_says_which_may_stand_there(contract):
    assert unlisted(contract) == set()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("commerce.catalog.v1.ImportRow", "price"),
        ("commerce.common.v1.PostalAddress", "country_code"),
        ("commerce.order.v1.ListOrdersRequest", "currency_code"),
    ],
)
def test_that_does_not_say_which_code_it_holds_is_found(contract, message, field):
    def forgotten(copy):
        copy.field(message, field).options.ClearExtension(options_pb2.text)

    assert unlisted(contract.broken(forgotten)) == {f"{message}.{field}"}


def test_that_people_type_says_what_kind_of_text_it_is(contract):
    assert unspelled(contract) == set()


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("commerce.catalog.v1.CreateProductRequest", "sku"),
        ("commerce.catalog.v1.CreateProductRequest", "attributes"),
        ("commerce.common.v1.PostalAddress", "lines"),
        ("commerce.order.v1.CancelOrderRequest", "reason"),
    ],
)
def test_that_people_type_is_found_when_it_does_not_say_its_kind(contract, message, field):
    def forgotten(copy):
        copy.field(message, field).options.ClearExtension(options_pb2.text)

    assert unspelled(contract.broken(forgotten)) == {f"{message}.{field}"}


def test_whose_items_differ_is_where_it_is_looked_at(contract):
    assert misplaced(contract) == set()


@pytest.mark.parametrize(
    ("message", "field", "by"),
    [
        ("commerce.order.v1.CreateOrderRequest", "lines", "product"),
        ("commerce.order.v1.CreateOrderRequest", "lines", "quantity"),
        ("commerce.order.v1.CreateOrderRequest", "delivery_address", "city"),
        ("commerce.order.v1.Order", "lines", "product_id"),
    ],
)
def test_whose_items_differ_is_found_where_nobody_looks(contract, message, field, by):
    def forgotten(copy):
        copy.field(message, field).options.Extensions[options_pb2.distinct] = by

    assert misplaced(contract.broken(forgotten)) == {f"{message}.{field}"}


def test_that_is_a_reason_to_refuse_has_a_status(contract):
    assert without_status(contract) == set()

    def forgotten(copy):
        values = copy.enums["commerce.common.v1.ErrorReason"].value
        values[3].options.ClearExtension(options_pb2.status)

    assert len(without_status(contract.broken(forgotten))) == 1


def wordless(contract):
    """The fields with a pattern that nobody is told of in words, but as a regular expression."""
    return {
        f"{name}.{field.name}"
        for name, message in contract.messages.items()
        if name.startswith("commerce.")
        for field in message.field
        if any(_shows_pattern(rules) for rules in _all_rules(field.options.Extensions[validate_pb2.field]))
    }


def _all_rules(rules):
    return rules, rules.repeated.items, rules.map.keys, rules.map.values


def _shows_pattern(rules):
    return rules.string.HasField("pattern") or any(
        not rule.message or re.search(r"[\\^$*{]|matches", rule.message) for rule in rules.cel
    )


def test_with_a_pattern_is_told_in_words(contract):
    assert wordless(contract) == set()


@pytest.mark.parametrize(
    ("message", "field", "rules"),
    [
        ("commerce.common.v1.Money", "currency_code", lambda rules: rules),
        ("commerce.common.v1.PostalAddress", "lines", lambda rules: rules.repeated.items),
        ("commerce.catalog.v1.CreateProductRequest", "attributes", lambda rules: rules.map.keys),
    ],
)
def test_with_a_pattern_but_no_words_is_found(contract, message, field, rules):
    def patterned(copy):
        rules(copy.field(message, field).options.Extensions[validate_pb2.field]).string.pattern = "^x$"

    def without_message(copy):
        rule = rules(copy.field(message, field).options.Extensions[validate_pb2.field]).cel.add()
        rule.expression = "this.matches('^x$')"

    for damage in (patterned, without_message):
        assert wordless(contract.broken(damage)) == {f"{message}.{field}"}
