"""The filter that reads JSON bodies strictly: members.lua with tables made from the descriptors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.gateway.contract import Binding, Rpc
from services.gateway.values import UNREAD, Json, extension

# Their JSON is not made of their fields.
FOREIGN = ("google.protobuf.", "google.api.")
# Spelling -> (field, kind of value, message of the value).
Members = Mapping[str, tuple[str, str, str]]
Messages = dict[str, Members]
PARAMETER = re.compile(r"\{([^}]*)\}")


def member_filter(rpcs: Iterable[Rpc]) -> Json:
    """The filter; it looks at REST bodies only."""
    messages: Messages = {}
    bodies: dict[str, list[tuple[str, str, list[str]]]] = {}
    for rpc in rpcs:
        for binding in rpc.bindings:
            message = _body(rpc, binding)
            if message is not None and _known(message, messages):
                bound = PARAMETER.findall(binding.template) if binding.body == "*" else []
                body = (_pattern(binding.template), message.full_name, bound)
                bodies.setdefault(binding.verb, []).append(body)
    code = (Path(__file__).parent / "members.lua").read_text()
    tables = f"local UNREAD, MESSAGES, BODIES = {_lua(UNREAD)}, {_lua(messages)}, {_lua(bodies)}\n"
    return extension(
        "envoy.filters.http.lua",
        "filters.http.lua.v3.Lua",
        default_source_code={"inline_string": tables + code},
    )


def _body(rpc: Rpc, binding: Binding) -> Descriptor | None:
    if binding.body in ("", "*"):
        return rpc.request if binding.body else None
    return rpc.request.fields_by_name[binding.body].message_type


def _known(message: Descriptor, messages: Messages) -> bool:
    """Adds the message and what it holds; False when its members are not to be judged."""
    if message.full_name.startswith(FOREIGN):
        return False
    if message.full_name not in messages:
        members: dict[str, tuple[str, str, str]] = {}
        messages[message.full_name] = members
        for field in message.fields:
            members[field.name] = members[field.json_name] = (field.name, *_value(field, messages))
    return True


def _value(field: FieldDescriptor, messages: Messages) -> tuple[str, str]:
    """The kind of a field's value and the message that it is. A map's members are keys: any will do."""
    inner: Descriptor | None = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        return "any", ""
    kind = "value" if inner is None else "object" if _known(inner, messages) else "any"
    message = inner.full_name if inner is not None and kind == "object" else ""
    return f"list of {kind}" if field.is_repeated else kind, message


def _pattern(template: str) -> str:
    """A path template as a Lua pattern that captures its parameters."""
    parts = PARAMETER.sub("\0", template).split("\0")
    return "^" + "([^/]+)".join(re.sub(r"([^\w/])", r"%\1", part) for part in parts) + "$"


def _lua(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ",".join(f"[{_lua(key)}]={_lua(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "{" + ",".join(_lua(item) for item in value) + "}"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
