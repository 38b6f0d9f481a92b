"""The gateways that the settings name, each behind its guard."""

import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from pydantic import SecretStr

from services.payment.gateways.gateway import Gateway
from services.payment.gateways.guard import Guard
from services.payment.gateways.paypal.gateway import PayPalGateway
from services.payment.gateways.registry import Gateways
from services.payment.gateways.sandbox import SandboxGateway
from services.payment.gateways.stripe.gateway import StripeGateway
from services.payment.settings import PaymentSettings


class Provider(NamedTuple):
    """Whom a setting makes known, and what else must be set then: an empty secret would verify what anybody signs."""

    gateway: Callable[[PaymentSettings], Gateway]
    needs: tuple[str, ...]


SANDBOX = "sandbox_url"
NOBODY = (
    "There is no payment provider. Set COMMERCE_STRIPE_SECRET_KEY or COMMERCE_PAYPAL_CLIENT_ID (GATEWAYS.md says what "
    "else); or COMMERCE_PAYMENT_SANDBOX=yes and COMMERCE_SANDBOX_URL for play money, which only a development cluster "
    "has without being asked for it."
)
# By the setting that says that there is one, in the order in which they are preferred where a store says nothing.
PROVIDERS: Mapping[str, Provider] = {
    "stripe_secret_key": Provider(StripeGateway, ("stripe_webhook_secret", "return_url")),
    "paypal_client_id": Provider(PayPalGateway, ("paypal_client_secret", "paypal_webhook_id", "return_url")),
    SANDBOX: Provider(SandboxGateway, ("sandbox_api_key", "sandbox_webhook_secret")),
}


def gateways(settings: PaymentSettings) -> Gateways:
    """Connect to every provider that is set, or end the process with the names of what is missing."""
    names = [name for name in PROVIDERS if name != SANDBOX or _is_sandbox_wanted(settings)]
    chosen = [PROVIDERS[name] for name in names if _is_set(settings, name)]
    missing = [name for provider in chosen for name in provider.needs if not _is_set(settings, name)]
    if not chosen:
        _stop(NOBODY)
    if missing:
        _stop(f"{', '.join(map(_variable, missing))}: a provider that is set needs this besides")
    limits = (
        settings.provider_places,
        settings.provider_failures,
        settings.provider_rest_seconds,
        settings.provider_timeout_seconds,
    )
    return Gateways([Guard(provider.gateway(settings), *limits) for provider in chosen])


def _is_sandbox_wanted(settings: PaymentSettings) -> bool:
    if settings.payment_sandbox:
        return settings.payment_sandbox == "yes"
    return settings.environment == "development"


def _is_set(settings: PaymentSettings, name: str) -> bool:
    value = getattr(settings, name)
    return bool(value.get_secret_value() if isinstance(value, SecretStr) else value)


def _variable(name: str) -> str:
    return f"COMMERCE_{name.upper()}"


def _stop(text: str) -> None:
    print(text, file=sys.stderr)
    raise SystemExit(2)
