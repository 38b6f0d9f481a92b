"""Query parameters that are refused where a request has no body: each field is said once, in one place, in UTF-8.

The transcoder would take the last that it reads. members.lua does the same for requests with a body.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from services.gateway.contract import FOREIGN, Binding, Rpc
from services.gateway.values import ORIGINAL_PATH, PARAMETER, Json, denial

WORDS = {
    "given": "is given by the path, so that no query parameter may name it",
    "twice": "takes a single value, and is given twice",
    "unreadable": "must be UTF-8, percent-encoded",
}
_TAIL = "%[89abAB][0-9a-fA-F]"
# A character of UTF-8 (RFC 3629), as it is or with % (RFC 3986).
_CHARACTER = (
    rf"[^%&]|%[0-7][0-9a-fA-F]|%(?:[cC][2-9a-fA-F]|[dD][0-9a-fA-F]){_TAIL}"
    rf"|%[eE](?:0%[abAB][0-9a-fA-F]|[1-9a-cefA-CEF]{_TAIL}|[dD]%[89][0-9a-fA-F]){_TAIL}"
    rf"|%[fF](?:0%[9abAB][0-9a-fA-F]|[1-3]{_TAIL}|4%8[0-9a-fA-F]){_TAIL}{_TAIL}"
)


def policies(rpc: Rpc) -> dict[str, Json]:
    """RBAC policies for the RPC's route, by what refusals() calls them."""
    found: dict[str, Json] = {}
    for binding in rpc.bindings:
        if not binding.body:
            found |= {name: denial(*rules) for name, rules in _rules(rpc, binding)}
    return found


def refusals(rpcs: Iterable[Rpc]) -> dict[str, tuple[str, str]]:
    """The field, and what to say of it, by the policy's name."""
    names = sorted({name for rpc in rpcs for name in policies(rpc)})
    return {name: (name.split(":")[1], WORDS[name.split(":")[0]]) for name in names}


def _rules(rpc: Rpc, binding: Binding) -> Iterator[tuple[str, tuple[Json, ...]]]:
    bound = PARAMETER.findall(binding.template)
    for name in bound:
        own = f"{binding.regex}/?"
        yield f"given:{_camel(name)}", (_has("?"), _query(f"{_spelled(name)}(?:[.=].*)?", own))
    for name, field in _single(rpc.request, ""):
        if name not in bound:
            once = f"{_spelled(name)}(?:=[^&]*)?"
            yield f"twice:{_camel(name)}", (_has("&"), _query(f"{once}&(?:.*&)?{once}"))
            if field.type == FieldDescriptor.TYPE_STRING:
                readable = _query(f"{_spelled(name)}(?:=(?:{_CHARACTER})*)?")
                said = _query(f"{_spelled(name)}=.*")
                yield f"unreadable:{_camel(name)}", (_has("%"), said, {"not_rule": readable})


def _single(message: Descriptor, path: str) -> Iterator[tuple[str, FieldDescriptor]]:
    """The fields that take one value, those of messages within too, by their path ("a.b")."""
    for field in message.fields:
        inner = field.message_type
        if field.is_repeated:
            continue
        if inner is None or inner.full_name.startswith(FOREIGN):
            yield path + field.name, field
        else:
            yield from _single(inner, f"{path}{field.name}.")


def _has(text: str) -> Json:
    """Looks for what makes the costly rules worth asking."""
    return {"header": {"name": ORIGINAL_PATH, "string_match": {"contains": text}}}


def _query(parameter: str, path: str = "[^?]*") -> Json:
    regex = rf"{path}\?(?:.*&)?{parameter}(?:&.*)?"
    return {"header": {"name": ORIGINAL_PATH, "string_match": {"safe_regex": {"regex": regex}}}}


def _spelled(name: str) -> str:
    """A field's name in both spellings, each letter as it is or with %."""
    return "(?:" + "|".join(dict.fromkeys("".join(map(_letter, each)) for each in (name, _camel(name)))) + ")"


def _letter(letter: str) -> str:
    code = "".join(
        f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{ord(letter):02x}"
    )
    return f"(?:{re.escape(letter)}|%{code})"


def _camel(name: str) -> str:
    return re.sub("_([a-z])", lambda after: after[1].upper(), name)
