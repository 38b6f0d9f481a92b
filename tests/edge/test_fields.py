"""Every field of every RPC by REST: what does not fit it is a 4xx that names it, and nothing is written."""

import pytest
from buf.validate import validate_pb2
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import FieldDescriptor

from tests.edge.answers import in_json, of_rest
from tests.edge.conftest import held
from tests.edge.contract import filled, rpcs
from tests.shop import Shop, new_id

RPCS = {
    f"{rpc.method.containing_service.name}.{rpc.name}": rpc
    for rpc in rpcs()
    if rpc.template and not rpc.public
}
# In JSON these are texts.
TEXTS = {
    "google.protobuf.Timestamp": "yesterday",
    "google.protobuf.Duration": "an hour",
}
# Query parameters cannot hold messages but these; a mask is told from the fields of the body.
UNWRITTEN = {"google.protobuf.FieldMask", "google.api.HttpBody"}
INTEGERS = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64)


@pytest.fixture(scope="module")
def store(clients):
    return Shop(clients)


@pytest.mark.parametrize("name", RPCS)
async def test_refuses_what_does_not_fit_a_field_of(store, name):
    rpc = RPCS[name]
    at = store.as_("platform_admin")
    request = rpc.request(store_id=store.store_id)
    before, wrong = await held(store), []
    for field, value in _spoiled_of(rpc):
        verb, path, body = _with(rpc, request, field, value)
        answer = of_rest(await at.rest(verb, path, json=body))
        # What was left out beside it may be named, too.
        if answer.reason != "INVALID_ARGUMENT" or in_json(field) not in answer.violations:
            wrong.append(f"{field} = {str(value)[:60]}: {answer}")
    assert not wrong, "\n".join(wrong)
    assert await held(store) == before


def _spoiled_of(rpc):
    for field in rpc.method.input_type.fields:
        yield from _spoiled(field, rpc.body == "*" and f"{{{field.name}}}" not in rpc.template)


def _with(rpc, request, field, value):
    """The REST call with a field spoiled, wherever it travels."""
    head = field.partition(".")[0].partition("[")[0]
    in_path = f"{{{head}}}" in rpc.template
    spoiled = type(request).FromString(request.SerializeToString())
    if in_path:
        setattr(spoiled, head, value)
    elif rpc.body != "*":
        spoiled.ClearField(head)
    verb, path, body = rpc.rest(spoiled)
    if in_path:
        return verb, path, body
    if rpc.body == "*":
        return (
            verb,
            path,
            _placed(_without_alternatives(request.DESCRIPTOR.fields_by_name[head], body), field, value),
        )
    return verb, f"{path}{'&' if '?' in path else '?'}{head}={value}", body


def _without_alternatives(field, body):
    of = field.containing_oneof
    return {
        name: each for name, each in body.items() if not of or name not in {one.name for one in of.fields}
    }


def _placed(body, field, value):
    """A copy of a body with a value at a field's path."""
    head, _, rest = field.partition(".")
    name, _, index = head.partition("[")
    if index:
        return body | {name: [_placed(body.get(name, [{}])[0], rest, value) if rest else value]}
    return body | {name: _placed(body.get(name, {}), rest, value) if rest else value}


def _spoiled(field, in_body, prefix=""):
    """Pairs of a path and what does not fit there: in a field, or in a message inside it."""
    rules = field.GetOptions().Extensions[validate_pb2.field]
    path = f"{prefix}{field.name}"
    if field.message_type and field.message_type.full_name in UNWRITTEN:
        return
    if field.message_type and field.message_type.GetOptions().map_entry:
        yield path, 7
    elif field.is_repeated and in_body:
        yield path, 7
        yield path, (rules.repeated.max_items + 1) * [_one(field)]
        yield from _spoiled_one(field, rules.repeated.items, f"{path}[0]", in_body)
    elif not field.is_repeated:
        yield from _spoiled_one(field, rules, path, in_body)


def _one(field):
    if field.message_type:
        kind = message_factory.GetMessageClass(field.message_type)
        return json_format.MessageToDict(filled(kind(), {}), preserving_proto_field_name=True)
    return new_id()


def _spoiled_one(field, rules, path, in_body):
    if field.message_type:
        if in_body:
            yield path, TEXTS.get(field.message_type.full_name, "here")
            yield path, 7
            if not field.message_type.full_name.startswith("google."):
                for inner in field.message_type.fields:
                    yield from _spoiled(inner, in_body, f"{path}.")
        else:
            yield path, "here"
    elif field.enum_type:
        yield path, "NO_SUCH_THING"
        yield path, 99
    elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        yield from ((path, value) for value in _texts(rules.string, in_body))
    elif field.cpp_type in INTEGERS:
        bounds = rules.int32 if field.cpp_type == FieldDescriptor.CPPTYPE_INT32 else rules.int64
        yield from ((path, value) for value in ("many", 1.5, 2**64))
        if bounds.HasField("gte"):
            yield path, bounds.gte - 1
        if bounds.HasField("lte"):
            yield path, bounds.lte + 1
    elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        yield path, "maybe"
    elif field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        yield from ((path, value) for value in ("north", 1000))


def _texts(rules, in_body):
    if rules.uuid:
        yield "x"
    if rules.max_len:
        yield (rules.max_len + 1) * "x"
    if in_body:
        yield "a\0b"
        yield 7
        yield {}
