"""The order in which several processes take the files of tests."""

from pathlib import Path

from tests.distribution import LONG

TESTS = Path(__file__).parent.parent


def test_every_file_that_takes_long_is_there():
    assert [name for name in LONG if not (TESTS / f"{name}.py").exists()] == []
