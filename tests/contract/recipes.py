"""The recipes of CONTRIBUTING.md as they are written."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "CONTRIBUTING.md"
# A fence, with the file that it is about above it.
BLOCK = re.compile(r"(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """Text of a recipe, and the file that it is, or changes."""

    path: str
    kind: str
    text: str


def recipes():
    """The blocks of each recipe by its title."""
    _, *sections = re.split(r"^## To add an? ", GUIDE.read_text(), flags=re.MULTILINE)
    found = {section.partition("\n")[0]: section for section in sections}
    return {title: [Block(*block) for block in BLOCK.findall(text)] for title, text in found.items()}


RECIPES = recipes()


def hunks(diff):
    """The text before and after each hunk of a diff, whose hunks say no lines."""
    for hunk in re.split(r"^@@\n", diff, flags=re.MULTILINE):
        # An empty line is one of both, as in any diff whose blanks at the ends were trimmed.
        lines = [line if line.strip() else " \n" for line in hunk.splitlines(keepends=True)]
        yield tuple("".join(line[1:] for line in lines if line[0] in marks) for marks in (" -", " +"))


def changed(source, diff):
    """A text after a diff: what each hunk begins from stands there once."""
    for before, after in hunks(diff):
        assert source.count(before) == 1, f"stands there {source.count(before)} times:\n{before}"
        source = source.replace(before, after)
    return source
