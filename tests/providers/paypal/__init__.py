"""PayPal, as its documentation describes it: a server of its own, with a book of its own."""

from tests.providers.paypal.faults import Fault
from tests.providers.paypal.server import PaypalServer
from tests.providers.paypal.webhooks import Event

__all__ = ["Event", "Fault", "PaypalServer"]
