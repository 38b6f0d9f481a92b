"""Proves that protos/vendor is what its packages ship: `python -m tools.vendored`.

protos/vendor/HASHES has one line a file: sha256, path below protos/vendor, package, version. A file that
was edited, added or lost is named and the exit status is 1.
"""

import hashlib
import sys
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "protos/vendor"


def recorded() -> dict[str, str]:
    """Path to sha256, as HASHES has it."""
    lines = (VENDOR / "HASHES").read_text().splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    return {path: sha256 for sha256, path, _package, _version in rows}


def present() -> dict[str, str]:
    """Path to sha256, as the directory has it."""
    return {
        path.relative_to(VENDOR).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "HASHES"
    }


def main() -> int:
    expected, found = recorded(), present()
    wrong = sorted(path for path in expected.keys() | found.keys() if expected.get(path) != found.get(path))
    for path in wrong:
        print(f"protos/vendor/{path} is not the file that protos/vendor/HASHES records")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
