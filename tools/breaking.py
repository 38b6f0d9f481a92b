"""Refuses a change of the contract that breaks its clients: `python -m tools.breaking`.

The contract is compared with the one before it in git: HEAD's when the working tree changes it, else the
one that HEAD's version replaced. Nothing to compare with is a pass (a first commit, a clone without
history, no git). An intended break is allowed in buf.yaml, by rule and file.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from tools.generate import BUF, ROOT

CONTRACT = "protos/commerce"


def git(*arguments: str) -> bytes:
    """What git prints; nothing when it fails, as it does where there is no history, or is not there."""
    try:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=False).stdout
    except FileNotFoundError:
        return b""


def baseline() -> bytes:
    """A tar of the workspace with the contract before this one; empty when there is none."""
    commit = "HEAD"
    if not git("status", "--porcelain", "--", CONTRACT):
        last_change = git("rev-list", "--max-count=1", "HEAD", "--", CONTRACT).decode().strip()
        commit = f"{last_change}~1"
    return git("archive", "--format=tar", commit, "buf.yaml", "protos")


def main() -> int:
    before = baseline()
    if not before:
        print("no earlier contract to compare with")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch) / "before.tar"
        workspace.write_bytes(before)
        return subprocess.run([BUF, "breaking", "--against", workspace], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
