"""Each recipe of CONTRIBUTING.md is carried out, as it is written, on a copy of the tree."""

import os
import re
import shutil
import subprocess

import pytest

from tests.contract.recipes import RECIPES, ROOT, changed

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".commerce", ".hypothesis", "__pycache__", ".*_cache")
SECONDS = 600
# What the command that runs these tests was told is not for the commands in the copy.
OURS = re.compile(r"PYTEST_|MAKE|MFLAGS|ARGS$")


class Copy:
    """The tree, in which a recipe is carried out by the environment that is there."""

    def __init__(self, scratch):
        self.path = scratch / "copy"
        shutil.copytree(ROOT, self.path, ignore=LEFT_OUT)
        (self.path / ".venv").symlink_to(ROOT / ".venv")
        for name in ("pyproject.toml", "requirements.lock"):
            os.utime(self.path / name, (0, 0))  # The environment is newer: nothing is to be installed.
        kept = {name: value for name, value in os.environ.items() if not OURS.match(name)}
        self._environment = kept | {
            "PYTHONPATH": f"{self.path}:{self.path / 'generated'}",
            "PYTEST_ADDOPTS": f"--basetemp={scratch / 'pytest'}",
            "COMMERCE_HOME": str(scratch / "home"),
            # What is the same here need not be looked at twice: mypy takes five seconds instead of half a minute.
            "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache"),
        }

    def write(self, block):
        path = self.path / block.path
        if block.kind == "diff":
            path.write_text(changed(path.read_text(), block.text))
        else:
            assert not path.exists(), path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)

    def run(self, script):
        """The exit code of a script, and what it printed."""
        ran = subprocess.run(
            ["bash", "-ex", "-c", script],
            cwd=self.path,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return ran.returncode, ran.stdout


@pytest.mark.parametrize("title", RECIPES)
def test_is_carried_out_as_it_is_written(tmp_path, title):
    copy = Copy(tmp_path)
    *changes, commands = RECIPES[title]
    assert all(block.path for block in changes)
    assert commands.kind == "sh"

    for block in changes:
        copy.write(block)

    code, said = copy.run(commands.text)
    assert code == 0, said


def test_that_is_only_begun_turns_the_check_red(tmp_path):
    """An RPC without a handler, a service of the contract alone, a package without a README and the rest."""
    copy = Copy(tmp_path)
    for title in ("RPC", "service"):
        copy.write(next(block for block in RECIPES[title] if block.path.endswith("_service.proto")))
    (copy.path / "services/hollow").mkdir()
    (copy.path / "services/hollow/handlers.py").touch()

    code, said = copy.run("make generate; make check ARGS=whole")

    assert code != 0
    for missing in ("CustomerService/CountCustomers", "LoyaltyService/AddPoints", "hollow"):
        assert missing in said
