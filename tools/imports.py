"""Checks that imports run one way: `python -m tools.imports [DIRECTORY OF services/]`.

    generated ← runtime ← rules ← tables ← queries ← handlers, reactions, driver ← __main__

The contracts are written for import-linter from the services it finds (a service is a package with a
definition.py), so that nobody lists services by hand. Exits 1 and shows each import that breaks a rule.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

from importlinter import configuration
from importlinter.application import use_cases

ROOT = Path(__file__).resolve().parent.parent
# Each may import those that follow. Parentheses: a service need not have it; ":": they may know each other.
# A service with many RPCs has its handlers in several modules: shop_handlers, handlers.
LAYERS = ["(__main__)", "{handlers} : (reactions) : (driver)", "(queries)", "(tables)", "(rules)"]
WORKING = re.compile(r"__main__|\w*handlers|reactions|driver|queries|tables")
PURE = re.compile(r"\w*rules|prices")
NOT_PURE = ["alembic", "asyncio", "asyncpg", "grpc", "nats", "sqlalchemy"]

Contract = dict[str, str | list[str]]


def parts(package: Path) -> list[str]:
    """The names of a package's modules and subpackages."""
    modules = [path.stem for path in package.glob("*.py") if path.stem != "__init__"]
    return sorted(modules + [path.name for path in package.iterdir() if (path / "__init__.py").exists()])


def contracts(root: Path) -> list[Contract]:
    """Every rule, for the packages below root/services."""
    found = {f"services.{name}": parts(root / "services" / name) for name in parts(root / "services")}
    found.pop("services.runtime", None)
    services = [package for package, names in found.items() if "definition" in names]
    around = [package for package in found if package not in services]
    definitions = [f"{package}.definition" for package in services]
    private = [f"{package}.{part}" for package in services for part in found[package] if part != "definition"]
    rules = [name for name in private if PURE.fullmatch(name.rpartition(".")[2])]
    working = [name for name in private if WORKING.fullmatch(name.rpartition(".")[2])]
    handlers = sorted(
        {f"({name})" for names in found.values() for name in names if name.endswith("handlers")}
    )
    layers = [layer.format(handlers=" : ".join(handlers or ["(handlers)"])) for layer in LAYERS]
    direct = {"allow_indirect_imports": "true"}
    return [
        {"name": "no service imports another service", "type": "independence", "modules": services},
        {"name": "layers inside a service", "type": "layers", "layers": layers, "containers": services},
        forbidden("rules are pure", rules, NOT_PURE, **direct),
        forbidden("no service imports what runs or routes services", services, around),
        forbidden("what runs or routes services knows their definitions only", around, private, **direct),
        forbidden("a definition imports no working part", definitions, working),
        forbidden("the runtime knows no service", ["services.runtime"], list(found)),
        forbidden("generated code stands alone", ["commerce", "buf"], ["services"]),
        forbidden("production imports no test and no tool", ["services"], ["tests", "tools"]),
    ]


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
