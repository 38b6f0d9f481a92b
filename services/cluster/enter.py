"""Becomes a command that knows what was provisioned for it: `python -m services.cluster.enter COMMAND…`.

COMMERCE_SETTINGS names a JSON file of environment variables; without it the environment must say everything.
What the environment says has precedence.
"""

import json
import os
import sys
from pathlib import Path


def main(command: list[str]) -> None:
    if not command:
        sys.exit(__doc__)
    file = os.environ.get("COMMERCE_SETTINGS")
    told: dict[str, str] = json.loads(Path(file).read_text()) if file else {}
    os.execvpe(command[0], command, told | dict(os.environ))


if __name__ == "__main__":
    main(sys.argv[1:])
