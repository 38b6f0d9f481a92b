"""What the payment service is told besides what every service is told."""

from pydantic import Field, SecretStr

from services.runtime.settings import Settings


class PaymentSettings(Settings):
    """Providers: where they are, how we show who we are, how long we wait."""

    provider_timeout_seconds: float = Field(
        default=2.5, gt=0, description="the longest that one question to a provider may take"
    )
    provider_connections: int = Field(default=64, ge=1, description="open at once to one provider")
    sandbox_url: str = Field(description="base URL of the sandbox provider")
    sandbox_api_key: SecretStr = Field(description="what we show to the sandbox provider")
    sandbox_webhook_secret: SecretStr = Field(description="what the sandbox provider signs its webhooks with")
