"""The README's worked example of a gateway is code that passes the kit."""

import re
from pathlib import Path

import pytest

from tests.payment.worlds import WORLDS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "services/payment/README.md"
SOURCES = [*(ROOT / "tests/payment/acme").glob("*.py"), ROOT / "tests/payment/worlds/__init__.py"]


def section():
    found = re.search(
        r"^## How to add a gateway$.*?(?=^## |\Z)", README.read_text(), re.DOTALL | re.MULTILINE
    )
    if found is None:
        pytest.skip("the README does not have it yet")
    return found[0]


def test_what_the_readme_shows_is_what_the_kit_runs():
    code = [path.read_text() for path in SOURCES]
    blocks = re.findall(r"^```python\n(.*?)^```$", section(), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 5
    for block in blocks:
        assert any(block in text for text in code), block
    assert "acme" in WORLDS


def test_the_readmes_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)\)", section()):
        assert (README.parent / link).exists(), link
