"""Promises broken on purpose, each with the test that notices: `make mutants` applies them to a copy, one by one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """`before` stands in the file once and becomes `after`; then one of the tests fails."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]

    def applied(self, source: str) -> str:
        """Return the source with the mutant in it."""
        if source.count(self.before) != 1:
            raise ValueError(f"{self.name}: {self.file} holds its text {source.count(self.before)} times")
        return source.replace(self.before, self.after)


MUTANTS: tuple[Mutant, ...] = ()
