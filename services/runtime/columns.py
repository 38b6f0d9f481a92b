"""What the tables of every service are made of: types, and the columns that come again and again."""

from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    func,
)
from sqlalchemy.dialects import postgresql

ID = postgresql.UUID(as_uuid=True)
TIME = DateTime(timezone=True)
UUIDS = ARRAY(ID)
TEXTS = ARRAY(Text)
BYTES = ARRAY(LargeBinary)
INTEGERS = ARRAY(Integer)
BIGINTS = ARRAY(BigInteger)
SMALLINTS = ARRAY(SmallInteger)
BOOLEANS = ARRAY(Boolean)
TIMES = ARRAY(TIME)
DATES = ARRAY(Date)
FLOATS = ARRAY(Float)
JSONS = ARRAY(postgresql.JSONB)

# The moment itself, not the begin of the transaction.
NOW = func.clock_timestamp()


def uuid_column(name: str, *parts: object, **options: object) -> Column[UUID]:
    """An id."""
    return Column(name, ID, *parts, nullable=False, **options)  # type: ignore[arg-type]


def text_column(name: str) -> Column[str]:
    """Text, empty where nothing is known."""
    return Column(name, Text, nullable=False, server_default="")


def json_column(name: str) -> Column[object]:
    """A list as JSON, empty at first."""
    return Column(name, postgresql.JSONB, nullable=False, server_default="[]")


def amount_column(name: str) -> Column[int]:
    """Minor units, 0 at first."""
    return Column(name, BigInteger, nullable=False, server_default="0")


def time_column(name: str, nullable: bool = False) -> Column[object]:
    """A moment."""
    return Column(name, TIME, nullable=nullable)
