"""The guide for whoever changes something: its recipes fit the code as it is, and its links lead somewhere.

That they can be carried out as well is tested by test_recipes.py, which takes its time.
"""

import re

import pytest

from tests.contract.recipes import GUIDE, RECIPES, ROOT, changed, hunks


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_fits_the_code_or_has_been_carried_out(title):
    *changes, _ = RECIPES[title]
    texts: dict[str, str] = {}
    for path, kind, text in changes:
        source = texts.get(path) or ((ROOT / path).read_text() if (ROOT / path).exists() else "")
        if kind != "diff":
            assert source in ("", text), path
        elif not all(source.count(after) == 1 for _, after in hunks(text)):
            texts[path] = changed(source, text)


def test_there_is_one_for_each_change_that_people_make():
    assert list(RECIPES) == ["field", "RPC", "event", "migration", "mutant", "service"]


def test_the_guides_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)\)", GUIDE.read_text()):
        assert (ROOT / link).exists(), link
