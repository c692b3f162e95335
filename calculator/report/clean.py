"""Text of strangers (names of models, types, files and tensors) made fit for where it is shown: one place for each."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
"""Characters that a terminal obeys (escapes, carriage returns) or that turn the order of others around."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell of a spreadsheet begins with that is computed."""


def terminal(text: str) -> str:
    """The text for a terminal: control characters as ?, line breaks and tabs kept."""
    return UNSEEN.sub("?", text.replace("\r\n", "\n"))


SIGNS: dict[str, str | int | None] = {
    "×": "x",
    "·": "*",
    "⋅": "*",
    "⊗": "*",
    "✕": "x",
    "√": "sqrt",
    "²": "^2",
    "³": "^3",
    "Δ": "D",
    "Λ": "L",
    "−": "-",
    "–": "-",
    "—": "-",
    "─": "-",
    "≤": "<=",
    "≥": ">=",
    "≈": "~",
    "→": "->",
    "…": "...",
    "’": "'",
    "⌈": "ceil(",
    "⌉": ")",
    "⌊": "floor(",
    "⌋": ")",
    "μ": "mu",
    "µ": "u",
    "“": '"',
    "”": '"',
}
"""Signs of the text as people type them, for terminals whose encoding has them not."""


def encoded(text: str, encoding: str | None) -> str:
    """The text in signs that the encoding has, as far as they are known by others."""
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return text.translate(str.maketrans(SIGNS))
    return text


def markdown(text: object) -> str:
    """The text as it reads, wherever Markdown is drawn: no image is loaded, nothing is linked but pages of the Hub."""
    shown = re.sub(r"([\\`*~$<>\[\]])", r"\\\1", " ".join(UNSEEN.sub("?", str(text)).split()))
    # An address becomes a link by itself; an invisible word joiner inside it keeps it text.
    return re.sub(
        r"(?i)\b(https?:)//(?!huggingface\.co/[\w./@%-]*(?:[\s,.;:)]|$))|\b(www)\.",
        lambda m: f"{m[1]}\u2060//" if m[1] else f"{m[2]}\u2060.",
        shown,
    )


def cell(value: Any) -> Any:
    """A cell of a CSV file: a text that a spreadsheet would compute begins with an apostrophe."""
    if not isinstance(value, str):
        return value
    text = UNSEEN.sub("?", value)
    return f"'{text}" if text.startswith(FORMULA) and len(text) > 1 else text


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a CSV file with raw numbers; the columns are those of all rows, in the order they appear."""
    out = io.StringIO()
    names = dict.fromkeys(name for row in rows for name in row)
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([cell(row.get(name, "")) for name in names] for row in rows)
    return out.getvalue()
