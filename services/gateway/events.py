"""Server-sent events as browsers want them: with ids to go on after, and bookmarks that are no messages.

The transcoder writes `data: {json}` only. The contract says which fields are the id and the bookmark.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.gateway.contract import Rpc
from services.gateway.members import pattern
from services.gateway.values import Json, extension, lua, typed

FILTER = "commerce.events"
# EventSource gives up for good when a service is away at that moment: this is longer than a restart takes.
RETRY_MILLISECONDS = 3_000


def event_filter() -> Json:
    """Envoy leaves it out but where a route brings code: no other call pays for it."""
    return extension(FILTER, "filters.http.lua.v3.Lua") | {"disabled": True}


def of_replies(rpc: Rpc) -> Json:
    """The filter's part of a stream's route: what it tells becomes events."""
    if rpc.events is None:
        return {}
    values = ", ".join(lua(_json_name(name)) for name in (rpc.events.id, rpc.events.bookmark))
    return _code(f"local CURSOR, BOOKMARK, RETRY = {values}, {lua(RETRY_MILLISECONDS)}\n", "events.lua")


def of_requests(rpcs: Iterable[Rpc]) -> Json:
    """The filter's part of a stream's REST calls before they are transcoded."""
    places = [
        (pattern(binding.template), rpc.request.fields_by_name[rpc.events.after].json_name, rpc.events.after)
        for rpc in rpcs
        if rpc.events is not None
        for binding in rpc.bindings
    ]
    return _code(f"local PLACES = {lua(places)}\n", "last_event.lua")


def steps(rpcs: Iterable[Rpc]) -> set[str]:
    """How the paths of streams end (":watch")."""
    templates = (binding.template for rpc in rpcs if rpc.events is not None for binding in rpc.bindings)
    return {template[template.rindex(":") :] for template in templates}


def _json_name(field: str) -> str:
    first, *words = field.split("_")
    return first + "".join(word.capitalize() for word in words)


def _code(values: str, file: str) -> Json:
    code = values + (Path(__file__).parent / file).read_text()
    return {FILTER: typed("filters.http.lua.v3.LuaPerRoute", source_code={"inline_string": code})}
