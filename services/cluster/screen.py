"""What commands print on."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.text import Text

from services.cluster.output import visible


class Screen(Console):
    """Shows words as they are: what customers, providers and files say is no markup, no emoji and no terminal's sign.

    Who wants markup says so (`markup=True`), and escapes what is not its own.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        return super().render_str(visible(text), **settings)
