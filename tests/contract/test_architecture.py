"""docs/architecture.md shows the house as the imports make it, and the pages beside it name what there is."""

import re
from pathlib import Path

import pytest

from services.runtime.definition import definitions
from tools.architecture import PAGE, drawn, import_graph

ROOT = Path(__file__).resolve().parents[2]
SERVICES = {definition.code for definition in definitions()}


@pytest.fixture(scope="module")
def graph():
    return import_graph()


@pytest.mark.parametrize("arrow", ["order --> runtime", "catalog -. hears .-> order", "payments --> methods"])
def test_an_arrow_that_is_missing_or_too_many_is_mended(graph, arrow):
    page = PAGE.read_text()
    assert page.count(f"    {arrow}\n") == 1

    assert drawn(page.replace(f"    {arrow}\n", ""), graph) == page
    assert drawn(page.replace(arrow, f"{arrow}\n    runtime --> order"), graph) == page


def test_every_service_with_rooms_has_a_picture_of_them(graph):
    folders = {path.parent for path in (ROOT / "services").glob("*/*/*.py")}
    rooms = {folder.parent.name for folder in folders if folder.name != "migrations"}
    assert rooms
    assert rooms | {"house"} == set(re.findall(r"<!-- picture: (\w+) -->", PAGE.read_text()))


def test_no_two_packages_lead_to_each_other(graph):
    for picture in re.findall(r"^```mermaid\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE):
        arrows = set(re.findall(r"^    (\w+) --> (\w+)$", picture, re.MULTILINE))
        assert arrows
        assert not arrows & {(after, before) for before, after in arrows}


@pytest.mark.parametrize(
    ("readme", "mark", "there"),
    [
        ("services/runtime", "`{}`", {path.stem for path in (ROOT / "services/runtime").glob("[a-z]*.py")}),
        # A service's tests lie in a folder of its name.
        ("tests", "`{}/`", {path.name for path in (ROOT / "tests").glob("[a-z]*/")} - SERVICES),
    ],
)
def test_a_readme_that_is_a_map_names_everything_there(readme, mark, there):
    text = (ROOT / readme / "README.md").read_text()

    assert len(there) > 5
    assert {name for name in there if mark.format(name) not in text} == set()


@pytest.mark.parametrize(
    "page", ["docs/architecture.md", "docs/rpcs.md", "services/runtime/README.md", "CHANGELOG.md"]
)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert ((ROOT / page).parent / link).exists(), link


def test_the_files_that_it_names_are_there():
    named = set(re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", PAGE.read_text()))
    there = {
        f"/{path.relative_to(ROOT)}"
        for folder in ("services", "tools")
        for path in (ROOT / folder).rglob("*.py")
    }

    assert len(named) > 30
    assert [name for name in named if not any(f"/{name}" in path for path in there)] == []


def test_the_glossary_says_each_word_once_and_the_code_says_it_too():
    words = re.findall(r"^\| ([^|]+) \| ", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)[1:]
    paths = [*(ROOT / "services").rglob("*.py"), *(ROOT / "protos/commerce").rglob("*.proto")]
    code = re.sub(r"[\s_]+", " ", "".join(path.read_text() for path in paths)).lower()

    assert len(words) >= 25
    assert len(words) == len(set(words))
    assert [word for word in words if not re.search(rf"\b{word.replace('_', ' ')}", code)] == []
