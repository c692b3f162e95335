"""Patterns as instructions: small steps that read a character, branch, or ask for a condition."""

from __future__ import annotations

from typing import NamedTuple

from calculator.formats.patterns import EVERY, Node, Parser, refused

MOST_STEPS = 5_000
"""Instructions of a pattern's program, bounded repeats written out."""


class Step(NamedTuple):
    """An instruction: "set" reads a character, "split" goes on at each target, "assertion" and "look" are conditions,
    and "match" ends."""

    kind: str
    targets: tuple[int, ...] = ()
    mask: int = 0
    name: str = ""
    negative: bool = False


class Program:
    """Instructions that stand for patterns; each pattern has its own first one, and patterns that end alike share what
    they end with: of a list with a pattern a layer only the numbers of the layers are apart."""

    def __init__(self) -> None:
        self.steps: list[Step] = [Step("match")]
        self._known: dict[Step, int] = {}
        self._loops: dict[tuple[Node, int], int] = {}

    def add(self, pattern: str, *, anywhere: bool = False, whole: bool = False) -> tuple[int, bool]:
        """The first instruction of the pattern, and whether it looks ahead. `anywhere`: it may begin after the start
        of the name; `whole`: it must reach the end.

        Raises:
            ConfigError: the pattern is not run here.
        """
        node = Parser(pattern).parsed()
        items = (Node("repeat", (Node("set", mask=EVERY),), high=None), node) if anywhere else (node,)
        items = (*items, Node("assertion", name="end")) if whole else items
        self._left, self._pattern = MOST_STEPS, pattern
        return self._put(Node("sequence", items), 0), node.looks

    def _put(self, node: Node, then: int) -> int:
        """Where the node's instructions begin, which go on at `then`."""
        self._left -= 1
        if self._left < 0:
            raise refused(self._pattern, f"has more than {MOST_STEPS:,} steps when its repeats are written out")
        if node.kind == "sequence":
            for item in reversed(node.items):
                then = self._put(item, then)
            return then
        if node.kind == "choice":
            return self._step(Step("split", tuple(self._put(item, then) for item in node.items)))
        if node.kind == "repeat":
            return self._repeat(node, then)
        if node.kind == "look":
            return self._step(Step("look", (self._put(node.items[0], 0), then), negative=node.negative))
        return self._step(Step(node.kind, (then,), node.mask, node.name))

    def _step(self, step: Step) -> int:
        known = self._known.get(step)
        if known is None:
            known = self._known[step] = len(self.steps)
            self.steps.append(step)
        return known

    def _loop(self, body: Node, then: int) -> int:
        """Where the instructions begin that read the body any number of times."""
        known = self._loops.get((body, then))
        if known is None:
            known = self._loops[body, then] = len(self.steps)
            self.steps.append(Step("split"))
            self.steps[known] = Step("split", (self._put(body, known), then))
        return known

    def _repeat(self, node: Node, then: int) -> int:
        body, low = node.items[0], node.low
        if node.high is None:
            then = self._loop(body, then)
            low = 0 if body.empty(False) else low  # each time may read nothing
        else:
            for _ in range(node.high - low):
                then = self._step(Step("split", (self._put(body, then), then)))
        for _ in range(low):
            then = self._put(body, then)
        return then
