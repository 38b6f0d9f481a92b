"""Rows beside the same rows of another commit, in turns, so that what the machine does meanwhile falls on both."""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.bench.figures import number, spread

ROOT = Path(__file__).resolve().parents[2]
OURS = "now"

# By figure, in the order in which they came: its values.
Values = dict[str, list[float]]


def against(revision: str, rows: Sequence[str], seconds: float, console: Console) -> int:
    """Measure rows here and at a commit, and show both; 1 when a row could not be measured at one of them.

    Raises subprocess.CalledProcessError when there is no such commit, or its environment cannot be made.
    """
    commit = _git("rev-parse", "--short", "--verify", f"{revision}^{{commit}}")
    missing: dict[str, str] = {}
    with _checked_out(commit) as theirs:
        trees = {commit: theirs, OURS: ROOT}
        found: dict[str, Values] = {name: {} for name in trees}
        # Whoever is first in one turn is last in the next.
        for row, name in product(rows, (*trees, *reversed(trees))):
            which = f"{row} at {name}"
            if which in missing:
                continue
            console.print(f"[dim]{which}[/]", highlight=False)
            if fault := _measure(trees[name], row, seconds, found[name]):
                missing[which] = fault
    console.print(_table(commit, found[commit], found[OURS]))
    for which, fault in missing.items():
        console.print(f"[red]✗[/] {which}: {escape(fault)}", highlight=False)
    return 1 if missing else 0


def _measure(tree: Path, row: str, seconds: float, into: Values) -> str:
    """Measure a row in a tree, by the tree's own bench, and add its values. Return why it could not be done, or ""."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "bench.json"
        command = [_python(tree), "-m", "tests.bench", row, "--seconds", str(seconds), "--json", str(report)]
        ran = subprocess.run(command, cwd=tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if ran.returncode:
            return ran.stdout.decode(errors="replace").strip()[-2000:]
        for figure in json.loads(report.read_text())["figures"]:
            into.setdefault(f"{figure['what']} {figure['unit']}", []).append(figure["value"])
    return ""


@contextmanager
def _checked_out(commit: str) -> Iterator[Path]:
    """A commit's tree with an environment of its own, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="commerce-bench-") as folder:
        Path(folder).chmod(0o711)
        tree = Path(folder) / commit
        _git("worktree", "add", "--detach", str(tree), commit)
        try:
            subprocess.run(["make", "--silent", "setup"], cwd=tree, stderr=subprocess.DEVNULL, check=True)
            yield tree
        finally:
            _git("worktree", "remove", "--force", str(tree))


def _table(commit: str, before: Values, now: Values) -> Table:
    table = Table("figure", commit, OURS, f"{OURS} / {commit}", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for what in dict.fromkeys([*before, *now]):
        old, new = before.get(what, []), now.get(what, [])
        middle = statistics.median(old) if old else 0
        ratio = f"{number(statistics.median(new) / middle)}×" if new and middle else ""
        table.add_row(
            what.removesuffix(" "), *(spread(values) if values else "" for values in (old, new)), ratio
        )
    return table


def _python(tree: Path) -> str:
    return sys.executable if tree == ROOT else str(tree / ".venv" / "bin" / "python")


def _git(*arguments: str) -> str:
    ran = subprocess.run(["git", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return ran.stdout.strip()
