"""What the process must be told, all by environment variables COMMERCE_SANDBOX_…"""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="COMMERCE_SANDBOX_", frozen=True)

    listen: str = Field(pattern=r"^.+:\d{1,5}$")
    """Address to serve on, "host:port"."""
    book: Path
    """The SQLite file that remembers everything."""
    api_key: str = Field(min_length=1)
    """The bearer token that merchants present."""
    webhook_url: str
    """Where events are sent; empty for no webhooks."""
    webhook_secret: str = Field(min_length=1)
    """Key of the HMAC-SHA256 that signs each webhook."""
    webhooks: Literal["needed", "all"] = "needed"
    """needed: only what no reply has told, and pm_sandbox_duplicate_webhook. all: every change of a charge."""
    late_seconds: float = Field(default=3.0, ge=0, le=86_400)
    """How long pm_sandbox_late_webhook stays "processing"."""

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])
