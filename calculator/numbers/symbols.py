"""The symbols of formulas, each with its meaning where it is made."""

from __future__ import annotations

MEANINGS: dict[str, str] = {}
"""Symbol -> meaning, of the symbols that were made. All are, once calculator.parts is imported."""


class Symbol(str):
    """A symbol as it is printed, for instance "d_ff". One symbol has one meaning, wherever it is made."""

    __slots__ = ()

    def __new__(cls, name: str, meaning: str) -> Symbol:
        """
        Raises:
            RuntimeError: the symbol stands for something else already.
        """
        if MEANINGS.setdefault(name, meaning) != meaning:
            raise RuntimeError(f"the symbol {name} means both {MEANINGS[name]!r} and {meaning!r}")
        return super().__new__(cls, name)

    def __getnewargs__(self) -> tuple[str, str]:  # type: ignore[override]  # of str: pickled with its meaning
        return (str(self), MEANINGS[self])


BATCH = Symbol("B", "batch size")
LENGTH = Symbol("S", "sequence length")
SOURCE = Symbol("S_x", "tokens the encoder reads")
HIDDEN = Symbol("d", "hidden size")
