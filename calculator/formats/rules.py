"""How a checkpoint is stored, as a list of rules: what each matches, the format it gives, and where it stands.

A scheme's rules are in the order in which its library asks them, and the first that matches a tensor prices it; a
tensor that none matches is not quantized. Reading a config is writing this list (`readers`).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from calculator.formats.alike import Alike, Layers
from calculator.formats.asking import Asker, Entry, Numbers
from calculator.formats.automaton import Pattern
from calculator.formats.named import Format, Mixed
from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Expression

LINEAR = frozenset(("linear", "experts"))
"""The matrices that every quantizer converts."""
MATRICES = LINEAR | {"router", "embedding", "head"}
"""Everything with two axes that a rule may name."""
ANYTHING = MATRICES | {"norm", "convolution", "vector", "buffer"}
"""Every tensor, as headers name them."""

CLASSES: Mapping[str, frozenset[str]] = {
    "Linear": LINEAR | {"head"},
    "LinearBase": LINEAR | {"head"},
    "Embedding": frozenset(("embedding",)),
    "VocabParallelEmbedding": frozenset(("embedding",)),
    "ParallelLMHead": frozenset(("head",)),
    "FusedMoE": frozenset(("experts",)),
    "Module": MATRICES,
}
"""Classes of torch and vLLM that a config may name, as roles of tensors. Routers are modules of their own kind in most
models and stay as they are unless a rule names them."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        how: "name": the whole path of a module, whatever wraps the language model; "below": of it or a module around
            it; "within": also a part of the path, by whole words; "regex": an expression from the path's start on,
            "regex to a dot": one that ends with a word, "search": one that may begin anywhere; "glob": with * for
            anything; "class": all tensors of `roles`; "tensor": one tensor by its name here.
        what: as the config has it. field: where it stands in the config, "" for what no config says.
        form: what it is stored in, None for not quantized.
        roles: tensors that it may be about. towers: whether those of vision and audio towers are among them.
    """

    how: str
    what: str
    form: Format | None
    field: str
    roles: frozenset[str] = MATRICES
    towers: bool = True

    @property
    def pattern(self) -> Pattern | None:
        """What is matched against a module's path, None where a look-up tells."""
        if self.how == "glob":
            return Pattern(_globbed(self.what), whole=True)
        if self.how == "regex to a dot":
            return Pattern(rf"(?:{self.what})(?:\.|$)")
        return Pattern(self.what, anywhere=self.how == "search") if self.how in ("regex", "search") else None

    @property
    def asked(self) -> Entry:
        """How it is looked up: a glob that only cuts names short by the beginning that they have."""
        if self.how == "glob" and _BEGINNING.fullmatch(self.what) and len(_NUMBER.findall(self.what)) < 2:
            return "begins", self.what[:-1], None, self.roles, self.towers
        return self.how, self.what, self.pattern, self.roles, self.towers

    def __str__(self) -> str:
        given = self.form.name if self.form else "not quantized"
        return f"{self.how} {self.what}: {given} ({self.field})"


_BEGINNING = re.compile(r"[\w.-]{0,200}[A-Za-z_]\*", re.ASCII)
_NUMBER = re.compile(r"(?:^|\.)\d+(?=\.)", re.ASCII)
"""Of a layer or of an expert; a beginning with one is about a layer."""


def _globbed(text: str) -> str:
    """A name with * for anything, and ? for a character, as an expression; modules inside those named belong to it."""
    written = (".*" if c == "*" else "." if c == "?" else c if c.isalnum() or c == "_" else f"\\{c}" for c in text)
    return "".join(written) + r"(?:\..*)?"


class Share(NamedTuple):
    """Experts of a tensor (None: all there is of it) that one rule prices; no rule: None."""

    numbers: Numbers | None
    rule: Rule | None


@dataclass(frozen=True)
class Scheme:
    """How a checkpoint is stored.

    Attributes:
        title: what a person would call it. rules: in the order they are asked.
        cache: the KV cache's format, where the config asks for one.
        vectors: whether the rules say how tensors of one axis are stored, too.
        place: where in the config, or beside it, the rules stand.
    """

    title: str
    rules: tuple[Rule, ...]
    cache: str | None = None
    vectors: bool = False
    place: str = ""

    @cached_property
    def _asker(self) -> Asker:
        return Asker([r.asked for r in self.rules])

    @cached_property
    def _layers(self) -> Layers:
        return Layers(self._asker, ((r.form, r.roles, r.towers) for r in self.rules))

    def alike(
        self, path: str, layers: tuple[int, ...], weights: Iterable[Weight], *, tower: bool, beside: bool
    ) -> list[Alike]:
        """Layers of a stack, which hold the same weights, in groups: the rules say the same of all in one."""
        return self._layers.alike(path, layers, (w.name for w in weights), tower=tower, beside=beside)

    @contextmanager
    def standing_for(self, layers: Alike) -> Iterator[None]:
        """What is asked inside is asked of the first of the layers, and counts as asked of them all."""
        before, self._asker.met = self._asker.met, set()
        yield
        met = self._asker.met
        met.update(*(others for rule, others in layers.rules.items() if rule in met), before)

    def pick(self, module: str, role: str, tower: bool) -> Format | None:
        """The format of one tensor by its module's path, its role and whether it is in a tower, of experts that of the
        first; None where it is not quantized."""
        if role == "experts":
            number = self._asker.experts(module, role, 0, 1, tower=tower, beside=False)[0][1]
        else:
            number = self._asker.first(module, role, tower=tower)
        return None if number is None else self.rules[number].form

    def shares(self, module: str, weight: Weight, *, tower: bool = False, beside: bool = False) -> list[Share]:
        """Which rule prices the tensor that `module` names, experts apart where the rules tell them apart. `beside`:
        the model has towers."""
        count, numbered = experts_of(weight)
        if count == 1 and not numbered:
            number = self._asker.first(module, weight.role, tower=tower, beside=beside)
            return [Share(None, None if number is None else self.rules[number])]
        found = self._asker.experts(module, weight.role, weight.first, count, tower=tower, beside=beside)
        if len(found) == 1:
            return [Share(None, None if found[0][1] is None else self.rules[found[0][1]])]
        return [Share(numbers, None if rule is None else self.rules[rule]) for numbers, rule in found]

    def form(
        self, module: str, weight: Weight, native: Format, *, tower: bool = False, beside: bool = False
    ) -> Format | None:
        """The format of the tensor, a mixed one where its experts differ; None where none of it is quantized. `native`:
        what those experts are stored in that are not."""
        forms: dict[Format | None, int] = {}
        for share in self.shares(module, weight, tower=tower, beside=beside):
            form = share.rule.form if share.rule else None
            forms[form] = forms.get(form, 0) + (1 if share.numbers is None else len(share.numbers))
        if len(forms) == 1:
            return next(iter(forms))
        return Mixed.of({form or native: count for form, count in forms.items()})

    def touch(self, module: str) -> None:
        """The model has a module of that name, which the rules do not price."""
        self._asker.touch(module)

    def unmatched(self) -> list[Rule]:
        """Rules that name modules of which the model has none, once it is planned and its other modules are touched."""
        asked = ((i, r) for i, r in enumerate(self.rules) if r.how not in ("class", "tensor") and r.field)
        return [r for i, r in asked if i not in self._asker.met]


def experts_of(weight: Weight) -> tuple[int, bool]:
    """How many experts the tensor holds, and whether its name has a star for their number."""
    copies = weight.copies
    if "*" in weight.name and not isinstance(copies, Expression):
        return int(copies), True
    if weight.role == "experts" and len(weight.shape) == 3 and isinstance(weight.shape[0], int):
        return weight.shape[0], False
    return 1, False


def converting(
    what: str, form: Format, field: str, roles: frozenset[str] = LINEAR, *, towers: bool = True
) -> tuple[Rule, ...]:
    """The rule for all matrices of some roles."""
    return (Rule("class", what, form, field, roles, towers),)


def names(settings: Mapping[str, Any], key: str) -> list[str]:
    """The modules listed under the key.

    Raises:
        ValueError: what stands there is no list of names.
    """
    found = settings.get(key) or ()
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, Collection):
        raise ValueError(f"{key} {found!r} is not a list of modules")
    odd = next((name for name in found if not isinstance(name, str)), None)
    if odd is not None:
        raise ValueError(f"{key} has {odd!r}, which names no module")
    return [name.strip() for name in found]


def listed(settings: Mapping[str, Any], *keys: str, globs: bool = False) -> tuple[Rule, ...]:
    """Rules that leave out the modules a config lists under the keys, as transformers' quantizers read such lists: a
    path, a path's end or a part of it by whole words, or an expression for its start up to the end of a word; vLLM adds
    "re:" before expressions, and with `globs` (modelopt) * stands for anything."""
    return tuple(Rule(*_spelled(name, globs), None, key) for key in keys for name in names(settings, key))


def _spelled(name: str, globs: bool) -> tuple[str, str]:
    """How a listed name is matched, and what."""
    if name.startswith("re:"):
        return "regex", name[3:]
    if not globs and (set(name) & set("^$()[]{}|+\\") or ".*" in name.lstrip("*")):
        return "regex to a dot", name
    return ("glob" if set(name) & set("*?") else "within"), name
