"""The `atlas` command of the package."""

import signal
import sys

from pyatlas._pyatlas import _main


def main() -> int:
    # The command handles Ctrl-C itself. Jobs that a script runs in the background ignore it.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _main(["atlas", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
