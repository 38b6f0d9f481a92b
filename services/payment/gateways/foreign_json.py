"""JSON that providers send. Whatever is in it, a text of it can be stored, and sent on."""

import json
from typing import Any

# Stands for what is no character: half of a surrogate pair, a NUL (PostgreSQL stores none), bytes that are no UTF-8.
NO_CHARACTER = "\ufffd"


def read_json(body: bytes) -> Any:
    """Return what a body says. Raises ValueError or RecursionError."""
    text = body.decode("utf-8-sig", errors="replace")
    read = json.loads(text)
    return _storable(read) if "\\u" in text else read


def is_whole(text: str) -> bool:
    """Tell whether every character of a text is one, as an id's must be."""
    return NO_CHARACTER not in text


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="surrogatepass").decode(errors="replace").replace("\0", NO_CHARACTER)
    if isinstance(value, dict):
        return {_storable(name): _storable(each) for name, each in value.items()}
    return [_storable(each) for each in value] if isinstance(value, list) else value
