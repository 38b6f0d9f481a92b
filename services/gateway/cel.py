"""Expressions of the Common Expression Language, in the parsed form that Envoy takes (google.api.expr.v1alpha1)."""

from __future__ import annotations

from services.gateway.values import Json


def text(value: str) -> Json:
    return {"const_expr": {"string_value": value}}


def select(name: str, field: str) -> Json:
    """name.field"""
    return {"select_expr": {"operand": {"ident_expr": {"name": name}}, "field": field}}


def call(function: str, *arguments: Json, target: Json | None = None) -> Json:
    """function(arguments), or target.function(arguments)"""
    return {
        "call_expr": {"function": function, "args": list(arguments), **({"target": target} if target else {})}
    }


def item(of: Json, key: str | int) -> Json:
    """of[key]"""
    return call("_[_]", of, text(key) if isinstance(key, str) else {"const_expr": {"int64_value": key}})


def split(of: Json, separator: str) -> Json:
    """of.split(separator)"""
    return call("split", text(separator), target=of)
