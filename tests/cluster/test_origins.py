"""Whose pages may call, and how often an address without a token: the gateway is told what the environment says."""

from typing import Any

import pytest

from services.cluster.cluster import Cluster
from tests.cluster.toys import TOYS, configure


@pytest.mark.parametrize(
    ("told", "origins", "calls_a_second"),
    [
        ({}, (), 200),
        (
            {
                "COMMERCE_CORS_ORIGINS": "https://a.example, https://b.example",
                "COMMERCE_TOKENLESS_CALLS_A_SECOND": "7",
            },
            ("https://a.example", "https://b.example"),
            7,
        ),
    ],
)
async def test_the_gateway_is_told_what_the_environment_says(
    tmp_path, monkeypatch, told, origins, calls_a_second
):
    for name in ("COMMERCE_CORS_ORIGINS", "COMMERCE_TOKENLESS_CALLS_A_SECOND"):
        monkeypatch.delenv(name, raising=False)
    asked = {}

    def recording(**given: Any) -> Any:
        asked.update(given)
        return configure(**given)

    async with Cluster(tmp_path, definitions=TOYS, configure=recording, environment=told):
        pass
    assert (asked["cors_origins"], asked["development"]) == (origins, True)
    assert asked["tokenless_calls_a_second"] == calls_a_second
