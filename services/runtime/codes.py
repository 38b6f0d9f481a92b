"""Texts that stand in somebody's list: currencies, countries, time zones."""

from importlib import resources

from commerce.options.v1 import options_pb2
from google.protobuf.message import Message
from iso3166 import countries_by_alpha2

from services.runtime.currencies import IN_USE, KNOWN
from services.runtime.marks import marked

COUNTRIES = frozenset(countries_by_alpha2)
# Read from the package, not from the machine: what a store may choose is the same everywhere.
TIME_ZONES = frozenset(resources.files("tzdata").joinpath("zones").read_text().split()) - {"Factory"}

_LISTS = {
    options_pb2.TEXT_CURRENCY: (IN_USE, "must be a currency of ISO 4217 that is in use, such as EUR"),
    options_pb2.TEXT_CURRENCY_KNOWN: (KNOWN, "must be a currency of ISO 4217, such as EUR"),
    options_pb2.TEXT_COUNTRY: (COUNTRIES, "must be a country of ISO 3166-1, such as DE"),
    options_pb2.TEXT_TIME_ZONE: (TIME_ZONES, "must be a time zone of IANA, such as Europe/Berlin"),
}


def unlisted(message: Message) -> list[tuple[str, str]]:
    """Return the path of each code of a message that is in no list, and what it must be."""
    return [
        (each.path, _LISTS[each.kind][1])
        for each in marked(message)
        if each.kind in _LISTS and each.text not in _LISTS[each.kind][0]
    ]
