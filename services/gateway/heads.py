"""HEAD wherever GET is offered, but for streams: what has no end has no length."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.gateway.contract import Binding, Rpc
from services.gateway.members import pattern
from services.gateway.values import Json, enabled, extension, lua

FILTER = "commerce.head"


def methods(rpc: Rpc, binding: Binding) -> set[str]:
    """The methods that a path takes by this binding."""
    return {"GET", "HEAD"} if binding.verb == "GET" and not rpc.streams else {binding.verb}


def head_filter(rpcs: Iterable[Rpc]) -> Json:
    """Envoy leaves it out but for HEAD: no other call pays for it."""
    streams = [pattern(binding.template) for rpc in rpcs if rpc.streams for binding in rpc.bindings]
    code = f"local STREAMS = {lua(streams)}\n" + (Path(__file__).parent / "head.lua").read_text()
    lua_filter = extension(FILTER, "filters.http.lua.v3.Lua", default_source_code={"inline_string": code})
    return lua_filter | {"disabled": True}


def of_requests() -> dict[str, Json]:
    """What REST calls want of the filter before they are transcoded, by method."""
    return {"HEAD": {FILTER: enabled()}}
