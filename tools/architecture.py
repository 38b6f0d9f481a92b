"""Draws the pictures of docs/architecture.md from the import graph: `python -m tools.architecture [--check]`.

Each stands below a comment with its name: `house` is who imports whom, calls whom and hears of whom; a service's code
is its rooms. With --check nothing is written: exits 1 when a picture is not what the code looks like.
"""

import re
import sys
from collections.abc import Iterable, Iterator

import grimp

from tools.generate import ROOT, keep

PAGE = ROOT / "docs/architecture.md"
DRAWN = re.compile(r"(<!-- picture: (\w+) -->\n\n```mermaid\n).*?(?=^```$)", re.DOTALL | re.MULTILINE)
# What a service imports of another one's contract, by what that is for.
USES = {"_service_pb2_grpc": "calls", "_events_pb2": "hears"}
# What all speak of.
SHARED = {"common", "options"}

Arrow = tuple[str, str]


def import_graph() -> grimp.ImportGraph:
    """Read every module of the services and of the contract's code."""
    sys.path[:0] = [str(ROOT), str(ROOT / "generated")]
    return grimp.build_graph("services", "commerce", cache_dir=None)


def imports(graph: grimp.ImportGraph) -> Iterator[tuple[list[str], list[str]]]:
    """Yield importer and imported of each import, by the parts of their names."""
    for importer in sorted(graph.modules):
        for imported in sorted(graph.find_modules_directly_imported_by(importer)):
            yield importer.split("."), imported.split(".")


def house(graph: grimp.ImportGraph) -> list[str]:
    """Draw the packages of services/: solid arrows import, dotted ones use another one's contract."""
    solid: set[Arrow] = set()
    dotted: dict[Arrow, set[str]] = {}
    for importer, imported in imports(graph):
        if importer[0] != "services" or len(importer) < 2 or len(imported) < 2 or importer[1] == imported[1]:
            continue
        if imported[0] == "services":
            solid.add((importer[1], imported[1]))
        elif imported[1] not in SHARED:
            uses = [use for end, use in USES.items() if imported[-1].endswith(end)]
            dotted.setdefault((importer[1], imported[1]), set()).update(uses)
    told = {arrow: " and ".join(sorted(uses)) for arrow, uses in dotted.items() if uses}
    packages = {name.rpartition(".")[2] for name in graph.find_children("services")}
    return [
        "flowchart TD",
        *(f"    {before} --> {after}" for before, after in sorted(solid)),
        *(f"    {before} -. {uses} .-> {after}" for (before, after), uses in sorted(told.items())),
        *(f"    {package}" for package in _alone(packages, [*solid, *told])),
    ]


def rooms(graph: grimp.ImportGraph, code: str) -> list[str]:
    """Draw the rooms of a service; an arrow that another way leads along too is left out."""
    named = {
        name.rpartition(".")[2]
        for name in graph.find_children(f"services.{code}")
        if graph.find_children(name)
    } - {"migrations"}
    found = {
        (importer[2], imported[2])
        for importer, imported in imports(graph)
        if importer[:2] == imported[:2] == ["services", code] and len(importer) > 2 and len(imported) > 2
    }
    arrows = {(a, b) for a, b in found if a != b and {a, b} <= named}
    return [
        "flowchart TD",
        *(f"    {before} --> {after}" for before, after in sorted(_straight(arrows))),
        *(f"    {room}" for room in _alone(named, arrows)),
    ]


def _alone(names: set[str], arrows: Iterable[Arrow]) -> list[str]:
    return sorted(names.difference(*arrows))


def _straight(arrows: Iterable[Arrow]) -> set[Arrow]:
    """Return the arrows without those that a longer way makes."""
    after: dict[str, set[str]] = {}
    for a, b in arrows:
        after.setdefault(a, set()).add(b)
    below: dict[str, set[str]] = {}
    for room in after:
        waiting, below[room] = list(after[room]), set[str]()
        while waiting:
            if (each := waiting.pop()) not in below[room]:
                below[room].add(each)
                waiting += after.get(each, ())
    return {(a, b) for a in after for b in after[a] if not any(b in below.get(c, ()) for c in after[a] - {b})}


def drawn(page: str, graph: grimp.ImportGraph) -> str:
    """Return the page with its pictures as the code is."""

    def picture(found: re.Match[str]) -> str:
        lines = house(graph) if found[2] == "house" else rooms(graph, found[2])
        return found[1] + "\n".join(lines) + "\n"

    return DRAWN.sub(picture, page)


def main(check: bool) -> int:
    after = drawn(PAGE.read_text(), import_graph())
    return keep(PAGE, after, check, "shows another house than the code is")


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
