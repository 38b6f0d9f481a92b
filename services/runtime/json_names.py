"""Refusals as callers of REST read them: fields have the names that they have in JSON."""

import re
from functools import cache

from services.runtime.contract import files
from services.runtime.refusals import Refusal

# What stands in brackets is a place in a list, or a key of the client's own.
_NAME = r"\[[^\]]*\]|(?P<name>\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b)"


def rename(refusal: Refusal) -> None:
    """Name fields as JSON does, wherever a refusal names one. What the client sent is repeated as it was sent."""
    sent = sorted(
        (re.escape(text) for text in refusal.metadata.values() if "_" in text), key=len, reverse=True
    )
    told = re.compile("|".join([*sent, _NAME]))
    refusal.message = told.sub(_renamed, refusal.message)
    refusal.violations = [
        (re.sub(_NAME, _renamed, field), told.sub(_renamed, text)) for field, text in refusal.violations
    ]
    refusal.metadata = {_camel(key): value for key, value in refusal.metadata.items()}


def _renamed(found: re.Match[str]) -> str:
    return _names().get(found["name"] or "", found[0])


def _camel(name: str) -> str:
    return re.sub("_([a-z0-9])", lambda letter: letter[1].upper(), name)


@cache
def _names() -> dict[str, str]:
    """Return the JSON name of each field of the contract that has another one there."""
    return {
        field.name: field.json_name
        for file in files().file
        if file.package.startswith("commerce.")
        for message in file.message_type
        for field in message.field
        if field.json_name != field.name
    }
