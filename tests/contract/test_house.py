"""The house: nothing that serves every service names one."""

import re
from pathlib import Path

import pytest

from services.runtime.definition import definitions

ROOT = Path(__file__).parent.parent.parent
SHARED = [
    *sorted((ROOT / "services/runtime").rglob("*.py")),
    *sorted((ROOT / "services/gateway").rglob("*.py")),
    *sorted((ROOT / "services/cluster").glob("*.py")),
    *sorted((ROOT / "services/cluster/commands").rglob("*.py")),
    *sorted((ROOT / "services/cluster/traces").glob("*.py")),
    ROOT / "tests/conftest.py",
]
# The commands that a person types about orders and payments, and the card's calls to paste, are about them; a token's
# customer is a claim.
SPOKEN = {
    *{"tokens.py", "commands/card.py", "commands/gateway.py", "commands/imports.py", "commands/orders.py"},
    *{"commands/payments.py", "commands/settlement_csv.py", "commands/settlements.py", "commands/watch.py"},
    "commands/webhooks.py",
    # What `doctor` asks of orders and payments, and in which tables `trace` looks an id up.
    *{"commands/symptoms.py", "traces/tracing.py"},
}
# Another company, and whoever starts processes and signs tokens for them.
OWN_CLOCKS = {"sandbox", "cluster"}


def named(text: str) -> set[str]:
    """The services that a source names: by their package, their contract, or as a word in quotes."""
    text = re.sub(r"#.*", "", text)
    codes = "|".join(definition.code for definition in definitions())
    found = re.findall(rf"services\.({codes})\b|commerce\.({codes})\b|[\"']({codes})[\"']", text)
    return {code for groups in found for code in groups if code}


@pytest.mark.parametrize(
    "path",
    sorted({*SHARED} - {ROOT / "services/cluster" / name for name in SPOKEN}),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_what_is_shared_names_no_service(path):
    assert named(path.read_text()) == set()


@pytest.mark.parametrize(
    "line", ["import services.order", "from commerce.payment.v1 import x", 'PORTS = {"catalog": 7003}']
)
def test_a_service_that_is_named_is_found(line):
    assert named(line)


def test_only_the_clock_reads_the_machines_time():
    """What decides by time asks services/runtime/times.py, so that a test can set it ahead."""
    reads = re.compile(r"\btime\.time\b|datetime\.(now|today|utcnow)\(")
    found = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "services").rglob("*.py")
        if reads.search(path.read_text()) and not OWN_CLOCKS & set(path.relative_to(ROOT).parts)
    }
    assert found == {"services/runtime/times.py"}
