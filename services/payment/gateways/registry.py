"""All gateways by their codes, and which of them may take a payment."""

from collections.abc import Iterable, Iterator, Sequence

from commerce.common.v1.error_reason_pb2 import ErrorReason
from commerce.payment.v1.settings_service_pb2 import PaymentSettings

from services.payment.gateways.gateway import HOSTED
from services.payment.gateways.guard import Guard
from services.payment.rules.payment import Payment
from services.runtime.refusals import Refusal, invalid


class Gateways:
    """The gateways that this cluster can ask."""

    def __init__(self, gateways: Iterable[Guard]) -> None:
        self._gateways = {gateway.code: gateway for gateway in gateways}

    def __iter__(self) -> Iterator[Guard]:
        return iter(self._gateways.values())

    def named(self, code: str) -> Guard:
        """Return a gateway. Refused with GATEWAY_UNKNOWN."""
        try:
            return self._gateways[code]
        except KeyError:
            raise unknown(code, f"There is no gateway {code}") from None

    def of_token(self, token: str) -> Guard:
        """Return the gateway that a payment method names: pm_<code>_… Refused when it names none."""
        for gateway in self:
            if token != HOSTED and _takes(gateway, token):
                return gateway
        raise invalid("token", "is of no gateway: the provider's own form makes it, as in pm_…")

    def taking(self, payment_method: str, currency_code: str, settings: PaymentSettings) -> Sequence[str]:
        """Return the codes of a store's gateways that take a method in a currency, the preferred one first.

        The others may be asked only when nothing was sent to those before. There may be none.
        """
        able = [gateway.code for gateway in self if _takes(gateway, payment_method)]
        wanted = preferred(settings, currency_code)
        codes = able if wanted is None else [code for code in wanted if code in able]
        return [code for code in codes if self._gateways[code].abilities.takes(currency_code)]

    def may_capture(self, payment: Payment, amount: int, final: bool = False) -> None:
        """Refuse with GATEWAY_UNABLE to take a part where the payment's gateway takes no parts.

        Where the card is captured once, a part may be taken that is said to be the `final` one.
        """
        code, ability = payment.gateway, self.lacks(payment, amount)
        if ability and not (final and payment.captures_once and not payment.captured):
            raise unable(code, ability, f"{code} takes the money all at once")

    def lacks(self, payment: Payment, amount: int) -> str:
        """Return the ability of a payment's gateway that is missing to take so much; "" when none is."""
        return self.named(payment.gateway).abilities.lacks(payment, amount)

    def takes_whole(self, payment: Payment, amount: int) -> bool:
        """Tell whether a part of a payment cannot be taken, or not without giving up the rest."""
        several = self.named(payment.gateway).abilities.multiple_capture
        return bool(self.lacks(payment, amount)) or not (several or amount == payment.capturable)

    async def close(self) -> None:
        """Close all connections."""
        for gateway in self._gateways.values():
            await gateway.unguarded.close()


def _takes(gateway: Guard, payment_method: str) -> bool:
    if payment_method == HOSTED:
        return gateway.abilities.hosted
    return payment_method.startswith(f"pm_{gateway.code}_")


def preferred(settings: PaymentSettings, currency_code: str) -> Sequence[str] | None:
    """Return the gateways that a store uses for a currency, the preferred one first; None when it leaves that open."""
    if not settings.gateway_rules:
        return None
    rules = {rule.currency_code: list(rule.gateways) for rule in settings.gateway_rules}
    return rules.get(currency_code, rules.get("", []))


def untaken(currency_code: str) -> Refusal:
    """Refuse because none of a store's gateways takes a payment method in a currency."""
    return unknown("", f"No gateway of the store takes this payment method in {currency_code}")


def unable(code: str, ability: str, text: str) -> Refusal:
    """Refuse because a gateway cannot do this."""
    return Refusal(ErrorReason.ERROR_REASON_GATEWAY_UNABLE, text, gateway=code, ability=ability)


def unknown(code: str, text: str) -> Refusal:
    """Refuse because there is no such gateway, or it does not take this."""
    return Refusal(ErrorReason.ERROR_REASON_GATEWAY_UNKNOWN, text, gateway=code)
