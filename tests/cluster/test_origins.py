"""Whose pages may call is told to the gateway, as the environment has it."""

from typing import Any

import pytest

from services.cluster.cluster import Cluster
from tests.cluster.toys import TOYS, configure


@pytest.mark.parametrize(
    ("told", "origins"),
    [
        ({}, []),
        (
            {"COMMERCE_CORS_ORIGINS": "https://a.example, https://b.example"},
            ["https://a.example", "https://b.example"],
        ),
    ],
)
async def test_the_gateway_is_told_of_the_origins(tmp_path, monkeypatch, told, origins):
    monkeypatch.delenv("COMMERCE_CORS_ORIGINS", raising=False)
    asked = {}

    def recording(**given: Any) -> Any:
        asked.update(given)
        return configure(**given)

    async with Cluster(tmp_path, definitions=TOYS, configure=recording, environment=told):
        pass
    assert (asked["cors_origins"], asked["development"]) == (origins, True)
