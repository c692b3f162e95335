"""Writes the tables of docs/METHODS.md that the code declares: symbols with their meanings, and options.

python docs/make_methods.py            writes them
python docs/make_methods.py --check    exits 1 if the page is not what would be written
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from calculator import parts  # noqa: E402
from calculator.numbers.symbols import MEANINGS  # noqa: E402
from calculator.record.options import OPTIONS  # noqa: E402

for _name in parts.__all__:
    getattr(parts, _name)  # the parts make their symbols when they load

PAGE = ROOT / "docs" / "METHODS.md"


def symbols() -> str:
    """The table of symbols, in the order of their letters."""
    rows = sorted(MEANINGS.items(), key=lambda item: (item[0].lower(), item[0]))
    return "\n".join(["| symbol | meaning |", "|---|---|", *(f"| `{s}` | {meaning} |" for s, meaning in rows)])


def options() -> str:
    """The table of options, in the order they are declared."""
    lines = ["| option | flag | link | meaning | default |", "|---|---|---|---|---|"]
    for o in OPTIONS:
        default = o.absent if o.default is None else f"`{o.default}`"
        choices = f" ({', '.join(f'`{c}`' for c in o.choices)})" if o.kind == "choice" else ""
        lines.append(f"| `{o.field}` | `{o.flag}` | `{o.key}` | {o.help}{choices} | {default} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with its tables as the code declares them."""
    for table in (symbols(), options()):
        head = re.escape(table.split("\n", 1)[0])
        old = re.search(rf"^{head}\n(\|.*\n)*", page, re.M)
        page = page if old is None else page.replace(old[0], f"{table}\n")
    return page


def main() -> int:
    """Write the page, or say whether it is fresh."""
    page = PAGE.read_text(encoding="utf-8")
    fresh = written(page)
    if "--check" in sys.argv[1:]:
        return 0 if page == fresh else 1
    PAGE.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
