"""Words on standard error: progress, complaints, and neither with an access token in it."""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise

from calculator.report import clean

PATIENCE = 1.0
"""Seconds that nobody needs to be told anything."""


def watched() -> bool:
    """Whether a person is watching standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


@contextlib.contextmanager
def working(line: str) -> Iterator[None]:
    """While what is inside takes longer than a second, the line with the seconds so far, where a person is watching."""
    if not watched():
        yield
        return
    done, start = threading.Event(), time.monotonic()

    def tell() -> None:
        told = False
        while not done.wait(PATIENCE):
            progress(f"{line} ({time.monotonic() - start:.0f} s)")
            told = True
        if told:
            progress("")

    teller = threading.Thread(target=tell, daemon=True)
    teller.start()
    try:
        yield
    finally:
        done.set()
        teller.join()


def progress(line: str) -> None:
    """Show the line, or clear it, where a person is watching standard error."""
    if watched():
        sys.stderr.write(f"\r\x1b[K{_one_line(line)[:100]}")
        sys.stderr.flush()


def complain(sentence: str, kind: str = "error") -> None:
    """Print a sentence, where standard error is open."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            said = clean.encoded(_one_line(sentence), getattr(sys.stderr, "encoding", None))
            print(f"{kind}: {said}", file=sys.stderr)


def _one_line(words: str) -> str:
    """The words without line breaks, control characters or anything that looks like an access token."""
    line = "".join(c if c.isprintable() else "?" for c in " ".join(words.split()))
    return re.sub(r"hf_[A-Za-z0-9]{20,}", "hf_…", line)


def hide(words: str, token: str | None) -> str:
    """The words without the token; one that is too short to be a token is left."""
    return words.replace(token, "…") if token and len(token) >= 8 else words


def without_token(words: str, given: Sequence[str]) -> str:
    """The words without the value of --token, also where the arguments could not be parsed."""
    tokens = [value for option, value in pairwise(given) if option == "--token"]
    tokens += [value.removeprefix("--token=") for value in given if value.startswith("--token=")]
    for token in tokens:
        words = hide(words, token)
    return words
