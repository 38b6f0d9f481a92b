"""Where the time goes: what a run of a minute or more prints at its end, by folder, file and test.

It shows what distribution.LONG should say, and which process is at work alone in the end.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.distribution import folder, name

# Whoever runs a few tests did not ask where the time went.
WORTH_TELLING_SECONDS = 60
SHOWN = 15


@dataclass
class Spent:
    """What some tests took: in seconds, the whole and what they began with."""

    tests: int = 0
    whole: float = 0.0
    set_up: float = 0.0


class Times:
    """A plugin that counts as the reports of tests come in, from whichever process."""

    def __init__(self) -> None:
        self._tests: dict[str, Spent] = defaultdict(lambda: Spent(tests=1))
        self._ends: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test's beginning, itself, or its end."""
        self._tests[report.nodeid].whole += report.duration
        if report.when == "setup":
            self._tests[report.nodeid].set_up += report.duration
        self._ends[getattr(report, "worker_id", "")] = report.stop

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print it."""
        if sum(spent.whole for spent in self._tests.values()) >= WORTH_TELLING_SECONDS:
            terminalreporter.section("where the time goes")
            for line in self.lines():
                terminalreporter.write_line(line)

    def lines(self) -> Iterator[str]:
        """The folders, the longest files, the longest tests, and how long before the last each process ended."""
        yield from self._table("folder", lambda test: folder(_file(test)).removeprefix("tests/"))
        yield from self._table("file", lambda test: name(_file(test)), SHOWN)
        yield from self._table("test", lambda test: test.removeprefix("tests/"), SHOWN)
        last = max(self._ends.values())
        for process, end in sorted(self._ends.items()):
            if process:
                yield f"{process} ended {last - end:.0f} seconds before the last"

    def _table(self, title: str, group: Callable[[str], str], shown: int | None = None) -> Iterator[str]:
        groups: dict[str, Spent] = defaultdict(Spent)
        for test, spent in self._tests.items():
            of = groups[group(test)]
            of.tests += spent.tests
            of.whole += spent.whole
            of.set_up += spent.set_up
        yield f"{'tests':>6} {'seconds':>8} {'set-up':>7}  {title}"
        for each, of in sorted(groups.items(), key=lambda item: -item[1].whole)[:shown]:
            yield f"{of.tests:6} {of.whole:8.1f} {of.set_up:7.1f}  {each}"


def _file(test: str) -> str:
    return test.partition("::")[0]
