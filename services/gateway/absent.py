"""What to say where nothing is offered: of an unknown path, a method that a path does not take, a page's origin."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from google.rpc import code_pb2

from services.gateway.contract import SEGMENT, Rpc
from services.gateway.filters import HEALTH_PATH
from services.gateway.heads import methods
from services.gateway.replies import Reply, unimplemented
from services.gateway.values import ORIGINAL_PATH, Json, denial, header_filter

PATH, METHOD = ":path", ":method"
EVERYTHING = "*"
NO_STEP = "no_such_step"
_NO_STEP: dict[str, Any] = {"status": 403, "details": f"policy[{NO_STEP}]"}


def refusals(rpcs: Iterable[Rpc]) -> Iterator[Reply]:
    """For what came to no route or RPC; the first that fits answers."""
    rpcs = tuple(rpcs)
    yield _foreign_origin()
    for allow, regex in _paths(rpcs).items():
        whole = rf"(?:{regex})/?(?:\?.*)?"
        wrong = _unimplemented(f"there is no such method here, but {allow}", 405, (), {"allow": allow})
        yield _options(allow, _matches(PATH, whole))
        yield replace(wrong, when=(_matches(PATH, whole),))
        yield replace(wrong, **_NO_STEP, when=(_matches(ORIGINAL_PATH, whole),))
    yield replace(_unimplemented("there is no such path", 404, ()), **_NO_STEP)
    yield _options(
        ", ".join(sorted({each for rpc in rpcs for one in rpc.bindings for each in methods(rpc, one)})),
        _is(PATH, EVERYTHING),
    )
    grpc = _matches(PATH, "|".join(re.escape(rpc.path) for rpc in rpcs) or "-")
    post = _is(METHOD, "POST")
    yield _wrong_type(grpc, post)
    yield _unimplemented("there is no such method here, but POST", 405, (grpc,), {"allow": "POST"})


def step_check(rpc: Rpc) -> dict[str, Json]:
    """A policy for the RPC's route: the transcoder takes "x:cancel" for an id where there is no such step."""
    if not rpc.bindings or any(":" in binding.template for binding in rpc.bindings):
        return {}
    rules = ({"contains": ":"}, {"safe_regex": {"regex": "[^?]*:.*"}})
    return {NO_STEP: denial(*({"header": {"name": ORIGINAL_PATH, "string_match": rule}} for rule in rules))}


def _paths(rpcs: Iterable[Rpc]) -> dict[str, str]:
    """The methods that a path takes ("GET, PUT"), and a regular expression of the paths that take these."""
    verbs: dict[str, set[str]] = defaultdict(set, {re.escape(HEALTH_PATH): {"GET", "HEAD"}})
    for rpc in rpcs:
        for binding in rpc.bindings:
            # What follows a colon is no part of a parameter.
            verbs[binding.regex.replace(SEGMENT, "[^/?:]+")].update(methods(rpc, binding))
    alike: dict[str, list[str]] = defaultdict(list)
    for regex, taken in verbs.items():
        alike[", ".join(sorted(taken))].append(regex)
    return {allow: "|".join(found) for allow, found in alike.items()}


def _foreign_origin() -> Reply:
    """A preflight that the CORS filter did not answer."""
    return Reply(
        status=404,
        sent=403,
        when=(_is(METHOD, "OPTIONS"), _has("origin"), _has("access-control-request-method")),
        rest=True,
        code=code_pb2.PERMISSION_DENIED,
        reason="PERMISSION_DENIED",
        message="pages of this origin may not call: COMMERCE_CORS_ORIGINS does not name it",
        metadata={"cause": "another origin"},
    )


def _options(allow: str, at: Json) -> Reply:
    """What RFC 9110 (9.3.7) has for a question about a path."""
    offered = {"allow": f"{allow}, OPTIONS"}
    return _unimplemented("", 204, (_is(METHOD, "OPTIONS"), at), offered)


def _unimplemented(
    message: str, sent: int, when: tuple[Json, ...], headers: dict[str, str] | None = None
) -> Reply:
    return replace(unimplemented(404, message, sent), when=when, headers=headers or {}, rest=True)


def _wrong_type(*when: Json) -> Reply:
    return Reply(
        status=404,
        sent=415,
        when=when,
        headers={"accept": "application/grpc, application/grpc-web"},
        rest=True,
        code=code_pb2.INVALID_ARGUMENT,
        reason="INVALID_ARGUMENT",
        message="this path takes gRPC (application/grpc) and grpc-web, not JSON",
    )


def _is(name: str, value: str) -> Json:
    return header_filter(name, string_match={"exact": value})


def _matches(name: str, regex: str) -> Json:
    return header_filter(name, string_match={"safe_regex": {"regex": regex}})


def _has(name: str) -> Json:
    return header_filter(name, present_match=True)
