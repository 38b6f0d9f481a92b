"""The graph of services: which can run together, and in which order."""

import pytest

from services.runtime.definition import Tier, Unsatisfied, chosen, definitions
from tests.cluster.toys import TOYS, toy


def test_orders_services_after_those_that_they_require():
    shuffled = (toy("c", 3, requires=("a", "b")), toy("b", 2, requires=("a",)), toy("a", 9))
    assert [definition.code for definition in chosen(available=shuffled)] == ["a", "b", "c"]


def test_refuses_a_choice_whose_requirements_are_missing():
    with pytest.raises(Unsatisfied, match="gamma requires beta: choose that too"):
        chosen(["gamma", "alpha"], TOYS)


def test_refuses_a_service_that_nobody_knows():
    with pytest.raises(Unsatisfied, match="no service is called delta; there are alpha, beta, gamma"):
        chosen(["delta"], TOYS)


def test_refuses_a_circle():
    with pytest.raises(Unsatisfied, match="circle"):
        chosen(available=(toy("a", 1, requires=("b",)), toy("b", 2, requires=("a",))))


def test_runs_core_services_always_and_internal_ones_never():
    tiers = (toy("core", 1, tier=Tier.CORE), toy("extra", 2), toy("tool", 3, tier=Tier.INTERNAL))
    assert [definition.code for definition in chosen([], tiers)] == ["core"]
    assert [definition.code for definition in chosen(None, tiers)] == ["core", "extra"]


def test_every_service_of_the_repository_is_found_and_they_fit_together():
    found = definitions()
    assert len({definition.code for definition in found}) == len(found)
    assert len({definition.port for definition in found}) == len(found)
    assert set(chosen()) <= set(found)
