"""Tokens of the development key, and where there are none."""

import json
import time
import uuid

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from services.cluster import tokens
from services.cluster.cluster import Cluster
from services.cluster.home import Home, HomeError
from tests.cluster.toys import TOYS

STORE = "0191f3a2-0000-7000-8000-000000000001"


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path / "home")
    home.prepare()
    tokens.publish(home, tokens.DEVELOPMENT)
    return home


def test_a_token_has_the_claims_of_the_contract_and_a_signature_of_a_published_key(home):
    keys = KeySet.import_key_set(json.loads((home.keys / "jwks.json").read_text()))
    token = jwt.decode(tokens.mint(home, "store_admin", store=STORE, lifetime=60), keys, algorithms=["ES256"])
    assert token.header == {"alg": "ES256", "typ": "JWT", "kid": keys.keys[0].kid}
    assert token.claims["iss"] == token.claims["aud"] == "commerce"
    assert token.claims["role"] == "STORE_ADMIN"
    assert token.claims["store_id"] == STORE
    assert "customer_id" not in token.claims
    assert 50 < token.claims["exp"] - time.time() <= 60
    assert uuid.UUID(token.claims["sub"])


def test_the_published_keys_have_no_private_part(home):
    (key,) = json.loads((home.keys / "jwks.json").read_text())["keys"]
    assert "d" not in key
    assert key["alg"] == "ES256"


def test_a_customer_is_the_subject_of_their_token(home):
    customer = str(uuid.uuid4())
    claims = jwt.decode(tokens.mint(home, "customer", STORE, customer), tokens.key(home)).claims
    assert claims["sub"] == claims["customer_id"] == customer


def test_refuses_an_unknown_role_and_an_id_that_is_none(home):
    with pytest.raises(ValueError, match="no role is called king"):
        tokens.mint(home, "king")
    with pytest.raises(ValueError):
        tokens.mint(home, "store_admin", store="our shop")


def test_there_is_no_token_outside_a_development_cluster(tmp_path):
    cluster = Cluster(tmp_path, definitions=TOYS, environment={"COMMERCE_ENVIRONMENT": "production"})
    with pytest.raises(HomeError, match="production"):
        cluster.token("store_admin", store=STORE)


def test_keys_of_an_identity_service_are_trusted_beside_our_own(tmp_path, home, monkeypatch):
    other = Home(tmp_path / "other")
    other.prepare()
    monkeypatch.setenv("COMMERCE_JWKS_FILE", str(tokens.publish(home, tokens.DEVELOPMENT)))
    published = json.loads(tokens.publish(other, "production").read_text())["keys"]
    assert [key["kid"] for key in published] == [tokens.key(other).kid, tokens.key(home).kid]
