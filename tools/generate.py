"""Writes generated/ from the contract: messages, gRPC classes, type stubs, Envoy's descriptor set.

Usage: python -m tools.generate            writes generated/, leaving nothing stale behind
       python -m tools.generate --check    writes nothing; exits 1 and names the files that differ

The result depends only on the .proto files and the locked packages, byte for byte.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
GENERATED = ROOT / "generated"
BUF = ROOT / ".venv/bin/buf"
# Loaded with importlib.resources, so it lies inside the package, in a wheel as in a checkout.
DESCRIPTORS = Path("commerce/descriptors.binpb")


def write(target: Path) -> None:
    """Fills the empty directory `target` with what generated/ should hold."""
    with tempfile.TemporaryDirectory() as scratch:
        buf("generate", "--output", scratch)
        shutil.copytree(Path(scratch) / "generated", target, dirs_exist_ok=True)
    for stub in target.rglob("*_pb2_grpc.pyi"):
        if not stub.with_suffix(".py").exists():  # mypy-protobuf writes one for files without a service too.
            stub.unlink()
    # Whole workspace: Envoy needs google.rpc's error details to write an error body.
    buf("build", "--as-file-descriptor-set", "--exclude-source-info", "--output", str(target / DESCRIPTORS))
    for package in [path for path in target.rglob("*") if path.is_dir()]:
        (package / "__init__.py").touch()
        if package.parent == target:
            (package / "py.typed").touch()


def buf(*arguments: str) -> None:
    subprocess.run([BUF, *arguments], cwd=ROOT, check=True)


def contents(directory: Path) -> dict[Path, bytes]:
    """Every generated file by its relative path."""
    files = (path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(directory): path.read_bytes() for path in files}


def replace(fresh: dict[Path, bytes], current: dict[Path, bytes]) -> None:
    """Touches only what differs, so that a running import never sees half a package."""
    for path in current.keys() - fresh.keys():
        (GENERATED / path).unlink()
    for path, content in fresh.items():
        if current.get(path) != content:
            (GENERATED / path).parent.mkdir(parents=True, exist_ok=True)
            (GENERATED / path).write_bytes(content)
    for directory in sorted((path for path in GENERATED.rglob("*") if path.is_dir()), reverse=True):
        if directory.name == "__pycache__" or not any(directory.iterdir()):
            shutil.rmtree(directory)


def keep(path: Path, after: str, check: bool, otherwise: str) -> int:
    """Write a page that is made, or only check it: 1, and what it says `otherwise`, when it is not as it is to be."""
    before, name = path.read_text() if path.exists() else "", path.relative_to(ROOT)
    if check and before != after:
        print(f"{name} {otherwise}: run `make generate`")
        return 1
    if not check:
        path.write_text(after)
        print(f"{name} is {'as it was' if before == after else 'written anew'}")
    return 0


def main(check: bool) -> int:
    with tempfile.TemporaryDirectory() as name:
        write(Path(name))
        fresh, current = contents(Path(name)), contents(GENERATED)

    stale = sorted(path for path in fresh.keys() | current.keys() if fresh.get(path) != current.get(path))
    if not check:
        replace(fresh, current)
        print(f"generated/ holds {len(fresh)} files, {len(stale)} changed")
        return 0
    for path in stale:
        print(f"generated/{path} is not what the contract generates: run `make generate`")
    return 1 if stale else 0


if __name__ == "__main__":
    try:
        sys.exit(main(check="--check" in sys.argv[1:]))
    except subprocess.CalledProcessError as failure:
        sys.exit(failure.returncode)  # buf has said why.
