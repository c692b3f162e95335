"""Layers of a stack that no rule tells apart, so that rules are asked about one of them.

A rule names a layer by its number behind the last word of the stack's path ("layers.7.mlp"), or is a pattern that only
one layer's path leaves something of. Such a rule is that layer's own. Layers are alike where their own rules say the
same with their numbers apart, stand at the same place among the rules for all, and what is left of every pattern after
the layer's path is the same: whatever module follows, the answer is then that of the other layer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple

from calculator.formats.asking import TRANSLATED, Asker, bare, spellings

Rest = tuple[tuple[int, Hashable], ...]
"""Of every pattern that may still match or has, its number and what is left of it."""


class Alike(NamedTuple):
    """Layers of which the first is asked, and for each of the first's own rules those of the others in its place."""

    layers: tuple[int, ...]
    rules: Mapping[int, tuple[int, ...]]


class _Named(NamedTuple):
    """Rules that name a layer.

    Attributes:
        rules: the number as it is written -> the rule and the words around it.
        odd: numbers that are written where they may be a layer's or another's.
        places: for each rule, how many of those that name no layer stand before it and are of another kind.
    """

    rules: Mapping[str, list[tuple[int, Hashable]]]
    odd: set[str]
    places: list[int]


class Layers:
    """Tells which layers rules take for alike.

    Args:
        kinds: of each rule what it gives and to what: the order of two rules of one kind does not matter.
    """

    def __init__(self, asker: Asker, kinds: Iterable[Hashable]) -> None:
        self.asker = asker
        numbers: dict[Hashable, int] = {}
        self.kinds: Sequence[int] = [numbers.setdefault(kind, len(numbers)) for kind in kinds]
        self._named: dict[str, _Named] = {}
        self._rests: dict[int, Rest] = {}

    def alike(
        self, path: str, layers: tuple[int, ...], inside: Iterable[str], *, tower: bool, beside: bool
    ) -> list[Alike]:
        """The layers in groups, by their first.

        Args:
            path: of the stack. inside: names of what its layers hold.
        """
        before, _, last = path.rpartition(".")
        if last in TRANSLATED:
            return [Alike((layer,), {}) for layer in layers]
        named = self._named_behind(last)
        if len(layers) == 1 or (
            self.asker.automaton is None and not any(str(n) in named.rules or str(n) in named.odd for n in layers)
        ):
            return [Alike(layers, {})]
        if any(f".{last}." in f".{name}." for name in (before, *inside)):
            return [Alike((layer,), {}) for layer in layers]  # a number behind that word may be another's
        left = {layer: self._left(f"{path}.{layer}.", tower=tower, beside=beside) for layer in layers}
        own = self._own(layers, named, left)
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for layer in layers:
            at = {rule: -1 - i for i, (rule, _) in enumerate(own[layer])}
            said = tuple((named.places[rule], self.kinds[rule], words) for rule, words in own[layer])
            after = tuple(tuple((at.get(rule, rule), rest) for rule, rest in state) for state in left[layer])
            groups[layer if str(layer) in named.odd else (said, after)].append(layer)
        return [_group(members, own) for members in groups.values()]

    def _named_behind(self, last: str) -> _Named:
        """Rules that name a layer by its number behind that word."""
        known = self._named.get(last)
        if known is None:
            known = self._named[last] = _named(self.asker, last, self.kinds)
        return known

    def _left(self, prefix: str, *, tower: bool, beside: bool) -> list[Rest]:
        """What is left of the patterns after a layer's path, in every spelling that modules of it are asked by."""
        automaton = self.asker.automaton
        if automaton is None:
            return []
        names = spellings(f"{prefix}x", tower=tower, beside=beside) + spellings(f"{prefix}x", tower=False, beside=True)
        found = []
        for name in dict.fromkeys(names):
            state = automaton.run(automaton.start, name[:-1])
            if state not in self._rests:
                self._rests[state] = automaton.rest(state)
            found.append(self._rests[state])
        return found

    @staticmethod
    def _own(
        layers: tuple[int, ...], named: _Named, left: Mapping[int, list[Rest]]
    ) -> dict[int, list[tuple[int, Hashable]]]:
        """Each layer's own rules in their order, with the words of those that name it."""
        reached = {layer: {rule for rest in left[layer] for rule, _ in rest} for layer in layers}
        times = Counter(rule for rules in reached.values() for rule in rules)
        return {
            layer: sorted(
                [*named.rules.get(str(layer), ()), *((rule, "") for rule in reached[layer] if times[rule] == 1)],
                key=lambda own: own[0],
            )
            for layer in layers
        }


def _group(members: list[int], own: Mapping[int, list[tuple[int, Hashable]]]) -> Alike:
    first, *others = ([rule for rule, _ in own[layer]] for layer in members)
    return Alike(tuple(members), dict(zip(first, zip(*others, strict=True), strict=True)) if others else {})


def _named(asker: Asker, last: str, kinds: Sequence[int]) -> _Named:
    found: dict[str, list[tuple[int, Hashable]]] = defaultdict(list)
    odd: set[str] = set()
    for rule, (how, name, pattern, _, _) in enumerate(asker.rules):
        if pattern is not None or how == "class":
            continue
        words = (name if how in ("tensor", "begins") else bare(name)).split(".")
        if words[0].isdecimal():
            odd.add(words[0])
        places = [i for i in range(1, len(words)) if words[i - 1] == last and words[i].isdecimal()]
        if len(places) > 1:
            odd.update(words[i] for i in places)
        for at in places[:1]:
            found[words[at]].append((rule, (how, at, *words[:at], *words[at + 1 :])))
    own = {rule for rules in found.values() for rule, _ in rules}
    places, before, of_kind = [], 0, [0] * len(kinds)
    for rule, kind in enumerate(kinds):
        places.append(before - of_kind[kind])
        if rule not in own:
            before += 1
            of_kind[kind] += 1
    return _Named(found, odd, places)
