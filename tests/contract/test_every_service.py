"""Every service is whole: it says what it is, keeps its tables by migrations, and stands in a README and in tests."""

import shutil
from pathlib import Path

import pytest

from services.runtime.definition import definitions

ROOT = Path(__file__).resolve().parents[2]
# Written by a service's author; without one of them it is half a service.
PARTS = ("__init__.py", "__main__.py", "README.md", "definition.py")
# What only a service has: a package with one of these is one.
WORKING = ("__main__.py", "handlers.py", "migrations", "tables.py")
# They stand below the services, run them, or are another company.
NO_SERVICE = {"runtime", "gateway", "cluster", "sandbox"}


def lacking(root):
    """What each package below root/services lacks to be a service: {code: what}."""
    found = {}
    for package in sorted((root / "services").iterdir()):
        if package.name not in NO_SERVICE and any(
            (package / part).exists() for part in (*PARTS[1:], *WORKING)
        ):
            lacks = {part for part in PARTS if not (package / part).exists()}
            if (package / "tables.py").exists() or (package / "tables").exists():
                lacks |= set() if list(package.glob("migrations/[0-9]*.py")) else {"migrations"}
            lacks |= set() if list((root / "tests" / package.name).rglob("test_*.py")) else {"tests"}
            if lacks:
                found[package.name] = lacks
    return found


def test_has_all_its_parts():
    assert lacking(ROOT) == {}


@pytest.mark.parametrize(
    ("removed", "lacks"),
    [
        *((part, {part}) for part in PARTS),
        ("migrations", {"migrations"}),
    ],
)
def test_that_lost_a_part_is_found(tmp_path, removed, lacks):
    house = tmp_path / "services/customer"
    shutil.copytree(ROOT / "services/customer", house, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests/customer", tmp_path / "tests/customer")
    path = house / removed
    shutil.rmtree(path) if path.is_dir() else path.unlink()

    assert lacking(tmp_path) == {"customer": lacks}


def test_without_tests_is_found(tmp_path):
    shutil.copytree(ROOT / "services/customer", tmp_path / "services/customer")

    assert lacking(tmp_path) == {"customer": {"tests"}}


def test_has_a_name_and_a_port_of_its_own():
    found = definitions()

    assert [each.code for each in found if not (ROOT / "services" / each.code).is_dir()] == []
    assert len({each.port for each in found}) == len(found)


def test_offers_something_of_the_contract(contract):
    offered = {name for each in definitions() for name in each.proto_services}
    known = {f"{file.package}.{service.name}" for file in contract.ours for service in file.service}

    assert offered == known


def test_says_its_name_and_what_it_owns_on_the_first_screen():
    for definition in definitions():
        title, _, about = (ROOT / "services" / definition.code / "README.md").read_text().partition("\n")
        assert title.lower() == f"# {definition.code}"
        assert len(about.strip()) > 100
