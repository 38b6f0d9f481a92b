"""Writes docs/rpcs.md, a line for each RPC of the contract: `python -m tools.rpcs [--check]`.

What it does is the first sentence of its comment. With --check nothing is written: exits 1 when the page is not what
the contract says.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from commerce.options.v1 import options_pb2
from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, ServiceDescriptorProto

from tools.generate import BUF, ROOT, keep

PAGE = ROOT / "docs/rpcs.md"
HEAD = """# Every RPC

Written from the contract by `make generate`: what it says of each RPC in full, its limits and its refusals, stands in
[protos/commerce](../protos/commerce). ⇉ is a stream of replies, ⇇ one of requests. Whoever may call it sees
what is theirs: see the [roles](../README.md#roles-and-tokens). Without a path: by gRPC only.
"""
ROLES = {
    value.number: value.name.removeprefix("ROLE_").lower() for value in options_pb2.Role.DESCRIPTOR.values
}
SERVICE, METHOD = (
    6,
    2,
)  # The numbers of a file's services and of a service's methods, which lead to a comment.


def contract() -> FileDescriptorSet:
    """Read the contract with its comments, which generated/ leaves out."""
    built = subprocess.run(
        [BUF, "build", "--as-file-descriptor-set", "--output", "-"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    )
    return FileDescriptorSet.FromString(built.stdout)


def handlers() -> dict[str, Path]:
    """Find the file of the class that serves each service, by the service's name."""
    found = {}
    for path in sorted((ROOT / "services").rglob("*handlers.py")):
        for name in re.findall(r"^class \w+\((\w+)Servicer\)", path.read_text(), re.MULTILINE):
            found[name] = path.relative_to(ROOT)
    return found


def page() -> str:
    """Return the page as the contract has it."""
    served = handlers()
    parts = [HEAD]
    for file in contract().file:
        for number, service in enumerate(file.service):
            if file.package.startswith("commerce."):
                parts.append(section(file, number, service, served.get(service.name)))
    return "\n".join(parts)


def section(
    file: FileDescriptorProto, number: int, service: ServiceDescriptorProto, served: Path | None
) -> str:
    """Return a service's heading, where it lies, and its RPCs as a table."""
    code = file.package.split(".")[1]
    comments = {tuple(each.path): each.leading_comments for each in file.source_code_info.location}
    places = f"[contract](../protos/{file.name})" + (f", [handlers](../{served})" if served else "")
    lines = [f"## {code}: {service.name}", "", f"{first_sentence(comments[SERVICE, number])}: {places}.", ""]
    lines += ["| RPC | REST | who | |", "|---|---|---|---|"]
    for index, method in enumerate(service.method):
        access = method.options.Extensions[options_pb2.access]
        streams = " ⇉" * method.server_streaming + " ⇇" * method.client_streaming
        who = "anyone" if access.public else ", ".join(ROLES[role] for role in access.allow)
        paths = "<br>".join(f"`{path}`" for path in rest(method.options.Extensions[annotations_pb2.http]))
        what = first_sentence(comments[SERVICE, number, METHOD, index])
        lines.append(f"| {method.name}{streams} | {paths} | {who} | {what} |")
    return "\n".join(lines) + "\n"


def rest(rule: HttpRule) -> Iterator[str]:
    """Yield each method and path that leads to an RPC."""
    if verb := rule.WhichOneof("pattern"):
        yield f"{verb.upper()} {getattr(rule, verb)}"
    for more in rule.additional_bindings:
        yield from rest(more)


def first_sentence(comment: str) -> str:
    """Return the first sentence of a comment, on one line."""
    paragraph = " ".join(comment.strip().partition("\n\n")[0].split())
    return re.split(r"(?<=[.;])\s+(?=[A-Z])", paragraph)[0].rstrip(".")


def main(check: bool) -> int:
    return keep(PAGE, page(), check, "is not what the contract says")


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
