"""Stripe's request encoding: `a[b][c]=1`, `expand[]=x` or `expand[0]=x`, an empty text unsets."""

import itertools
import re
from collections.abc import Iterable
from typing import Any

from .errors import Json, invalid

_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
_INTEGER = re.compile(r"-?\d+")


def parsed(pairs: Iterable[tuple[str, str]]) -> Json:
    """Nested dictionaries; an array's keys are its indexes."""
    form: Json = {}
    for name, value in pairs:
        head, _, rest = name.partition("[")
        path = [head, *_BRACKETS.findall(f"[{rest}" if rest else "")]
        node = form
        for part, following in itertools.pairwise(path):
            node = node.setdefault(part or str(len(node)), {})
            if not isinstance(node, dict):
                raise invalid(f"Invalid {head}[{following}]", param=head)
        node[path[-1] or str(len(node))] = value
    return form


class Form:
    """Reads each parameter once; `finish` refuses the parameters that nobody read."""

    def __init__(self, values: Json, within: str = "") -> None:
        self._values, self._within = dict(values), within

    def name(self, name: str) -> str:
        return f"{self._within}[{name}]" if self._within else name

    def text(self, name: str, *, required: bool = False, choices: Iterable[str] = ()) -> str | None:
        value = self._values.pop(name, None)
        full = self.name(name)
        if value is None:
            if required:
                raise invalid(f"Missing required param: {full}.", code="parameter_missing", param=full)
            return None
        if not isinstance(value, str):
            raise invalid(f"Invalid string: {value}", param=full)
        if required and not value:
            raise invalid(
                f"You passed an empty string for '{full}'. We assume empty values are an attempt to unset a"
                f" parameter; however '{full}' cannot be unset.",
                code="parameter_invalid_empty",
                param=full,
            )
        if len(value) > 5000:
            raise invalid(f"Invalid string: {full} is too long", code="parameter_invalid_string", param=full)
        if choices and value and value not in choices:
            raise invalid(f"Invalid {full}: must be one of {', '.join(choices)}", param=full)
        return value or None

    def needed(self, name: str) -> str:
        return self.text(name, required=True) or ""

    def integer(self, name: str, *, required: bool = False, minimum: int | None = None) -> int | None:
        text = self.text(name, required=required)
        if text is None:
            return None
        full = self.name(name)
        if not _INTEGER.fullmatch(text):
            raise invalid(f"Invalid integer: {text}", code="parameter_invalid_integer", param=full)
        if minimum is not None and int(text) < minimum:
            message = f"This value must be greater than or equal to {minimum}."
            raise invalid(message, code="parameter_invalid_integer", param=full)
        return int(text)

    def boolean(self, name: str, default: bool = False) -> bool:
        text = self.text(name)
        if text is None:
            return default
        if text not in ("true", "false"):
            raise invalid(f"Invalid boolean: {text}", param=self.name(name))
        return text == "true"

    def nested(self, name: str) -> "Form":
        value = self._values.pop(name, None) or {}
        if not isinstance(value, dict):
            raise invalid("Invalid hash", code="parameter_invalid_hash", param=self.name(name))
        return Form(value, self.name(name))

    def texts(self, name: str) -> list[str]:
        values = self._values.pop(name, None) or {}
        if not isinstance(values, dict) or any(not isinstance(value, str) for value in values.values()):
            raise invalid("Invalid array", param=self.name(name))
        return list(values.values())

    def metadata(self, old: Json | None = None) -> dict[str, str]:
        """The old pairs with the new ones laid over; an empty value takes a pair away."""
        given = self._values.pop("metadata", None)
        if given == "":
            return {}
        given = given or {}
        if not isinstance(given, dict) or any(not isinstance(value, str) for value in given.values()):
            raise invalid("Invalid metadata", param="metadata")
        kept = {key: value for key, value in ((old or {}) | given).items() if value != ""}
        if len(kept) > 50 or any(len(key) > 40 or len(value) > 500 for key, value in kept.items()):
            message = (
                "Metadata holds up to 50 keys of up to 40 characters, with values of up to 500 characters."
            )
            raise invalid(message, param="metadata")
        return kept

    def ignore(self, *names: str) -> None:
        """Parameters that Stripe knows and this server has no use for."""
        for name in names:
            self._values.pop(name, None)

    def given(self, name: str) -> bool:
        return name in self._values

    def finish(self) -> None:
        for name in self._values:
            full = self.name(name)
            raise invalid(f"Received unknown parameter: {full}", code="parameter_unknown", param=full)

    def all(self) -> dict[str, Any]:
        return self._values
