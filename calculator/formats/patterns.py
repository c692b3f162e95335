"""Regular expressions of strangers, read into nodes; `programs` writes them as instructions, and `automaton` runs those
in time linear in the name.

A subset of Python's `re`: characters, escapes, classes, groups, alternation, repeats, `^`, `$`, `\\b`, `(?i)` and
lookaheads. What is left out (references to groups, lookbehinds, atomic groups) is refused with a sentence, and so is a
pattern that is too large: a config is a stranger's file.
"""

from __future__ import annotations

from typing import NamedTuple

from calculator.errors import ConfigError

LONGEST = 2_000
"""Characters of a pattern."""
DEEPEST = 40
"""Groups inside one another."""

OTHER = 1 << 128
"""The bit of every character outside of ASCII; the others have their code's."""
EVERY = (1 << 129) - 1
DIGITS = sum(1 << ord(c) for c in "0123456789")
LOWER = sum(1 << c for c in range(ord("a"), ord("z") + 1))
UPPER = LOWER >> 32
WORD = DIGITS | LOWER | UPPER | 1 << ord("_")
SPACE = sum(1 << ord(c) for c in " \t\n\r\f\v")
NEWLINE = 1 << ord("\n")
SETS = {
    "d": DIGITS,
    "D": EVERY ^ DIGITS,
    "w": WORD,
    "W": EVERY ^ WORD,
    "s": SPACE,
    "S": EVERY ^ SPACE,
}
CONTROLS = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v"}
ASSERTIONS = {"b": "boundary", "B": "inside", "A": "start", "Z": "end"}


def bit_of(char: str) -> int:
    """The bit that stands for a character in a set."""
    code = ord(char)
    return 1 << code if code < 128 else OTHER


class Node(NamedTuple):
    """A piece of a pattern: a set of characters, an assertion, a lookahead, a sequence, a choice or a repeat."""

    kind: str
    items: tuple[Node, ...] = ()
    mask: int = 0
    name: str = ""  # of an assertion
    low: int = 0
    high: int | None = 0
    negative: bool = False

    def empty(self, conditions: bool) -> bool:
        """Whether it can match nothing; with `conditions`, also where an assertion or a lookahead has to hold."""
        if self.kind in ("assertion", "look"):
            return conditions
        if self.kind == "choice":
            return any(item.empty(conditions) for item in self.items)
        if self.kind == "repeat":
            return self.low == 0 or self.items[0].empty(conditions)
        return self.kind == "sequence" and all(item.empty(conditions) for item in self.items)

    @property
    def looks(self) -> bool:
        """Whether a lookahead stands inside."""
        return self.kind == "look" or any(item.looks for item in self.items)


def refused(pattern: str, reason: str) -> ConfigError:
    """What is raised for a pattern that is not run here."""
    shown = pattern if len(pattern) <= 60 else f"{pattern[:60]}…"
    return ConfigError(
        f"The module pattern {shown!r} of the config {reason}; allowed are characters, classes, groups, "
        "alternation, repeats, ^, $, \\b, (?i) and lookaheads. Write the rule with these, or list the modules by name."
    )


class Parser:
    """Reads one pattern into nodes."""

    def __init__(self, pattern: str) -> None:
        """
        Raises:
            ConfigError: the pattern is too long.
        """
        self.pattern, self.at, self.depth = pattern, 0, 0
        self.any_case = False
        if len(pattern) > LONGEST:
            raise refused(pattern, f"has more than {LONGEST:,} characters")

    def parsed(self) -> Node:
        """The whole pattern.

        Raises:
            ConfigError: it is no pattern, or one with something that is not run here.
        """
        found = self._choice()
        if self.at < len(self.pattern):
            raise refused(self.pattern, "closes a group that it does not open")
        return found

    def _peek(self, count: int = 1) -> str:
        return self.pattern[self.at : self.at + count]

    def _next(self) -> str:
        char = self._peek()
        if not char:
            raise refused(self.pattern, "ends in the middle of something")
        self.at += 1
        return char

    def _taken(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.at)
        self.at += len(text) if found else 0
        return found

    def _choice(self) -> Node:
        branches = [self._sequence()]
        while self._taken("|"):
            branches.append(self._sequence())
        return branches[0] if len(branches) == 1 else Node("choice", tuple(branches))

    def _sequence(self) -> Node:
        items = []
        while self._peek() not in ("", "|", ")"):
            items.append(self._repeated(self._atom()))
        return items[0] if len(items) == 1 else Node("sequence", tuple(items))

    def _repeated(self, atom: Node) -> Node:
        bounds = self._bounds()
        if bounds is None:
            return atom
        self._taken("?")  # a lazy repeat finds the same names
        if self._peek() in ("*", "+", "?"):
            raise refused(self.pattern, "repeats a repeat")
        low, high = bounds
        if atom.looks and atom.empty(True):
            raise refused(self.pattern, "repeats a lookahead that reads nothing")
        return Node("repeat", (atom,), low=low, high=high)

    def _bounds(self) -> tuple[int, int | None] | None:
        for sign, bounds in (("*", (0, None)), ("+", (1, None)), ("?", (0, 1))):
            if self._taken(sign):
                return bounds
        if self._peek() != "{":
            return None
        low, comma, high = self.pattern[self.at + 1 : self.pattern.find("}", self.at)].partition(",")
        if "}" not in self.pattern[self.at :] or not (low + high).isdecimal() or not (low + high).isascii():
            return None  # a brace that counts nothing stands for itself
        if max(len(low), len(high)) > 4:
            raise refused(self.pattern, "repeats more than 9,999 times")
        self.at = self.pattern.find("}", self.at) + 1
        least = int(low or 0)
        most = least if not comma else int(high) if high else None
        if most is not None and most < least:
            raise refused(self.pattern, "repeats from more to fewer times")
        return least, most

    def _atom(self) -> Node:
        char = self._next()
        if char == "(":
            return self._group()
        if char == "[":
            return self._cased(self._class())
        if char == ".":
            return Node("set", mask=EVERY ^ NEWLINE)
        if char in "^$":
            return Node("assertion", name="start" if char == "^" else "end")
        if char == "\\":
            return self._escape()
        if char in "*+?":
            raise refused(self.pattern, "repeats nothing")
        return self._cased(self._bit(char))

    def _bit(self, char: str) -> int:
        if not char.isascii():
            raise refused(self.pattern, "has a character outside of ASCII, which no module's name has")
        return bit_of(char)

    def _cased(self, mask: int) -> Node:
        if self.any_case:
            mask |= (mask & UPPER) << 32 | (mask & LOWER) >> 32
        return Node("set", mask=mask)

    def _escape(self) -> Node:
        char = self._next()
        if char in ASSERTIONS:
            return Node("assertion", name=ASSERTIONS[char])
        return self._cased(self._escaped(char))

    def _escaped(self, char: str) -> int:
        if char in SETS:
            return SETS[char]
        if char in CONTROLS:
            return bit_of(CONTROLS[char])
        if char.isalnum():
            raise refused(self.pattern, f"has \\{char}, which is not run here")
        return self._bit(char)

    def _class(self) -> int:
        negated, mask, first = self._taken("^"), 0, True
        while first or self._peek() != "]":
            first = False
            low, single = self._member()
            if single and self._peek() == "-" and self._peek(2) not in ("-]", "-"):
                self.at += 1
                high, fits = self._member()
                if not fits or high < low:
                    raise refused(self.pattern, "has a range that is none")
                low = 2 * high - low  # all bits from the one to the other
            mask |= low
        self.at += 1
        return EVERY ^ mask if negated else mask

    def _member(self) -> tuple[int, bool]:
        """A set inside of brackets, and whether it is one character."""
        char = self._next()
        if char == "[" and self._peek() in (":", "=", "."):
            raise refused(self.pattern, "has a named class of characters")
        if char != "\\":
            return self._bit(char), True
        escaped = self._next()
        return self._escaped(escaped), escaped not in SETS

    def _group(self) -> Node:
        self.depth += 1
        if self.depth > DEEPEST:
            raise refused(self.pattern, f"has more than {DEEPEST} groups inside one another")
        before, look = self.any_case, self._opening()
        if look == "flags":
            self.depth -= 1
            return Node("sequence")
        inside = self._choice()
        if not self._taken(")"):
            raise refused(self.pattern, "opens a group that it does not close")
        self.any_case, self.depth = before, self.depth - 1
        return Node("look", (inside,), negative=look == "!") if look else inside

    def _opening(self) -> str:
        """What kind of group begins: "" for a plain one, "=" and "!" for lookaheads, "flags" for (?i)."""
        if not self._taken("?"):
            return ""
        for sign in ("=", "!"):
            if self._taken(sign):
                return sign
        if self._taken(":"):
            return ""
        if self._taken("P<"):
            while self._next() != ">":
                pass
            return ""
        flags = self.pattern[self.at :].partition(")")[0].partition(":")[0]
        if not flags or set(flags) - set("is"):
            raise refused(self.pattern, f"has (?{self._peek()}, which is not run here")
        self.at += len(flags)
        self.any_case = self.any_case or "i" in flags
        if self._next() == ":":
            return ""
        if self.at != len(flags) + 3:
            raise refused(self.pattern, "has flags that do not stand at its start")
        return "flags"
