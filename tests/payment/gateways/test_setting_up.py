"""What GATEWAYS.md says about setting a provider up, against what the code does."""

import re
from pathlib import Path

import pytest

from services.payment.gateways.configured import PROVIDERS
from services.payment.gateways.paypal import events
from services.payment.gateways.stripe import webhooks
from services.payment.settings import PaymentSettings

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "services/payment/GATEWAYS.md").read_text()
EVENTS = {code: re.findall(rf"^{code}  (\S+)$", GUIDE, re.MULTILINE) for code in ("stripe", "paypal")}
# What Stripe and PayPal send in a test, by the names of their events.
SENT = {
    code: {
        name
        for file in (ROOT / "tests/providers" / code).glob("*.py")
        for name in re.findall(pattern, file.read_text())
    }
    for code, pattern in {
        "stripe": r'"((?:payment_intent|charge|refund)(?:\.[a-z_]+)+)"',
        "paypal": r'"((?:CHECKOUT|PAYMENT|CUSTOMER)\.[A-Z.-]+)"',
    }.items()
}


def test_names_every_event_of_stripes_that_means_something():
    disputes = {name for name in EVENTS["stripe"] if name.startswith("charge.dispute.")}
    assert set(EVENTS["stripe"]) - disputes == webhooks.NEWS
    assert disputes == {name for name in SENT["stripe"] if name.startswith("charge.dispute.")}


@pytest.mark.parametrize("name", EVENTS["paypal"])
def test_names_only_events_of_paypals_that_are_read(name):
    assert events.OURS.fullmatch(name) or events.DISPUTE.fullmatch(name)


@pytest.mark.parametrize("code", EVENTS)
def test_names_every_event_that_the_providers_double_sends(code):
    missing = SENT[code] - set(EVENTS[code])
    assert {name for name in missing if _means_something(code, name)} == set()


def test_names_every_setting_that_a_provider_needs():
    needed = {name for key, provider in PROVIDERS.items() for name in (key, *provider.needs)}
    needed |= {"return_url", "payment_sandbox"}
    assert needed <= PaymentSettings.model_fields.keys()
    for name in needed:
        if not name.startswith("sandbox_"):
            assert f"COMMERCE_{name.upper()}" in GUIDE


def _means_something(code, name):
    if code == "stripe":
        return name in webhooks.NEWS or name.startswith("charge.dispute.")
    return bool(events.OURS.fullmatch(name) or events.DISPUTE.fullmatch(name))
