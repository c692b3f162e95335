"""Writes every document and index that the code declares, one generator after another.

python docs/make_all.py            writes them
python docs/make_all.py --check    exits 1 and names those that are not what would be written
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
GENERATORS = ("make_methods", "make_models", "make_validation", "make_index")


def main() -> int:
    """Run them, and say which is stale."""
    stale = [
        name for name in GENERATORS if subprocess.call([sys.executable, str(HERE / f"{name}.py"), *sys.argv[1:]]) != 0
    ]
    for name in stale:
        print(f"docs/{name}.py: what it writes is stale; run it without --check.", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    raise SystemExit(main())
