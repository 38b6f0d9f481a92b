"""Settings: environment variables that begin with COMMERCE_. A missing one stops the process and is named."""

import os
import sys
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What every service process is told."""

    model_config = SettingsConfigDict(env_prefix="COMMERCE_", extra="ignore")

    environment: Literal["development", "production"] = "production"
    listen: str = Field(description="host:port that this process serves gRPC on")
    database_url: SecretStr = Field(description="the service's own role and database")
    nats_url: SecretStr = Field(description="where NATS with JetStream is")
    jwks_file: Path = Field(description="the public keys that tokens are verified with")
    service_token: SecretStr = Field(description="this service's own token, role SERVICE")
    page_key: SecretStr = Field(description="signs page tokens; the same for all replicas")
    log_level: str = "info"

    database_connections: int = Field(default=10, ge=1, description="the most that one process opens")
    database_timeout_seconds: float = Field(
        default=10, gt=0, description="the longest that one statement may take"
    )
    calls_in_flight: int = Field(default=512, ge=1, description="unary calls at once; more are refused")
    open_streams: int = Field(
        default=20_000, ge=1, description="streams at once; a store may have three quarters of them"
    )
    streams_per_connection: int = Field(
        default=1_000,
        ge=1,
        description="calls and streams at once on one connection: a flood of them costs 20 MB",
    )
    # Limits of each process, so that no caller and no store takes it from the others; see shares.py. A store may have
    # three quarters of the places of a kind: of reads and writes together fewer than all calls in flight.
    reads_in_flight: int = Field(default=256, ge=1, description="reads at once, of all stores")
    searches_in_flight: int = Field(
        default=32, ge=1, description="searches at once: far more than two processors work at"
    )
    writes_in_flight: int = Field(default=256, ge=1, description="writes at once, of all stores")
    imports_in_flight: int = Field(default=16, ge=1, description="imports at once, of all stores")
    person_reads: int = Field(
        default=32, ge=1, description="a customer's or courier's reads at once: some pages that open together"
    )
    person_searches: int = Field(default=4, ge=1, description="and searches: one, while others are given up")
    person_writes: int = Field(default=16, ge=1, description="and writes: nobody clicks faster")
    person_streams: int = Field(default=32, ge=1, description="and streams: an open order in each tab")
    caller_streams: int = Field(
        default=1_000, ge=1, description="streams of anybody else, so that a store's own backend has room"
    )
    person_calls_a_second: float = Field(
        default=50, gt=0, description="of a customer or courier; four seconds' worth at once; a search is ten"
    )
    store_calls_a_second: float = Field(
        default=5_000, gt=0, description="of everybody in a store together: more than one process can do"
    )
    search_connections: int = Field(
        default=3, ge=1, description="of the database's, for searches; the others are never taken by them"
    )
    search_timeout_seconds: float = Field(
        default=5, gt=0, description="the longest that one statement of a search may take"
    )
    message_bytes: int = Field(default=1 << 20, ge=1024, description="the largest request")
    call_seconds: float = Field(
        default=10, gt=0, description="a call's time where neither client nor contract says"
    )
    drain_seconds: float = Field(
        default=10, gt=0, description="how long open calls may take to finish at a stop"
    )
    heartbeat_seconds: float = Field(default=15, gt=0, description="between the bookmarks of a quiet stream")
    recheck_seconds: float = Field(
        default=2, gt=0, description="between looks for live messages that were lost"
    )
    stream_replicas: int = Field(
        default=1, ge=1, le=5, description="copies that JetStream keeps of each event"
    )
    retention_days: int = Field(default=7, ge=1, description="how long events and first replies are kept")
    delivery_attempts: int = Field(default=8, ge=1, description="before an event goes to the dead letters")

    @classmethod
    def load(cls) -> Self:
        """Read the environment, or end the process with the names of what is missing or wrong."""
        try:
            return cls()
        except ValidationError as invalid:
            for error in invalid.errors():
                name = "COMMERCE_" + "_".join(str(part) for part in error["loc"]).upper()
                print(f"{name}: {error['msg']}", file=sys.stderr)
            raise SystemExit(2) from None

    def address(self, code: str) -> str:
        """Return where the service with this code is: COMMERCE_<CODE>_ADDRESS."""
        name = f"COMMERCE_{code.upper()}_ADDRESS"
        try:
            return os.environ[name]
        except KeyError:
            print(f"{name}: the address of a required service is missing", file=sys.stderr)
            raise SystemExit(2) from None
