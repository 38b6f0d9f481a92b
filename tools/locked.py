"""Proves that requirements.lock belongs to its inputs: `python -m tools.locked`.

Every requirement of pyproject.toml (with its extras) and requirements.in is locked at a version it allows,
every locked package has hashes and no address, and what is installed here is what is locked.
"""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def asked() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [line for extra in project["optional-dependencies"].values() for line in extra]
    pins = [line for line in (ROOT / "requirements.in").read_text().splitlines() if line and line[0] != "#"]
    return [Requirement(line) for line in [*project["dependencies"], *extras, *pins]]


def locked(entries: list[str]) -> dict[str, Requirement]:
    requirements = [Requirement(entry.partition(" --hash")[0]) for entry in entries]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def pinned(requirement: Requirement) -> str:
    """The one version a locked requirement names."""
    return next(iter(requirement.specifier)).version


def installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def drift(lock: str) -> list[str]:
    """What is wrong, one sentence each."""
    entries = [line for line in lock.replace("\\\n", " ").splitlines() if line and line[0] != "#"]
    lines = [" ".join(line.split()) for line in entries]
    found = locked(lines)
    wrong = [f"has no hash: {line}" for line in lines if "--hash=sha256:" not in line]
    wrong += ["requirements.lock names an address"] if "://" in lock or "--index" in lock else []
    for requirement in asked():
        lock_entry = found.get(canonicalize_name(requirement.name))
        if lock_entry is None or pinned(lock_entry) not in requirement.specifier:
            wrong.append(f"{requirement} is asked for, {lock_entry or 'nothing'} is locked: run `make lock`")
    for name, requirement in found.items():
        if (requirement.marker is None or requirement.marker.evaluate()) and installed(name) != pinned(
            requirement
        ):
            wrong.append(f"{requirement} is locked, {installed(name)} is in .venv: run `make setup`")
    return wrong


def main() -> int:
    wrong = drift((ROOT / "requirements.lock").read_text())
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
