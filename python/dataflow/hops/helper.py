"""The program of the helper process: it reads what it is to do from its standard input, and imports the rest from where its
parent did.

Run by its path, isolated, so that it needs nothing of the environment and nothing stands in its arguments.
"""

from __future__ import annotations

import json
import signal
import sys


def main() -> None:
    """Reads the first line, then serves."""
    # An interrupt from the keyboard, the request to end that a service's whole group gets, and a closed terminal are the
    # program's: its sessions go on until it has ended, which the standard input tells.
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    told = json.loads(sys.stdin.buffer.readline())
    sys.path += [folder for folder in told.pop("path") if folder not in sys.path]
    from dataflow.hops.serving import serve

    serve(told)


if __name__ == "__main__":
    main()
