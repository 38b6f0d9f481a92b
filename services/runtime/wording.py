"""What breaks a rule of the contract, in words: what the field must be, never how that is checked."""

from typing import Any

# The rule's id -> what must be. The contract has words of its own for what is particular to a field.
_WORDS = {
    "required": "must be set",
    "string.uuid": "must be a UUID",
    "string.uuid_empty": "must be a UUID, and is missing",
    "string.email": "must be a mail address",
    "string.email_empty": "must be a mail address, and is missing",
    "string.uri": "must be a URI",
    "string.uri_empty": "must be a URI, and is missing",
    "int32.not_in": "must not be 0",
}
_CHOICES = ("enum.defined_only", "enum.not_in")


def words(violation: Any, kind: Any) -> str:
    """Say what the field of a message must be that breaks a rule."""
    if violation.rule_id in _CHOICES:
        return f"must be one of {', '.join(_allowed(_choice(violation.field, kind)))}"
    if violation.rule_id == "field_mask.in":
        return "must name only " + str(violation.message).partition("[")[2].rstrip("]")
    return _WORDS.get(violation.rule_id, str(violation.message))


def _allowed(choice: Any) -> list[str]:
    """Name the values; to leave a field out says the same as its zero."""
    return [value.name for value in choice.values if value.number]


def _choice(path: Any, kind: Any) -> Any:
    for element in path.elements:
        field = kind.fields_by_name[element.field_name]
        kind = field.message_type
    return field.enum_type
