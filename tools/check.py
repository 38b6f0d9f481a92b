"""Everything that `make check` proves, one line a step: `python -m tools.check [WORDS OF A STEP'S NAME]`.

All steps run, also after one has failed; what a failed step printed follows its line. Exits 1 if any failed.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv/bin"
PYTHON = str(BIN / "python")


class Step(NamedTuple):
    name: str
    command: list[str]


class Outcome(NamedTuple):
    step: Step
    passed: bool
    output: str
    duration_seconds: float


# What needs no cluster and no time: an RPC without a handler, a service without a README, a field without a bound.
WHOLE = [
    "tests/contract",
    # Thousands of requests, probes of the step above, and recipes that are carried out: `make test` has the time.
    *(f"--ignore=tests/contract/test_{name}.py" for name in ("every_refusal", "imports", "recipes")),
]

STEPS = [
    Step("types (mypy)", ["mypy"]),
    Step("format (ruff)", ["ruff", "format", "--check", "."]),
    Step("lint (ruff)", ["ruff", "check", "."]),
    Step("imports run one way", [PYTHON, "-m", "tools.imports"]),
    Step("contract format (buf)", ["buf", "format", "protos", "--diff", "--exit-code"]),
    Step("contract lint (buf)", ["buf", "lint"]),
    Step("contract breaks no client (buf)", [PYTHON, "-m", "tools.breaking"]),
    Step("generated/ is fresh", [PYTHON, "-m", "tools.generate", "--check"]),
    Step("docker-compose.yml is fresh", [PYTHON, "-m", "tools.compose", "--check"]),
    Step("docs/architecture.md is fresh", [PYTHON, "-m", "tools.architecture", "--check"]),
    Step("docs/rpcs.md is fresh", [PYTHON, "-m", "tools.rpcs", "--check"]),
    Step("contract and services are whole (pytest)", [PYTHON, "-m", "pytest", "-q", *WHOLE]),
    Step("vendored protos are untouched", [PYTHON, "-m", "tools.vendored"]),
    Step("lock belongs to its inputs", [PYTHON, "-m", "tools.locked"]),
]
COMPOSE = Step(
    "docker-compose.yml (schema)",
    ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"],
)


def run(step: Step) -> Outcome:
    begun = time.monotonic()
    program, *arguments = step.command
    done = subprocess.run(
        [BIN / program, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Outcome(step, done.returncode == 0, done.stdout, time.monotonic() - begun)


def main(wanted: str) -> int:
    steps = [*STEPS, COMPOSE] if (ROOT / "docker-compose.yml").exists() else STEPS
    failed = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for outcome in pool.map(run, [step for step in steps if wanted in step.name]):
            mark = "ok    " if outcome.passed else "FAILED"
            print(f"{mark} {outcome.step.name} ({outcome.duration_seconds:.1f} s)", flush=True)
            if not outcome.passed:
                failed.append(outcome.step.name)
                print(outcome.output.rstrip(), flush=True)
    if failed:
        print(f"{len(failed)} failed: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:])))
