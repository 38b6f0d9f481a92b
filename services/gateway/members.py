"""The filter that reads JSON bodies strictly: members.lua with tables made from the descriptors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.gateway.contract import FOREIGN, Binding, Rpc
from services.gateway.values import PARAMETER, Json, enabled, extension, lua

FILTER = "commerce.members"
# Spelling -> (field, kind of value, message of the value, name in JSON).
Members = Mapping[str, tuple[str, str, str, str]]
Messages = dict[str, Members]


# A path's pattern, the message that its body is ("" when it is not to be judged), the fields that the path gives to the
# message, the query parameters that may stand beside, and whether anybody may call.
Body = tuple[str, str, Sequence[str], Mapping[str, bool], bool]


def member_filter(rpcs: Sequence[Rpc]) -> Json:
    """The filter; Envoy leaves it out but for methods that `with_bodies` has: no other call pays for it."""
    messages: Messages = {}
    bodies: dict[str, dict[str, list[Body]]] = {}
    for rpc in rpcs:
        for binding in rpc.bindings:
            if binding.body:
                alike = bodies.setdefault(binding.verb, {}).setdefault(_kind(binding.template), [])
                alike.append(_entry(rpc, binding, messages))
    code = (Path(__file__).parent / "members.lua").read_text()
    tables = f"local MESSAGES, BODIES = {lua(messages)}, {lua(bodies)}\n"
    lua_filter = extension(
        FILTER, "filters.http.lua.v3.Lua", default_source_code={"inline_string": tables + code}
    )
    return lua_filter | {"disabled": True}


def with_bodies(rpcs: Iterable[Rpc]) -> dict[str, Json]:
    """What REST calls want of the filter before they are transcoded, by method."""
    return {binding.verb: {FILTER: enabled()} for rpc in rpcs for binding in rpc.bindings if binding.body}


def _kind(template: str) -> str:
    """What is quickly seen of a path: how many segments it has, and its verb (":cancel")."""
    return f"{template.count('/')}{template.partition(':')[1]}{template.partition(':')[2]}"


def _entry(rpc: Rpc, binding: Binding, messages: Messages) -> Body:
    message = _body(rpc, binding)
    judged = message is not None and _known(message, messages)
    bound = PARAMETER.findall(binding.template)
    rest = [
        field
        for field in rpc.request.fields
        if binding.body != "*" and field.name not in (binding.body, *bound)
    ]
    beside = {name: True for field in rest for name in (field.name, field.json_name)}
    return (
        pattern(binding.template),
        message.full_name if message is not None and judged else "",
        bound if binding.body == "*" else [],
        beside,
        rpc.public,
    )


def _body(rpc: Rpc, binding: Binding) -> Descriptor | None:
    if binding.body == "*":
        return rpc.request
    return rpc.request.fields_by_name[binding.body].message_type


def _known(message: Descriptor, messages: Messages) -> bool:
    """Adds the message and what it holds; False when its members are not to be judged."""
    if message.full_name.startswith(FOREIGN):
        return False
    if message.full_name not in messages:
        members: dict[str, tuple[str, str, str, str]] = {}
        messages[message.full_name] = members
        for field in message.fields:
            spelled = (field.name, *_value(field, messages), field.json_name)
            members[field.name] = members[field.json_name] = spelled
    return True


def _value(field: FieldDescriptor, messages: Messages) -> tuple[str, str]:
    """The kind of a field's value and the message that it is. A map's members are keys: any will do."""
    inner: Descriptor | None = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return "any", ""
    kind = "value" if inner is None else "object" if _known(inner, messages) else "any"
    message = inner.full_name if inner is not None and kind == "object" else ""
    return f"list of {kind}" if field.is_repeated else kind, message


def pattern(template: str) -> str:
    """A path template as a Lua pattern that captures its parameters."""
    parts = PARAMETER.sub("\0", template).split("\0")
    return "^" + "([^/]+)".join(re.sub(r"([^\w/])", r"%\1", part) for part in parts) + "$"
