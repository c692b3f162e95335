"""What an input may do: give a result or a sentence, within two seconds and 500 MB."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calculator.errors import LONGEST_MESSAGE, CalculatorError

SECONDS, BYTES = 2.0, 500 * 2**20
ROUND = 3.3e-3  # seconds of `busy` on the core that SECONDS are of; one with other work to do takes longer for both
LONGEST = LONGEST_MESSAGE + 10


@dataclass
class Verdict:
    """How many inputs gave a result or a sentence, and what was found."""

    inputs: int = 0
    results: int = 0
    sentences: int = 0
    slowest: float = 0.0
    faults: list[tuple[str, Any]] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return (
            f"{self.inputs:,} inputs: {self.results:,} results, "
            f"{self.sentences:,} sentences, {sum(self.kinds.values()):,} faults; slowest {self.slowest:.2f} s, "
            f"peak {peak_bytes() / 2**20:.0f} MiB"
        )


def peak_bytes() -> int:
    """The most that this process has held (getrusage also counts what started it)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def busy() -> float:
    """Seconds of CPU that plain arithmetic takes just now."""
    start = time.process_time()
    sum(i * i % 7 for i in range(100_000))
    return time.process_time() - start


def judged(inputs: Iterable[Any], run: Callable[[Any], object], most_faults: int = 40) -> Verdict:
    """Run every input; what is neither a result nor a sentence, slow or large is a fault, kept once per kind."""
    verdict = Verdict()
    for each in inputs:
        verdict.inputs += 1
        before, start = peak_bytes(), time.process_time()
        fault = _fault(verdict, each, run)
        took, grown = time.process_time() - start, peak_bytes() - before
        verdict.slowest = max(verdict.slowest, took)
        if fault is None and took > SECONDS and took / min(busy() for _ in range(5)) > SECONDS / ROUND:
            fault = "slow"
        if fault is None and grown > BYTES:
            fault = "large"
        if fault is not None:
            verdict.kinds[fault] += 1
            if verdict.kinds[fault] == 1 and len(verdict.faults) < most_faults:
                verdict.faults.append((f"{fault} ({took:.2f} s, {grown / 2**20:.0f} MiB more)", each))
    return verdict


def _fault(verdict: Verdict, each: Any, run: Callable[[Any], object]) -> str | None:
    try:
        run(each)
    except CalculatorError as error:
        verdict.sentences += 1
        said = str(error)
        if len(said) > LONGEST or not said.rstrip().endswith((".", "…", "?")):
            return f"no sentence: {said[:60]!r}"
        return None
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {frame.filename.rpartition('/')[2]}:{frame.lineno}: {str(error)[:80]}"
    verdict.results += 1
    return None
