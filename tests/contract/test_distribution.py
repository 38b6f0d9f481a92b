"""The order in which several processes take the files of tests, and what they say of the time that it took."""

from pathlib import Path

import pytest

from tests.distribution import LONG
from tests.times import Times

TESTS = Path(__file__).parent.parent


def test_every_file_that_takes_long_is_there():
    assert [name for name in LONG if not (TESTS / f"{name}.py").exists()] == []


def report(test, when, seconds, process, stop):
    told = pytest.TestReport(test, ("", 0, ""), {}, "passed", None, when, duration=seconds, stop=stop)
    told.worker_id = process  # type: ignore[attr-defined]
    return told


def test_the_time_is_told_by_folder_file_and_test_and_who_was_done_early():
    times = Times()
    quick, slow = "tests/order/test_paying.py::test_a", "tests/saga/matrix/test_races.py::test_b[::]"
    times.pytest_runtest_logreport(report(quick, "setup", 1.0, "gw0", 101))
    times.pytest_runtest_logreport(report(slow, "setup", 4.0, "gw1", 104))
    times.pytest_runtest_logreport(report(quick, "call", 2.0, "gw0", 103))
    times.pytest_runtest_logreport(report(slow, "call", 30.0, "gw1", 134))
    times.pytest_runtest_logreport(report(slow, "teardown", 0.5, "gw1", 135))

    assert [line.split() for line in times.lines()] == [
        ["tests", "seconds", "set-up", "folder"],
        ["1", "34.5", "4.0", "saga"],
        ["1", "3.0", "1.0", "order"],
        ["tests", "seconds", "set-up", "file"],
        ["1", "34.5", "4.0", "saga/matrix/test_races"],
        ["1", "3.0", "1.0", "order/test_paying"],
        ["tests", "seconds", "set-up", "test"],
        ["1", "34.5", "4.0", "saga/matrix/test_races.py::test_b[::]"],
        ["1", "3.0", "1.0", "order/test_paying.py::test_a"],
        ["gw0", "ended", "32", "seconds", "before", "the", "last"],
        ["gw1", "ended", "0", "seconds", "before", "the", "last"],
    ]
