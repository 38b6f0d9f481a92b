"""Breaks each promise on purpose and shows which test notices: `make mutants` (ARGS="inbox lease" for some of them).

Each mutant of tests/mutants.py is applied to a copy of the tree, by itself, and the test that should fail is run there.
Exits 1 when one survives, a promise that nobody keeps watch over, or when a test could not begin.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants import MUTANTS, Mutant

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".commerce", ".hypothesis", "__pycache__", ".*_cache")
SECONDS = 300
CAUGHT = "caught"


def caught(mutant: Mutant, scratch: Path) -> bool:
    """Tell whether the mutant's test fails in a copy of the tree that has it. What did not begin has not failed."""
    copy = scratch / "copy"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    (copy / ".venv").symlink_to(ROOT / ".venv")
    try:
        path = copy / mutant.file
        path.write_text(mutant.applied(path.read_text()))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            *mutant.tests,
            f"--basetemp={scratch / 'pytest'}",
        ]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(copy), str(copy / "generated")))}
        ran = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if ran.returncode not in (0, 1):
            raise RuntimeError(f"{mutant.name}: pytest did not run\n{ran.stdout[-2000:]}{ran.stderr[-2000:]}")
        *_, summary = ran.stdout.splitlines()
        if ran.returncode and not re.match(r"=*\s*\d+ failed", summary):
            raise RuntimeError(f"{mutant.name}: its test did not begin or end\n{ran.stdout[-2000:]}")
        return ran.returncode == 1
    except subprocess.TimeoutExpired:
        return True  # It hangs: that is noticed, too.
    finally:
        shutil.rmtree(copy)


def main() -> int:
    wanted = sys.argv[1:]
    uncaught = []
    for mutant in MUTANTS:
        if wanted and not any(word in mutant.name for word in wanted):
            continue
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            try:
                verdict = CAUGHT if caught(mutant, Path(scratch)) else "SURVIVES"
            except RuntimeError as error:
                verdict = "BROKEN"
                print(error)
        print(
            f"{verdict:8} {mutant.name:45} {time.monotonic() - began:5.0f} s  {' '.join(mutant.tests)}",
            flush=True,
        )
        if verdict != CAUGHT:
            uncaught.append(mutant.name)
    print(f"not caught: {'; '.join(uncaught)}" if uncaught else "all caught")
    return 1 if uncaught else 0


if __name__ == "__main__":
    sys.exit(main())
