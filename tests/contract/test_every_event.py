"""Every event of the contract is published by its service, and whoever reacts to one reacts to one that exists."""

import ast
from pathlib import Path

import pytest

import services
from services.runtime.definition import definitions

SERVICES = Path(services.__path__[0])


def events(contract):
    """The full names of all events: the messages of `…_events.proto` that are no part of another message."""
    parts = {
        field.type_name.removeprefix(".") for message in contract.messages.values() for field in message.field
    }
    every = {
        f"{file.package}.{message.name}"
        for file in contract.ours
        if file.name.endswith("_events.proto")
        for message in file.message_type
    }
    return every - parts


def used(code):
    """What a service's code takes from modules of events: {full name of the event}, whichever way it imports them."""
    found = set()
    for path in (SERVICES / code).rglob("*.py"):
        tree = ast.parse(path.read_text())
        modules = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("commerce."):
                for name in node.names:
                    if node.module.endswith("_events_pb2"):
                        found.add(f"{node.module.rpartition('.')[0]}.{name.name}")
                    elif name.name.endswith("_events_pb2"):
                        modules[name.asname or name.name] = node.module
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id in modules
            ):
                found.add(f"{modules[node.value.id]}.{node.attr}")
    return found


def unpublished(contract, by_code):
    return {event for event in events(contract) if event not in by_code.get(event.split(".")[1], set())}


@pytest.fixture(scope="module")
def by_code():
    return {definition.code: used(definition.code) for definition in definitions()}


def test_is_published_by_the_service_that_owns_it(contract, by_code):
    assert unpublished(contract, by_code) == set()

    def invented(copy):
        copy.messages["commerce.order.v1.OrderShipped"].name = "OrderLost"

    assert unpublished(contract.broken(invented), by_code) == {"commerce.order.v1.OrderLost"}


def test_that_a_service_uses_exists(contract, by_code):
    known = {name for name in contract.messages if name.startswith("commerce.")}

    assert set().union(*by_code.values()) <= known


def test_says_whose_store_it_is_about(contract):
    for event in events(contract):
        fields = {field.name for name in contract.reachable(event) for field in contract.messages[name].field}
        assert "store_id" in fields, event
