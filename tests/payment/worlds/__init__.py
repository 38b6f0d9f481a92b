"""The worlds that the gateway kit runs in, by the gateway's code."""

from collections.abc import Callable, Mapping

from tests.payment.acme.world import AcmeWorld
from tests.payment.gateway_kit import World
from tests.payment.worlds.paypal import PayPalWorld
from tests.payment.worlds.sandbox import SandboxWorld
from tests.payment.worlds.stripe import StripeWorld

WORLDS: Mapping[str, Callable[[], World]] = {
    "sandbox": SandboxWorld,
    "stripe": StripeWorld,
    "paypal": PayPalWorld,
    "acme": AcmeWorld,
}
