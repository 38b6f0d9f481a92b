"""Every state of a LIFE table can be reached, and every state that the contract knows is in one."""

import re

import pytest

from services.runtime.definition import definitions
from tools.life import rules_of

# Enums of the contract that are no life of their own, and why.
NO_LIFE = {
    "PaymentOperationState": "an operation is recorded, then told; its payment's LIFE decides what that means",
}


def lives():
    """The module with the LIFE table of each service that has one, by code."""
    found = {definition.code: rules_of(definition.code) for definition in definitions()}
    return {code: rules for code, rules in found.items() if rules}


LIVES = lives()


def enum_of(code, contract):
    """The enum of the contract that a service's LIFE is the life of."""
    (enum,) = [
        enum
        for name, enum in contract.enums.items()
        if name.startswith(f"commerce.{code}.v1.") and name.endswith("State") and enum.name not in NO_LIFE
    ]
    return enum


def named(code, rules, contract):
    """A LIFE as {(step, state name): state name}, the states of the contract, and the first one of its life."""
    enum = enum_of(code, contract)
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper() + "_"
    names = {value.number: value.name.removeprefix(prefix) for value in enum.value}

    def name(state):
        return str(state) if isinstance(state, str) else names[state]

    life = {(step, name(state)): name(to) for (step, state), to in rules.LIFE.items()}
    start = min((state for _, state in life), key=list(names.values()).index)
    return life, set(names.values()) - {"UNSPECIFIED"}, start


def reached(life, start):
    found = {start}
    while more := {to for (_, state), to in life.items() if state in found} - found:
        found |= more
    return found


@pytest.mark.parametrize("code", LIVES)
def test_is_reachable_from_the_start(code, contract):
    life, states, start = named(code, LIVES[code], contract)

    assert reached(life, start) - {"UNSPECIFIED"} == states


def test_that_no_step_leads_to_is_found():
    life = {("reserve", "PENDING"): "RESERVED", ("ship", "ACCEPTED"): "SHIPPED"}

    assert reached(life, "PENDING") == {"PENDING", "RESERVED"}


@pytest.mark.parametrize("code", LIVES)
def test_of_the_table_is_one_of_the_contract(code, contract):
    life, states, _ = named(code, LIVES[code], contract)

    assert {state for _, state in life} | set(life.values()) <= states | {"UNSPECIFIED"}


def test_of_the_contract_has_a_life_or_a_reason_to_have_none(contract):
    alive = {enum_of(code, contract).name for code in LIVES}
    states = {enum.name for enum in contract.enums.values() if enum.name.endswith("State")}

    assert states == alive | NO_LIFE.keys()
