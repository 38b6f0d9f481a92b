"""Whose tokens a cluster takes beside its own is read again whenever COMMERCE_JWKS_FILE changes."""

import asyncio
import contextlib
import json

import pytest
from joserfc.jwk import ECKey

from services.cluster import tokens
from services.cluster.home import Home
from tests.shop import eventually


@pytest.fixture
def outside(tmp_path, monkeypatch):
    path = tmp_path / "identity.json"
    monkeypatch.setenv("COMMERCE_JWKS_FILE", str(path))
    return path


@pytest.fixture
async def home(tmp_path, outside):
    home = Home(tmp_path / "home")
    home.prepare()
    outside.write_text(json.dumps({"keys": [public("first")]}))
    tokens.publish(home, "development")
    following = asyncio.create_task(tokens.follow(home, "development"))
    yield home
    following.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await following


def public(kid):
    key = ECKey.generate_key("P-256", {"kid": kid}, auto_kid=False)
    return key.as_dict(private=False)


def trusted(home):
    keys = json.loads((home.keys / "jwks.json").read_text())["keys"]
    return [key["kid"] for key in keys if key["kid"] != tokens.key(home).kid]


async def test_a_key_comes_and_another_goes(home, outside):
    assert trusted(home) == ["first"]

    outside.write_text(json.dumps({"keys": [public("second"), public("third")]}))

    async def are_taken():
        return trusted(home) == ["second", "third"]

    await eventually(are_taken)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"keys": 7}', "{}"])
async def test_what_is_no_file_of_keys_changes_nothing_and_is_said(home, outside, capsys, text):
    outside.write_text(text)

    said = ""

    async def is_said():
        nonlocal said
        said += capsys.readouterr().err
        return "the last good keys stay" in said

    await eventually(is_said)
    assert trusted(home) == ["first"]
    outside.unlink()
    outside.write_text(json.dumps({"keys": [public("second")]}))

    async def is_taken():
        return trusted(home) == ["second"]

    await eventually(is_taken)
