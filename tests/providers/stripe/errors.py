"""Stripe's error objects: https://docs.stripe.com/api/errors."""

from typing import Any

Json = dict[str, Any]


class StripeError(Exception):
    """An answer that is an error.

    `executed`: the endpoint had begun its work, so the answer is saved under the idempotency key.
    A parameter that fails validation and a conflict with a request under way are not saved.
    """

    def __init__(
        self,
        status: int,
        kind: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        executed: bool = False,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.executed, self.headers = status, executed, headers or {}
        self.error: Json = {"message": message, "type": kind}
        if code:
            self.error |= {
                "code": code,
                "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
            }
        if param:
            self.error["param"] = param
        self.error |= {name: value for name, value in more.items() if value is not None}


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> StripeError:
    """A parameter that fails validation."""
    return StripeError(400, "invalid_request_error", message, code=code, param=param)


def refused(message: str, *, code: str | None = None, param: str | None = None, **more: Any) -> StripeError:
    """A request that is well formed, but not allowed in the state things are in."""
    return StripeError(400, "invalid_request_error", message, code=code, param=param, executed=True, **more)


def missing(kind: str, wanted: str, *, param: str = "id", status: int = 404) -> StripeError:
    """An object in the path that is not there (404), or one that a parameter names (400)."""
    return StripeError(
        status, "invalid_request_error", f"No such {kind}: '{wanted}'", code="resource_missing", param=param
    )


def unauthorized(key: str | None) -> StripeError:
    if not key:
        return StripeError(401, "invalid_request_error", "You did not provide an API key.")
    return StripeError(401, "invalid_request_error", f"Invalid API Key provided: {key[:3]}***{key[-4:]}")


def unrecognized(method: str, path: str) -> StripeError:
    return StripeError(404, "invalid_request_error", f"Unrecognized request URL ({method}: {path}).")


def api_error() -> StripeError:
    return StripeError(
        500,
        "api_error",
        "An unknown error occurred",
        executed=True,
        headers={"Stripe-Should-Retry": "false"},
    )


def rate_limited() -> StripeError:
    return StripeError(
        429,
        "invalid_request_error",
        "Request rate limit exceeded.",
        code="rate_limit",
        headers={"Stripe-Should-Retry": "true", "Stripe-Rate-Limited-Reason": "global-rate"},
    )


def lock_timeout() -> StripeError:
    return StripeError(
        409,
        "invalid_request_error",
        "This object cannot be accessed right now because another API request or Stripe process is accessing it.",
        code="lock_timeout",
        headers={"Stripe-Should-Retry": "true"},
    )


def key_in_use(key: str) -> StripeError:
    return StripeError(
        409,
        "invalid_request_error",
        "There is currently another in-progress request using this Idempotent Key (that probably means you"
        f" submitted twice, and the other request is still going through): {key}. Please try again later.",
        code="idempotency_key_in_use",
        headers={"Stripe-Should-Retry": "true"},
    )


def key_reused(key: str, first: str, now: str) -> StripeError:
    same = "with the same parameters they were first used with"
    if first != now:
        same = f"for the same endpoint they were first used for ('{now}' vs '{first}')"
    return StripeError(
        400,
        "idempotency_error",
        f"Keys for idempotent requests can only be used {same}. Try using a key other than '{key}' if you"
        " meant to execute a different request.",
    )
