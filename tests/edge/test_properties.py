"""Whatever JSON is sent, the answer is a reply or a refusal in the one shape: never a fault of ours."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.edge.answers import of_rest
from tests.edge.contract import rpcs
from tests.shop import Shop

CREATE = {rpc.name: rpc for rpc in rpcs() if rpc.name in ("CreateOrder", "CreateProduct", "CreateCustomer")}
REASONS = {
    "OK",
    "INVALID_ARGUMENT",
    "CUSTOMER_NOT_FOUND",
    "PRODUCT_NOT_FOUND",
    "CATEGORY_NOT_FOUND",
    # Two that were taken had the same.
    "PRODUCT_SKU_TAKEN",
    "CUSTOMER_EMAIL_TAKEN",
}
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**31, 2**63, 2**64, -(2**63) - 1, 10**400, 1e308, float("inf"), float("nan")]),
    st.floats(),
    # Surrogates, NULs and everything else that JSON can spell.
    st.text(st.characters(exclude_categories=()), max_size=40),
    st.sampled_from(
        ["", "\0", "\ud800", "EUR", "eur", "\u202e", "1e5", "-0", "null", "'; --", "%00", "../.."]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def store(clients):
    return Shop(clients)


@settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_no_json_is_a_fault_of_ours(store, data):
    rpc = CREATE[data.draw(st.sampled_from(sorted(CREATE)))]
    verb, path, body = rpc.rest(rpc.request(store_id=store.store_id))
    for _ in range(data.draw(st.integers(1, 3))):
        body = _spoiled(data, body)
    text = json.dumps(body).encode()
    headers = {"content-type": "application/json"}

    answer = of_rest(await store.rest(verb, path, data=text, headers=headers))

    assert answer.reason in REASONS, str(answer)


def _spoiled(data, value):
    """The value with something in it replaced, added or left out."""
    if isinstance(value, dict) and value and data.draw(st.integers(0, 5)):
        name = data.draw(st.sampled_from(sorted(value)))
        match data.draw(st.sampled_from(["replace", "replace", "leave", "rename"])):
            case "replace":
                return value | {name: _spoiled(data, value[name])}
            case "leave":
                return {key: each for key, each in value.items() if key != name}
            case _:
                return value | {data.draw(st.text(max_size=12)): value[name]}
    if isinstance(value, list) and value and data.draw(st.integers(0, 5)):
        return [_spoiled(data, value[0]), *value[1:]] * data.draw(st.integers(1, 3))
    return data.draw(VALUES)
