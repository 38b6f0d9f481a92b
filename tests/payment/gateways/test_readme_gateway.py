"""The worked example of a gateway in GATEWAYS.md is code that passes the kit."""

import re
from pathlib import Path

from tests.payment.worlds import WORLDS

ROOT = Path(__file__).resolve().parents[3]
GUIDE = ROOT / "services/payment/GATEWAYS.md"
SOURCES = [*(ROOT / "tests/payment/acme").glob("*.py"), ROOT / "tests/payment/worlds/__init__.py"]


def test_what_the_guide_shows_is_what_the_kit_runs():
    code = [path.read_text() for path in SOURCES]
    blocks = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 5
    for block in blocks:
        assert any(block in text for text in code), block
    assert "acme" in WORLDS


def test_the_guides_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)\)", GUIDE.read_text()):
        assert (GUIDE.parent / link).exists(), link
