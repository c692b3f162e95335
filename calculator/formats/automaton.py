"""Many patterns at once over one name: an automaton whose states are made when a name first reaches them.

What is left to match of a pattern is a set of places in its program, of which any may match; a lookahead adds to such a
set a conjunction of further sets, some of them denied. Nothing is ever tried twice, so a name costs its length, and
what names share (the path of a layer, the numbers of its experts) is read once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from calculator.errors import ConfigError
from calculator.formats.patterns import WORD, bit_of
from calculator.formats.programs import Program

MOST_WORK = 2_500_000
"""Places visited for all names together; published configs take some thousands."""
MOST_PATTERNS = 20_000

Left = frozenset[Any]
"""What is left of a pattern: places of the program, and conjunctions ("and", {(denied, what is left), ...})."""
DONE: Left = frozenset(("done",))
"""The pattern has matched, whatever follows."""
NONE: Left = frozenset()


class Pattern(NamedTuple):
    """A regular expression with the way it is asked: from the start of a name, `anywhere`, or as the `whole` name."""

    text: str
    anywhere: bool = False
    whole: bool = False


class State(NamedTuple):
    """What is left of each pattern that may still match, by its number, the patterns that have, and whether the last
    character is one of a word (None at the start)."""

    left: tuple[tuple[int, Left], ...]
    done: frozenset[int]
    word: bool | None = None


class Automaton:
    """Patterns, each with a number."""

    def __init__(self, patterns: Iterable[tuple[int, Pattern]]) -> None:
        """
        Raises:
            ConfigError: a pattern is not run here, or there are too many.
        """
        program, left = Program(), []
        self.looking: set[int] = set()
        for number, p in patterns:
            first, looks = program.add(p.text, anywhere=p.anywhere, whole=p.whole)
            left.append((number, frozenset((first,))))
            if looks:
                self.looking.add(number)
            if len(left) > MOST_PATTERNS:
                raise ConfigError(f"The config has more than {MOST_PATTERNS:,} patterns; list the modules by name.")
        self.steps = program.steps
        self.work = MOST_WORK
        self.states: list[State] = []
        self.numbers: dict[State, int] = {}
        self.moves: list[dict[str, int]] = []
        self.ends: dict[int, frozenset[int]] = {}
        self.memo: dict[tuple[int, bool | None], dict[Left, Left]] = {}
        self.start = self._state(State(tuple(left), frozenset()))

    def run(self, state: int, text: str) -> int:
        """The state after the text.

        Raises:
            ConfigError: the patterns take too much work.
        """
        moves = self.moves
        for char in text:
            following = moves[state].get(char)
            state = self._move(state, char) if following is None else following
        return state

    def found(self, state: int) -> frozenset[int]:
        """Numbers of the patterns that match a name which ends here."""
        found = self.ends.get(state)
        if found is None:
            s = self.states[state]
            hits = (number for number, left in s.left if self._after(left, 0, s.word) == DONE)
            found = self.ends[state] = s.done.union(hits)
        return found

    def rest(self, state: int) -> tuple[tuple[int, Left], ...]:
        """What is left of each pattern that may still match or has, by its number."""
        s = self.states[state]
        return (*s.left, *((number, DONE) for number in sorted(s.done)))

    def matches(self, name: str) -> frozenset[int]:
        """Numbers of the patterns that match the name."""
        return self.found(self.run(self.start, name))

    def _state(self, state: State) -> int:
        number = self.numbers.setdefault(state, len(self.states))
        if number == len(self.states):
            self.states.append(state)
            self.moves.append({})
        return number

    def _move(self, state: int, char: str) -> int:
        before, bit = self.states[state], bit_of(char)
        left, done = [], set(before.done)
        self._spend(len(before.left) // 4)
        memo = self.memo.setdefault((bit, before.word), {})
        for number, found in before.left:
            after = memo.get(found)  # most of many patterns wait at the same place for a character that does not come
            if after is None:
                after = memo[found] = self._after(found, bit, before.word)
            if after == DONE:
                done.add(number)
            elif after:
                left.append((number, after))
        following = self._state(State(tuple(left), frozenset(done), bool(bit & WORD)))
        self.moves[state][char] = following
        return following

    def _after(self, left: Left, bit: int, word: bool | None) -> Left:
        """What is left after a character; after the end of the name (bit 0) it is DONE or something else."""
        found: set[Any] = set()
        waiting = [place for place in left if isinstance(place, int)]
        for both in left:
            if not isinstance(both, int):
                joined = self._both([(denied, self._after(part, bit, word)) for denied, part in both[1]])
                if joined == DONE:
                    return DONE
                found |= joined
        seen = set(waiting)
        while waiting:
            step = self.steps[waiting.pop()]
            following: Iterable[int] = ()
            if step.kind == "match":
                return DONE
            if step.kind == "set":
                if step.mask & bit:
                    found.add(step.targets[0])
            elif step.kind == "split" or (step.kind == "assertion" and _holds(step.name, bit, word)):
                following = step.targets
            elif step.kind == "look":
                ahead, rest = (self._after(frozenset((t,)), bit, word) for t in step.targets)
                joined = self._both([(step.negative, ahead), (False, rest)])
                if joined == DONE:
                    return DONE
                found |= joined
            for place in following:
                if place not in seen:
                    seen.add(place)
                    waiting.append(place)
        self._spend(len(seen) + len(left))
        return frozenset(found)

    def _spend(self, work: int) -> None:
        self.work -= work
        if self.work < 0:
            raise ConfigError(
                "The module patterns of the config take more steps on this model's names than are allowed "
                f"({MOST_WORK:,}); write fewer or simpler ones, or list the modules by name."
            )

    @staticmethod
    def _both(parts: list[tuple[bool, Left]]) -> Left:
        """All of the parts, those denied that are marked so."""
        kept: set[tuple[bool, Left]] = set()
        for denied, left in parts:
            if left == (DONE if denied else NONE):
                return NONE
            if left == (NONE if denied else DONE):
                continue
            inner = next(iter(left))
            if not denied and len(left) == 1 and not isinstance(inner, int):
                kept |= inner[1]  # a conjunction in a conjunction
            else:
                kept.add((denied, left))
        if not kept:
            return DONE
        if len(kept) == 1 and not next(iter(kept))[0]:
            return next(iter(kept))[1]
        return frozenset((("and", frozenset(kept)),))


def _holds(assertion: str, bit: int, word: bool | None) -> bool:
    if assertion == "start":
        return word is None
    if assertion == "end":
        return bit == 0
    return (bool(word) != bool(bit & WORD)) == (assertion == "boundary")
