"""What is said of a request that could not be read: words.lua, which no other reply goes through."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.gateway.contract import Rpc
from services.gateway.kinds import kinds
from services.gateway.values import UNREAD, Json, extension, lua, typed

FILTER = "commerce.words"


def word_filter(rpcs: Iterable[Rpc]) -> Json:
    """The filter; Envoy skips it, before any code of ours runs, where a reply has no mark."""
    tables = f"local UNREAD, KINDS = {lua(UNREAD)}, {lua(kinds(rpc.request for rpc in rpcs))}\n"
    code = tables + (Path(__file__).parent / "words.lua").read_text()
    marked = {
        "input": {
            "name": UNREAD,
            "typed_config": {
                "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpResponseHeaderMatchInput",
                "header_name": UNREAD,
            },
        },
        "value_match": {"exact": "1"},
    }
    skip = {"name": "skip", "typed_config": typed("filters.common.matcher.action.v3.SkipFilter")}
    unless_marked = {
        "predicate": {"not_matcher": {"single_predicate": marked}},
        "on_match": {"action": skip},
    }
    return extension(
        FILTER,
        "common.matching.v3.ExtensionWithMatcher",
        xds_matcher={"matcher_list": {"matchers": [unless_marked]}},
        extension_config=extension(
            FILTER, "filters.http.lua.v3.Lua", default_source_code={"inline_string": code}
        ),
    )
