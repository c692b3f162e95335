"""`python -m tests.fuzz KIND [COUNT] [--seed N]`: the long runs. Exits 1 if anything was found."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from . import judge, kinds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=sorted(kinds.KINDS))
    parser.add_argument("count", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", default="0/1", help="which share of the inputs: 0/2 and 1/2 together are all")
    options = parser.parse_args()
    make, run = kinds.KINDS[options.kind]
    share, shares = map(int, options.part.split("/"))
    inputs = (each for i, each in enumerate(make(options.count, options.seed)) if i % shares == share)
    verdict = judge.judged(inputs, run)
    for what, each in verdict.faults:
        shown = each if isinstance(each, str | bytes) else json.dumps(each, default=repr)
        print(f"{what}\n    {str(shown)[:3000]}")
    for what, times in verdict.kinds.most_common():
        print(f"{times:6}  {what}")
    print(f"{options.kind}: {verdict}")
    return bool(verdict.faults)


if __name__ == "__main__":
    sys.exit(main())
