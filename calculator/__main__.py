"""`python -m calculator`, and the command that an installation makes: the command line."""

from __future__ import annotations

import sys


def main(program: str = "transformer-calculator") -> int:
    """Run the command line and return its exit status. Interrupted while the package is still read, it says nothing
    either."""
    try:
        from calculator import cli

        return cli.main(program=program)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main("python -m calculator"))
