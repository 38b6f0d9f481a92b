"""Checks that imports run one way: `python -m tools.imports [DIRECTORY OF services/]`.

    generated ← runtime ← rules ← tables ← queries ← handlers, reactions, driver ← __main__

The contracts are written for import-linter from the services it finds (a service is a package with a
definition.py), so that nobody lists services by hand. A service with many RPCs has rooms, which are packages; inside
each the same rules hold. What lies in `rules/`, is named so or calls itself pure is checked to be pure. Exits 1 and
shows each import that breaks a rule.
"""

import ast
import json
import re
import sys
import tempfile
from pathlib import Path

from importlinter import configuration
from importlinter.application import use_cases

ROOT = Path(__file__).resolve().parent.parent
# Each may import those that follow. Parentheses: a service need not have it; ":": they may know each other.
# A service with many RPCs has its handlers in several modules: coupon_handlers, handlers.
LAYERS = ["(__main__)", "{handlers} : (reactions) : (driver)", "(queries)", "(tables)", "(rules)"]
# The same for rooms; "|": they may not know each other, so that each could become a service by moving its folder.
ROOMS = {
    "payment": [
        "(__main__)",
        "(operations)",
        "(payments)",
        "(ledger) | (settlement) | (methods) | (store_settings)",
        "(gateways) | (tables)",
        "(rules)",
    ],
    # What people type is above what runs processes: containers and tests know no command.
    "cluster": ["(__main__)", "(cli)", "(demo)", "(commands)", "(cluster) : (provision)", "(traces)"],
}
# The provider that is played: a company of its own.
SANDBOX = "services.sandbox"
# What talks to providers knows these parts of its service.
KNOWN_TO_GATEWAYS = {"gateways", "rules", "settings"}
WORKING = re.compile(r"__main__|\w*handlers|reactions|driver|queries|tables")
# No claim of their own is needed: their place or name is one.
RULES = re.compile(r"\w*rules|prices")
NOT_PURE = [
    *("aiohttp", "alembic", "asyncio", "asyncpg", "grpc", "nats", "sqlalchemy"),
    *("os", "pathlib", "random", "socket", "subprocess", "time"),
]

Contract = dict[str, str | list[str]]


def parts(package: Path) -> list[str]:
    """The names of a package's modules and subpackages."""
    modules = [path.stem for path in package.glob("*.py") if path.stem != "__init__"]
    return sorted(modules + [path.name for path in package.iterdir() if (path / "__init__.py").exists()])


def modules(root: Path) -> dict[str, Path]:
    """Every module below root/services by its name, packages too."""
    paths = sorted((root / "services").rglob("*.py"))
    names = [".".join(path.relative_to(root).with_suffix("").parts) for path in paths]
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


def is_pure(name: str, path: Path) -> bool:
    """Tell whether a module is to be pure: by its place, its name, or its own word."""
    if path.name == "__init__.py":
        return False
    in_rules = any(RULES.fullmatch(part) for part in name.split(".")[2:])
    return in_rules or bool(re.search(r"\b[Pp]ure\b", ast.get_docstring(ast.parse(path.read_text())) or ""))


def contracts(root: Path) -> list[Contract]:
    """Every rule, for the packages below root/services."""
    found = {f"services.{name}": parts(root / "services" / name) for name in parts(root / "services")}
    found.pop("services.runtime", None)
    services = [package for package, names in found.items() if "definition" in names]
    around = [package for package in found if package not in services]
    definitions = [f"{package}.definition" for package in services]
    private = [f"{package}.{part}" for package in services for part in found[package] if part != "definition"]
    known = {name: path for name, path in modules(root).items() if not name.startswith("services.runtime")}
    pure = [name for name, path in known.items() if is_pure(name, path)]
    rooms = [name for name in private if known[name].name == "__init__.py"]
    working = [name for name in private if name in rooms or WORKING.fullmatch(name.rpartition(".")[2])]
    handlers = {f"({name})" for names in found.values() for name in names if name.endswith("handlers")}
    layers = [layer.format(handlers=" : ".join(sorted({*handlers, "(handlers)"}))) for layer in LAYERS]
    direct = {"allow_indirect_imports": "true"}
    return [
        {"name": "no service imports another service", "type": "independence", "modules": services},
        {
            "name": "layers inside a service and inside a room",
            "type": "layers",
            "layers": layers,
            "containers": [*services, *rooms],
        },
        *(_rooms(code) for code in ROOMS if f"services.{code}" in found),
        *(_gateways(package, found[package]) for package in services if "gateways" in found[package]),
        forbidden("what is pure touches nothing", pure, NOT_PURE, **direct),
        forbidden("no service imports what runs or routes services", services, around),
        forbidden("what runs or routes services knows their definitions only", around, private, **direct),
        forbidden("a definition imports no working part", definitions, working),
        forbidden("the runtime knows no service", ["services.runtime"], list(found)),
        forbidden(
            "another company shares no code",
            [package for package in around if package == SANDBOX],
            ["services.runtime", *found.keys() - {SANDBOX}],
        ),
        forbidden("generated code stands alone", ["commerce", "buf"], ["services"]),
        forbidden("production imports no test and no tool", ["services"], ["tests", "tools"]),
    ]


def _rooms(code: str) -> Contract:
    return {
        "name": f"rooms of {code}",
        "type": "layers",
        "layers": ROOMS[code],
        "containers": [f"services.{code}"],
    }


def _gateways(package: str, names: list[str]) -> Contract:
    """What talks to a provider knows rules and its settings only."""
    others = [f"{package}.{name}" for name in names if name not in KNOWN_TO_GATEWAYS]
    return forbidden(f"gateways of {package} know rules and settings", [f"{package}.gateways"], others)


def forbidden(name: str, sources: list[str], targets: list[str], **options: str) -> Contract:
    return {
        "name": name,
        "type": "forbidden",
        "source_modules": sources,
        "forbidden_modules": targets,
        **options,
    }


def as_toml(rows: list[Contract]) -> str:
    """import-linter's configuration; JSON's strings and lists are TOML's too."""
    lines = [
        "[tool.importlinter]",
        'root_packages = ["services", "commerce", "buf"]',
        "include_external_packages = true",
    ]
    for row in rows:
        lines += [
            "[[tool.importlinter.contracts]]",
            *(f"{key} = {json.dumps(value)}" for key, value in row.items()),
        ]
    return "\n".join(lines)


def main(root: Path) -> int:
    sys.path[:0] = [str(root), str(root / "generated")]
    configuration.configure()
    # A rule about nothing (no service has rules yet) is no rule.
    rows = [row for row in contracts(root) if [] not in row.values()]
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as config:
        config.write(as_toml(rows))
        config.flush()
        kept = use_cases.lint_imports(config_filename=config.name, cache_dir=None, no_logo=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT))
