"""The command `commerce`, as it is installed and as `python -m services.cluster`."""

import io
import os
import signal
import sys


def main() -> None:
    """Run a command. Neither an interrupt while it loads, nor a full disk under what it prints, is a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from services.cluster.cli import app
    from services.cluster.options import words_of

    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):
        # What a terminal has no letter for is shown by its number. A stream that is closed is None.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app(prog_name="commerce")
        finally:
            if sys.stdout:
                sys.stdout.flush()
    except OSError as error:
        # What is still to be written would fail once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(f"commerce: {words_of(error)}")


if __name__ == "__main__":
    main()
