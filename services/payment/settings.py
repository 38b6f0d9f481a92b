"""What the payment service is told besides what every service is told."""

from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from services.runtime.settings import Settings


class PaymentSettings(Settings):
    """Providers: where they are, how we show who we are, how long we wait. Without its key one is not offered."""

    provider_timeout_seconds: float = Field(
        default=2.5, gt=0, description="the longest that one question to a provider may take"
    )
    # As many as places: who waited for a connection would wait behind other stores' questions.
    provider_connections: int = Field(default=256, ge=1, description="open at once to one provider")
    provider_places: int = Field(
        default=256,
        ge=1,
        description="questions to one provider at once, of which a store may have three quarters; "
        "more are turned away, with nothing sent",
    )
    provider_failures: int = Field(
        default=8,
        ge=1,
        description="so many failures of a store in a row, and a provider is left alone for a while",
    )
    provider_rest_seconds: float = Field(default=5.0, gt=0, description="for how long it is left alone")
    payment_sandbox: Literal["", "yes", "no"] = Field(
        default="", description="whether play money pays; left empty, in development only"
    )
    sandbox_url: str = Field(default="", description="base URL of the sandbox provider")
    sandbox_api_key: SecretStr = Field(
        default=SecretStr(""), description="what we show to the sandbox provider"
    )
    sandbox_webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="what the sandbox provider signs its webhooks with"
    )
    stripe_url: str = Field(default="https://api.stripe.com", description="base URL of Stripe")
    stripe_secret_key: SecretStr = Field(default=SecretStr(""), description="what we show to Stripe")
    stripe_webhook_secret: SecretStr = Field(
        default=SecretStr(""), description="what Stripe signs its webhooks with"
    )
    paypal_url: str = Field(default="https://api-m.paypal.com", description="base URL of PayPal")
    paypal_client_id: SecretStr = Field(default=SecretStr(""), description="our name at PayPal")
    paypal_client_secret: SecretStr = Field(default=SecretStr(""), description="what we show to PayPal")
    paypal_webhook_id: SecretStr = Field(
        default=SecretStr(""), description="PayPal's id of our webhook, which its signatures cover"
    )
    return_url: str = Field(
        default="",
        description="where a provider's page sends the customer back; payment_id is added to its query",
    )

    @model_validator(mode="after")
    def _come_back_to_the_gateway(self) -> Self:
        if self.environment == "development" and not self.return_url:
            self.return_url = "http://127.0.0.1:8080/"
        return self
