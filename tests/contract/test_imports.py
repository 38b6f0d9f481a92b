"""Each rule of tools/imports.py is seen to break: a copy of the services breaks all of them at once."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# A module, what it may not import, and the rule that says so.
PROBES = [
    ("services.order.queries", "services.payment.settings", "no service imports another service"),
    ("services.customer.queries", "services.customer.handlers", "layers inside a service and inside a room"),
    (
        "services.payment.payments.queries",
        "services.payment.payments.handlers",
        "layers inside a service and inside a room",
    ),
    ("services.payment.ledger.queries", "services.payment.methods.queries", "rooms of payment"),
    ("services.payment.settlement.intake", "services.payment.payments.records", "rooms of payment"),
    ("services.payment.payments.driver", "services.payment.operations.queries", "rooms of payment"),
    ("services.payment.gateways.guard", "services.payment.tables", "rooms of payment"),
    ("services.cluster.cluster", "services.cluster.commands.up", "rooms of cluster"),
    ("services.cluster.commands.doctor", "services.cluster.demo.shop", "rooms of cluster"),
    (
        "services.payment.gateways.stripe.client",
        "services.payment.methods.customers",
        "gateways of services.payment know rules and settings",
    ),
    # By its place, by its name, by its own word.
    ("services.payment.rules.transitions", "asyncpg", "what is pure touches nothing"),
    ("services.order.fulfilment_rules", "random", "what is pure touches nothing"),
    ("services.payment.gateways.stripe.amounts", "aiohttp", "what is pure touches nothing"),
    ("services.catalog.search", "services.cluster.home", "no service imports what runs or routes services"),
    (
        "services.gateway.routes",
        "services.order.rules",
        "what runs or routes services knows their definitions only",
    ),
    (
        "services.catalog.definition",
        "services.catalog.handlers",
        "a definition imports no working part",
    ),
    ("services.runtime.work", "services.order.settings_of_probe", "the runtime knows no service"),
    ("services.sandbox.book", "services.runtime.times", "another company shares no code"),
    ("services.sandbox.provider", "services.payment.rules.life", "another company shares no code"),
    ("services.order.driver", "tools", "production imports no test and no tool"),
]


def lint(root: Path) -> str:
    command = [sys.executable, "-m", "tools.imports", str(root)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    """What is said of a copy in which every probe imports what it may not."""
    root = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "services", root / "services", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "generated").symlink_to(ROOT / "generated")
    (root / "services/order/settings_of_probe.py").write_text("")
    for module, wrong, _ in PROBES:
        path = (root / module.replace(".", "/")).with_suffix(".py")
        path.write_text(f"{path.read_text()}\nimport {wrong}\n")
    return lint(root)


@pytest.mark.parametrize(("module", "wrong", "rule"), PROBES)
def test_an_import_that_a_rule_forbids_is_shown_under_that_rule(broken, module, wrong, rule):
    assert f"{rule} BROKEN" in broken
    shown = broken.partition("Broken contracts")[2]
    section = re.split(rf"^{re.escape(rule)}\n-+$", shown, flags=re.MULTILINE)[1]
    section = re.split(r"^.+\n-{5,}$", section, flags=re.MULTILINE)[0]
    assert re.search(rf"{re.escape(module)}\s*->\s*{re.escape(wrong)}\b", section), section


def test_every_rule_has_a_probe(broken):
    rules = set(re.findall(r"^(.+) (?:KEPT|BROKEN)$", broken, re.MULTILINE))
    # What protoc wrote is nobody's to edit.
    assert rules - {"generated code stands alone"} == {rule for _, _, rule in PROBES}


def test_the_services_as_they_are_break_none():
    assert re.findall(r"^(.+) BROKEN$", lint(ROOT), re.MULTILINE) == []
