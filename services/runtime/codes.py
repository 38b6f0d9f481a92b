"""Texts that stand in somebody's list: currencies, countries, time zones."""

from importlib import resources

from commerce.options.v1 import options_pb2
from iso3166 import countries_by_alpha2

from services.runtime.currencies import IN_USE, KNOWN

COUNTRIES = frozenset(countries_by_alpha2)
# Read from the package, not from the machine: what a store may choose is the same everywhere.
TIME_ZONES = frozenset(resources.files("tzdata").joinpath("zones").read_text().split()) - {"Factory"}

# What each kind of code may be, and how a refusal says so.
LISTS = {
    options_pb2.TEXT_CURRENCY: (IN_USE, "must be a currency of ISO 4217 that is in use, such as EUR"),
    options_pb2.TEXT_CURRENCY_KNOWN: (KNOWN, "must be a currency of ISO 4217, such as EUR"),
    options_pb2.TEXT_COUNTRY: (COUNTRIES, "must be a country of ISO 3166-1, such as DE"),
    options_pb2.TEXT_TIME_ZONE: (TIME_ZONES, "must be a time zone of IANA, such as Europe/Berlin"),
}
