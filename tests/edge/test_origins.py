"""A page that somebody makes at home may call a cluster at home."""

import pytest


@pytest.mark.parametrize(
    ("origin", "status"),
    [("http://localhost:5173", 200), ("http://127.0.0.1:3000", 200), ("https://evil.example", 403)],
)
async def test_answers_the_preflight_of(shop, origin, status):
    asked = "authorization, content-type, last-event-id, traceparent, baggage"
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": asked,
    }
    reply = await shop.rest("OPTIONS", f"/v1/stores/{shop.store_id}/orders", token="", headers=headers)
    assert reply.status == status
    allowed = reply.headers.get("access-control-allow-origin")
    assert allowed == (origin if status == 200 else None)
