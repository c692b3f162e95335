"""Writes calculator/data/families.json: which module of calculator/families registers which model types.

Usage, from the project's root: PYTHONPATH=. python docs/make_index.py [--check]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from calculator.families import registry


def text() -> str:
    """The file: a line a module, in order."""
    registry.register_all()
    found: dict[str, list[str]] = {}
    for kind, registered in registry.REGISTERED.items():
        module = registered.keywords["function"].__module__.removeprefix("calculator.families.")
        found.setdefault(module, []).append(kind)
    lines = [f"{json.dumps(module)}: {json.dumps(sorted(kinds))}" for module, kinds in sorted(found.items())]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    made = text()
    if "--check" in sys.argv[1:]:
        if registry.MODULES.read_text(encoding="utf-8") == made:
            return 0
        print(f"{registry.MODULES.name} is stale; run docs/make_index.py", file=sys.stderr)
        return 1
    registry.MODULES.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
