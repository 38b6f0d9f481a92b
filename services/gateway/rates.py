"""Who has no token is paced by address. Whoever has one is paced by the services, by name."""

from __future__ import annotations

from services.gateway.values import Json, extension

# A provider's webhooks, a page that was left open: far fewer. An address that floods is refused at next to no cost.
CALLS_A_SECOND = 200
BURST_SECONDS = 5
# The addresses that are remembered, the latest seen.
ADDRESSES = 20_000
# An IPv6 network is one household, or one machine.
MASK = {"v4_prefix_mask_len": 32, "v6_prefix_mask_len": 64}
# Envoy wants a bucket for what no rule names, too.
_UNLIMITED = {"max_tokens": 2**31, "tokens_per_fill": 2**31, "fill_interval": "1s"}


def rate_filter(calls_a_second: int = CALLS_A_SECOND) -> Json:
    """Answers 429 to an address that calls too often without a token."""
    bucket = {
        "max_tokens": BURST_SECONDS * calls_a_second,
        "tokens_per_fill": calls_a_second,
        "fill_interval": "1s",
    }
    return extension(
        "envoy.filters.http.local_ratelimit",
        "filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="tokenless",
        token_bucket=_UNLIMITED,
        filter_enabled={"default_value": {"numerator": 100}},
        filter_enforced={"default_value": {"numerator": 100}},
        rate_limited_as_resource_exhausted=True,
        rate_limits=[{"actions": [_without_token(), {"masked_remote_address": MASK}]}],
        descriptors=[
            {
                "entries": [{"key": "header_match", "value": "tokenless"}, {"key": "masked_remote_address"}],
                "token_bucket": bucket,
            }
        ],
        max_dynamic_descriptors=ADDRESSES,
    )


def _without_token() -> Json:
    return {
        "header_value_match": {
            "descriptor_value": "tokenless",
            "expect_match": False,
            "headers": [{"name": "authorization", "present_match": True}],
        }
    }
