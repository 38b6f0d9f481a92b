"""What the process must be told, all by environment variables COMMERCE_SANDBOX_…"""

from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .rules import Shares


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
    authorization_seconds: float = Field(default=7 * 86_400, gt=0, le=366 * 86_400)
    """How long an authorization may be captured."""
    challenge_seconds: float = Field(default=900.0, gt=0, le=366 * 86_400)
    """How long the customer has to answer a challenge."""
    dispute_fee_minor_units: int = Field(default=1500, ge=0, le=1_000_000)
    """What each dispute costs the merchant, won or lost."""
    unknown_share: float = Field(default=0.0, ge=0, le=1)
    """Of the charges with pm_sandbox_mixed: how many are silent after their effect."""
    duplicate_share: float = Field(default=0.0, ge=0, le=1)
    """Of the same: how many have each webhook twice."""
    late_share: float = Field(default=0.0, ge=0, le=1)
    """Of the same: how many are decided late, by webhook."""

    @field_validator("late_share")
    @classmethod
    def shares_are_of_one_whole(cls, late_share: float, info: ValidationInfo) -> float:
        if late_share + info.data.get("unknown_share", 0) + info.data.get("duplicate_share", 0) > 1:
            raise ValueError("the three shares must not exceed 1 together")
        return late_share

    @property
    def shares(self) -> Shares:
        return Shares(self.unknown_share, self.duplicate_share, self.late_share)

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0]

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])
