"""Which of a list of rules matches a module, by the ways that checkpoints spell its path.

Quantizers name modules as the model had them when it was quantized, so a language model inside of a multimodal one is
"model.layers", "language_model.model.layers" or "model.language_model.layers": names are compared without what wraps
them, and patterns are asked of each spelling. Experts are asked together as long as no rule tells them apart.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from calculator.errors import ConfigError
from calculator.formats.automaton import Automaton, Pattern
from calculator.limits import remembered

MOST_EXPERTS = 2**16
"""Experts of one layer that rules are asked about; published models have some hundreds."""
WRAPPERS = re.compile(r"^(?:(?:model|language_model|text_model|transformer)\.)+")
_NUMBERED = re.compile(r"experts?\.(\d{1,6})(?:\.|$)")
_PACKED = re.compile(r"(.*\bexperts\.)(\w+)")
_PROJECTIONS = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
_STACKED = {**_PROJECTIONS, "gate_up_proj": "up_proj"}
_WORDS = {**_PROJECTIONS, "attn": "self_attn", "ffn": "mlp"}
_TOWERS = ("visual", "vision_tower", "vision_model")
_ENDS = {"embed": "embed_tokens", "head": "lm_head"}
TRANSLATED = frozenset((*_WORDS, *_TOWERS, *_ENDS, "model", "language_model", "text_model", "transformer"))
"""Words of a path that rules may spell otherwise or leave out."""

Numbers: TypeAlias = tuple[int, ...]
Entry: TypeAlias = tuple[str, str, Pattern | None, frozenset[str], bool]
"""How a rule matches, what, its pattern, the roles of tensors it may be about, and whether those in towers."""
Hits: TypeAlias = frozenset[int]
NOTHING: Hits = frozenset()


@remembered(16_384)
def bare(module: str) -> str:
    """A module's path without what wraps the language model."""
    return WRAPPERS.sub("", module).removesuffix(".weight")


@remembered(16_384)
def translations(short: str) -> list[str]:
    """The path in the words of transformers, and of those MLX keeps, where it is in DeepSeek-V4's own; an image tower's
    by the names that libraries give it."""
    if short in _ENDS:
        return [_ENDS[short]]
    words = short.split(".")
    if words[0] in _TOWERS:
        return [".".join((name, *words[1:])) for name in _TOWERS if name != words[0]]
    if words[0] != "layers" or not {"attn", "ffn"} & set(words):
        return []
    kinds = (_WORDS, _PROJECTIONS)
    found = (".".join(kind.get(word, word) for word in words) for kind in kinds)
    return [path for path in found if path != short]


def spellings(module: str, *, tower: bool, beside: bool) -> list[str]:
    """Paths that rules may call a module by, the one its library would ask a lookahead with first."""
    short = bare(module)
    if tower:
        return list(dict.fromkeys((module, short, f"model.{short}")))
    if not beside:
        return list(dict.fromkeys((module, short, f"model.{short}", *(f"model.{o}" for o in translations(short)))))
    inner = (f"model.language_model.{short}", f"language_model.model.{short}", f"language_model.{short}")
    wrapped = "language_model." in module or not module.startswith("model.")
    return list(dict.fromkeys((module, *inner) if wrapped else (inner[0], module, *inner[1:])))


class Asker:
    """Rules by number; the lowest that matches counts."""

    def __init__(self, rules: Sequence[Entry]) -> None:
        self.rules = rules
        self.met: set[int] = set()  # rules that have matched something
        self.plain: dict[str, dict[str, set[int]]] = {how: defaultdict(set) for how in ("name", "below", "within")}
        self.tensors: dict[str, set[int]] = defaultdict(set)
        self.beginnings: dict[str, set[int]] = defaultdict(set)
        self.numbers: set[int] = set()  # of experts that a name lists
        patterns = []
        for i, (how, what, pattern, _, _) in enumerate(rules):
            if pattern is not None:
                patterns.append((i, pattern))
            elif how in self.plain:
                self.plain[how][bare(what)].add(i)
                self.numbers.update(int(n) for n in _NUMBERED.findall(what))
            elif how == "begins":
                self.beginnings[what].add(i)
            elif how == "tensor":
                self.tensors[what].add(i)
        self.words = {how: sorted({name.count(".") + 1 for name in names}) for how, names in self.plain.items()}
        self.begins = {how: {name.partition(".")[0] for name in names} for how, names in self.plain.items()}
        self.lengths = sorted(set(map(len, self.beginnings)))
        self.automaton = Automaton(patterns) if patterns else None
        self._classes: dict[tuple[str, bool], Hits] = {}
        self._parts: dict[tuple[int, int, int], list[tuple[int, Numbers]]] = {}

    def first(self, module: str, role: str, *, tower: bool, beside: bool = False) -> int | None:
        """The rule for a tensor that stands alone."""
        hits = self._by_name(module) | self._by_pattern(module, tower=tower, beside=beside)
        return self._best(hits, role, tower)

    def touch(self, module: str) -> None:
        """Marks the rules that a module's name matches, whatever it holds."""
        self.met |= self._by_name(module) | self._by_pattern(module, tower=False, beside=True)

    def experts(
        self, module: str, role: str, first: int, count: int, *, tower: bool, beside: bool
    ) -> list[tuple[Numbers, int | None]]:
        """The rules for the experts from `first` on, those of one rule together; no numbers where it is one for all.

        Raises:
            ConfigError: there are more experts than rules are asked about.
        """
        if count > MOST_EXPERTS:
            raise ConfigError(
                f"{module} has {count:,} experts; quantization rules are asked about {MOST_EXPERTS:,} at most. Check "
                "the number of experts in the config."
            )
        numbered, whole = experts_names(module)
        hits = self._by_name(_stacked(module)) | self.tensors.get(module, NOTHING)
        for name in whole:
            hits |= self._by_name(name) | self._by_pattern(name, tower=tower, beside=beside)
        apart: dict[int, Hits] = {}
        for before, after in numbered:
            hits |= self._by_name(f"{before}*{after}") | self._begun(spellings(before, tower=tower, beside=beside))
            for n in self.numbers:
                if first <= n < first + count:
                    apart[n] = apart.get(n, NOTHING) | self._by_name(f"{before}{n}{after}")
            for numbers, more in self._partition(before, after, first, count, tower=tower, beside=beside):
                if len(numbers) == count:
                    hits |= more
                elif more:
                    for n in numbers:
                        apart[n] = apart.get(n, NOTHING) | more
        return self._grouped(hits, apart, role, range(first, first + count), tower)

    def _grouped(
        self, hits: Hits, apart: dict[int, Hits], role: str, numbers: Iterable[int], tower: bool
    ) -> list[tuple[Numbers, int | None]]:
        if not apart:
            return [((), self._best(hits, role, tower))]
        found: dict[int | None, list[int]] = {}
        memo: dict[Hits, int | None] = {}
        for n in numbers:
            own = apart.get(n, NOTHING)
            if own not in memo:
                memo[own] = self._best(hits | own, role, tower)
            found.setdefault(memo[own], []).append(n)
        return [(tuple(members), rule) for rule, members in found.items()]

    def _best(self, hits: Hits, role: str, tower: bool) -> int | None:
        self.met |= hits
        fitting = (i for i in hits if role in self.rules[i][3] and (self.rules[i][4] or not tower))
        return min((*fitting, *self._by_class(role, tower)), default=None)

    def _by_class(self, role: str, tower: bool) -> Hits:
        key = role, tower
        if key not in self._classes:
            fitting = [i for i, r in enumerate(self.rules) if r[0] == "class" and role in r[3] and (r[4] or not tower)]
            self._classes[key] = frozenset(fitting[:1])
        return self._classes[key]

    def _by_name(self, module: str) -> Hits:
        return self._named(module).union(*map(self._named, translations(bare(module))))

    def _named(self, module: str) -> Hits:
        found = set(self.tensors.get(module, ()))
        short = bare(module)
        found |= self.plain["name"].get(short, NOTHING)
        if self.plain["below"] and short.partition(".")[0] in self.begins["below"]:
            words = short.split(".")
            for count in self.words["below"]:
                found |= self.plain["below"].get(".".join(words[:count]), NOTHING)
        if self.plain["within"]:
            words, names = module.split("."), self.plain["within"]
            for i in (i for i, word in enumerate(words) if word in self.begins["within"]):
                for count in self.words["within"]:
                    found |= names.get(".".join(words[i : i + count]), NOTHING)
        return frozenset(found)

    def _by_pattern(self, module: str, *, tower: bool, beside: bool) -> Hits:
        if self.automaton is None and not self.lengths:
            return NOTHING
        names = spellings(module, tower=tower, beside=beside)
        found = self._begun(names)
        if self.automaton is not None:
            for i, name in enumerate(names):
                hits = self.automaton.matches(name)
                found |= hits - self.automaton.looking if i else hits
        return found

    def _begun(self, names: Iterable[str]) -> Hits:
        """Rules for a beginning of a name; those of experts' names do not go as far as their numbers."""
        return NOTHING.union(*(self.beginnings.get(name[:n], NOTHING) for name in names for n in self.lengths))

    def _partition(
        self, before: str, after: str, first: int, count: int, *, tower: bool, beside: bool
    ) -> list[tuple[Numbers, Hits]]:
        """Experts that patterns do not tell apart, and what matches them."""
        found = []
        if self.automaton is not None:
            for i, path in enumerate(spellings(before, tower=tower, beside=beside)):
                for state, numbers in self._after_numbers(self.automaton.run(self.automaton.start, path), first, count):
                    hits = self.automaton.found(self.automaton.run(state, after))
                    found.append((numbers, hits - self.automaton.looking if i else hits))
        return found

    def _after_numbers(self, state: int, first: int, count: int) -> list[tuple[int, Numbers]]:
        """The automaton's states after the number of each expert, and the experts that lead to each."""
        key = state, first, count
        if key not in self._parts and self.automaton is not None:
            found: dict[int, list[int]] = defaultdict(list)
            for n in range(first, first + count):
                found[self.automaton.run(state, str(n))].append(n)
            self._parts[key] = [(after, tuple(numbers)) for after, numbers in found.items()]
        return self._parts[key]


def experts_names(module: str) -> tuple[list[tuple[str, str]], list[str]]:
    """How rules may name the experts of a tensor: (before, after) their number, and names for all of them. Packed
    tensors are named by their projections, one by one, where the checkpoint was quantized before it was packed."""
    if "*" in module:
        before, _, after = module.partition("*")
        return [(before, after)], [before.removesuffix(".")]
    packed = _PACKED.fullmatch(module)
    if packed is None:
        return [], [module]
    names = ("gate_proj", "up_proj", "gate_up_proj") if packed[2] == "gate_up_proj" else (packed[2],)
    return [(packed[1], f".{name}") for name in names], [module, packed[1].removesuffix(".")]


def _stacked(module: str) -> str:
    """Routed experts as MLX names them, one stacked module for each projection."""
    found = re.fullmatch(r"(.*)\bexperts\.(?:\*\.)?(\w+)", module)
    return f"{found[1]}switch_mlp.{_STACKED.get(found[2], found[2])}" if found else module
