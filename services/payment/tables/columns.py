"""The columns that tables of payments are made of."""

from sqlalchemy import BigInteger, Column, DateTime, MetaData, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

METADATA = MetaData()


def uuid_column(name: str, *parts: object, **options: object) -> Column[str]:
    """An id, as text in Python."""
    return Column(name, UUID(as_uuid=False), *parts, nullable=False, **options)  # type: ignore[arg-type]


def text_column(name: str) -> Column[str]:
    """Text, empty where nothing is known."""
    return Column(name, Text, nullable=False, server_default="")


def json_column(name: str) -> Column[str]:
    """A list, empty at first."""
    return Column(name, JSONB, nullable=False, server_default="[]")


def amount_column(name: str) -> Column[int]:
    """Minor units, 0 at first."""
    return Column(name, BigInteger, nullable=False, server_default="0")


def time_column(name: str, nullable: bool = False) -> Column[object]:
    """A moment."""
    return Column(name, DateTime(timezone=True), nullable=nullable)
