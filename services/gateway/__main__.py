"""`python -m services.gateway [FILE]` writes Envoy's configuration, as the environment has it, to FILE or stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from services.gateway import settings
from services.gateway.config import envoy_config
from services.gateway.contract import UnknownService
from services.runtime.definition import definitions


def main(arguments: Sequence[str]) -> None:
    found = definitions()
    try:
        chosen = settings.from_environment(os.environ, found)
        content = json.dumps(envoy_config(definitions=found, **vars(chosen)), indent=1)
    except (settings.Missing, UnknownService, FileNotFoundError) as error:
        sys.exit(f"gateway: {error}")
    if arguments:
        Path(arguments[0]).write_text(content)
    else:
        print(content)


if __name__ == "__main__":
    main(sys.argv[1:])
