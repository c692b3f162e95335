"""How an engine's division of a device shows itself in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from calculator.numbers import units
from calculator.numbers.blocks import Block, Facts, Grid

if TYPE_CHECKING:
    from calculator.engines.memory.fit import Fit


def blocks_of(fit: Fit) -> Sequence[Block]:
    """The verdict with its figures, each share of the memory with its source, and what makes it fit."""
    tokens = [("tokens of cache", f"{fit.cache_tokens:,}")] if fit.growing else []
    lacks = [] if fit.fits else [("short by", units.gib(fit.short_by))]
    facts = [
        ("fits", "yes" if fit.fits else "no"),
        *lacks,
        *tokens,
        ("sequences at once", f"{fit.sequences:,}"),
        ("longest context", f"{fit.longest_context:,}"),
    ]
    held = [(row["name"], units.gib(row["bytes"]), row["certainty"], row["source"]) for row in fit.rows()]
    columns = ("Share", "Size", "Certainty", "Source")
    remark = " ".join(fit.notes)
    found: list[Block] = [Facts(fit.verdict, facts), Grid("Memory of a device", columns, held, remark=remark)]
    if not fit.fits:
        changes = [(fix.short, f"{fix.devices:,}", fix.meaning) for fix in fit.fixes]
        found.append(Grid("What makes it fit", ("Change", "Devices", "What it costs"), changes))
    return found
