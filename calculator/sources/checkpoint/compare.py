"""`compare(model, checkpoint)`: the formula's tensors against the header's, one by one, and why they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from calculator.formats.weight import Weight
from calculator.model import Model, Stack
from calculator.passes.plan import Plan, plan_of
from calculator.record.run import weights_of
from calculator.record.workload import Workload
from calculator.sources.checkpoint import matching
from calculator.sources.checkpoint.matching import EXPERTS, FUSED, RENAMED, Pair, Priced
from calculator.sources.checkpoint.packing import CACHE_SCALE, CONTAINERS, Stored, unpacked
from calculator.sources.checkpoint.tensors import Checkpoint

Shape = tuple[int, ...]
PREDICTION = "multi-token-prediction layer"
SCALE = "scale or zero point of a quantized weight"
CACHE = "scale of the KV cache"
PACKED = "packed quantized weight"
BUFFER = "buffer"
TWICE = "tied head stored twice"
HEADLESS = "head that this checkpoint of the bare model lacks"
TRANSPOSED = "stored transposed"
RESHAPED = "stored in another shape"
RETYPED = "stored in another type than priced"
TOWER = "tower, which GGUF keeps in a file of its own"
UNEXPLAINED = "unexplained"


@dataclass(frozen=True)
class Row:
    """A tensor that differs, or that one side lacks.

    Attributes:
        name: in the checkpoint; in the formula where the checkpoint lacks it.
        formula, stored: the shapes on both sides, None where there is none.
        dtype: as it is stored. formula_bytes: what the engine prices it at, its scales included.
        stored_bytes: of this tensor. reason: why. weight: of a scale, the weight that it belongs to; of a renamed
            tensor, its name in the formula.
    """

    name: str
    formula: Shape | None
    stored: Shape | None
    dtype: str
    formula_bytes: int
    stored_bytes: int
    reason: str
    weight: str = ""


@dataclass(frozen=True)
class Side:
    """Totals: parameters after unpacking, and bytes with scales and zero points."""

    parameters: int
    nbytes: int


@dataclass(frozen=True)
class Comparison:
    """The formula against the header.

    Attributes:
        model, checkpoint: names of the two sides.
        formula, stored: totals of what both sides mean to hold: without what `beside` counts.
        by_role: class of tensor -> (formula, stored).
        rows: the tensors that differ or that one side lacks.
        beside: reason -> bytes that the checkpoint holds and the formula rightly does not count.
        tensors, file_bytes: of the checkpoint, all of them.
        priced: whether bytes are compared; those of GGUF files follow from no config.
    """

    model: str
    checkpoint: str
    formula: Side
    stored: Side
    by_role: Mapping[str, tuple[Side, Side]]
    rows: tuple[Row, ...]
    beside: Mapping[str, int]
    tensors: int
    file_bytes: int
    priced: bool = True

    @cached_property
    def unexplained(self) -> tuple[Row, ...]:
        """Rows that differ for no reason that is known here."""
        return tuple(row for row in self.rows if row.reason == UNEXPLAINED)

    @property
    def parameters_equal(self) -> bool:
        """Whether formula and checkpoint have as many parameters."""
        return self.formula.parameters == self.stored.parameters

    @property
    def bytes_equal(self) -> bool:
        """Whether every class of tensors takes the bytes it is priced at; True where bytes are not compared."""
        return not self.priced or all(a.nbytes == b.nbytes for a, b in self.by_role.values())

    @property
    def equal(self) -> bool:
        """Whether parameters and bytes are equal and every difference has a reason."""
        return self.parameters_equal and self.bytes_equal and not self.unexplained

    @cached_property
    def reasons(self) -> Mapping[str, int]:
        """reason -> rows, the most frequent first."""
        return dict(Counter(row.reason for row in self.rows).most_common())


def priced_weights(model: Model) -> Iterator[Priced]:
    """Every tensor of the formula by name, with the bytes that dtype="auto" prices it at."""
    plan = plan_of(model, Workload())
    for stack in (*model.stacks, *model.apart):
        places = [
            ("", stack.before),
            *((f"{stack.path}.{i}.", layer.parts) for i, layer in enumerate(stack.layers)),
            ("", stack.after),
        ]
        apart = any(stack is s for s in model.apart)
        for prefix, parts in places:
            for w in weights_of(parts, stored=True):
                shape = tuple(map(int, w.shape))
                for name, size in _sizes(plan, prefix, w, stack):
                    yield Priced(prefix + name, shape, w.role, size, apart, stack.tower)


def _sizes(plan: Plan, prefix: str, w: Weight, stack: Stack) -> Iterator[tuple[str, int]]:
    """The tensor's name and bytes; those of each expert where they are tensors of their own."""
    experts = range(int(w.copies)) if "*" in w.name else None
    shares = plan.shares(prefix, w, stack)
    if experts is None:
        parts = (w if s.numbers is None else w.some(len(s.numbers)) for s in shares)
        sizes = (((s.rule and s.rule.form) or plan.native).size(part) for s, part in zip(shares, parts, strict=True))
        yield w.name, int(sum(sizes))
        return
    for s in shares:
        form = (s.rule and s.rule.form) or plan.native
        size = int(form.size(w) // w.copies)
        for i in experts if s.numbers is None else s.numbers:
            yield w.name.replace("*", str(i), 1), size


def by_rules(model: Model) -> Model:
    """The model with the bytes that its config says, where a family built it and headers gave its bytes."""
    return replace(model, stored=None, plans={}) if model.stored is not None and not model.certainty else model


def compare(model: Model, checkpoint: Checkpoint) -> Comparison:
    """The model's formula held against a checkpoint's headers.

    Args:
        model: what `load_model` returned. checkpoint: what `load_checkpoint` returned.
    """
    model = by_rules(model)
    formula = list(priced_weights(model))
    stored = unpacked(checkpoint, model.config if checkpoint.format == "safetensors" else {})
    pairs = matching.pairs(formula, stored, shapes=checkpoint.format == "gguf")
    layers = len(model.text.layers)
    tied = not any(p.role == "head" for p in formula)
    priced = checkpoint.format == "safetensors"
    rows: list[Row] = []
    beside: Counter[str] = Counter()
    sides: dict[str, list[int]] = {}
    for pair in pairs:
        found = list(_rows(pair, model, layers, tied, priced))
        rows += found
        reason = found[0].reason if found else ""
        if not (pair.stored or found):
            continue
        apart = bool(pair.formula) and all(p.apart for p in pair.formula)
        if (apart or not pair.formula) and reason != UNEXPLAINED:
            beside[reason] += sum(s.nbytes for s in pair.stored)
        elif pair.stored or not _dispensable(pair):
            _add(sides, pair)
    rows.sort(key=lambda row: row.reason != UNEXPLAINED)
    by_role = {r: (Side(*sides[r][:2]), Side(*sides[r][2:])) for r in (*ROLES, UNEXPLAINED) if r in sides}
    left, right = (_whole(side[i] for side in by_role.values()) for i in (0, 1))
    held = len(checkpoint.tensors), checkpoint.nbytes
    names = model.name, checkpoint.name
    return Comparison(*names, left, right, by_role, tuple(rows), dict(beside), *held, priced)


def _whole(sides: Iterable[Side]) -> Side:
    listed = list(sides)
    return Side(sum(s.parameters for s in listed), sum(s.nbytes for s in listed))


ROLES = ("embedding", "linear", "experts", "router", "convolution", "norm", "vector", "head", "buffer")


def _add(sides: dict[str, list[int]], pair: Pair) -> None:
    """Both sides' parameters and bytes under the role; buffers are bytes but no parameters."""
    role = pair.formula[0].role if pair.formula else UNEXPLAINED
    side = sides.setdefault(role, [0, 0, 0, 0])
    counted = role != "buffer"
    side[0] += sum(p.elements for p in pair.formula) * counted
    side[1] += sum(p.nbytes for p in pair.formula)
    side[2] += sum(s.elements for s in pair.stored) * counted
    side[3] += sum(s.nbytes for s in pair.stored)


def _dispensable(pair: Pair) -> bool:
    """Whether a checkpoint may lack these tensors."""
    return all(p.apart or p.role == "buffer" for p in pair.formula)


def _rows(pair: Pair, model: Model, layers: int, tied: bool, priced: bool) -> Iterator[Row]:
    """What is to be said about tensors that belong together."""
    if not pair.formula:
        for s in pair.stored:
            reason = _stored_only(s, model, layers, tied)
            yield Row(s.data.name, None, s.data.shape, s.data.dtype, 0, s.data.nbytes, reason)
            yield from _scales(s)
        return
    if not pair.stored:
        for p in (p for p in pair.formula if not p.apart):  # a copy of the checkpoint may well leave those out
            yield Row(p.name, p.shape, None, "", p.nbytes, 0, _formula_only(p, priced))
        return
    if pair.reason in (EXPERTS, FUSED) or len(pair.formula) > 1 or len(pair.stored) > 1:
        whole = sum(p.nbytes for p in pair.formula)
        reason = pair.reason or FUSED
        if sum(p.elements for p in pair.formula) != sum(s.elements for s in pair.stored):
            reason = UNEXPLAINED
        first, shape = pair.formula[0].name, pair.formula[0].shape
        for i, s in enumerate(pair.stored):
            price = whole if i == 0 else 0
            yield Row(s.data.name, shape, s.data.shape, s.data.dtype, price, s.data.nbytes, reason, first)
            yield from _scales(s)
        return
    p, s = pair.formula[0], pair.stored[0]
    different = _reason(p, s, pair, priced)
    if p.apart and different != UNEXPLAINED:
        different = PREDICTION
    if different:
        weight = p.name if different == RENAMED or p.name != s.name else ""
        yield Row(s.data.name, p.shape, s.data.shape, s.data.dtype, p.nbytes, s.data.nbytes, different, weight)
    yield from _scales(s)


def _reason(p: Priced, s: Stored, pair: Pair, priced: bool) -> str:
    """Why a tensor differs from its formula; "" where it does not."""
    if p.elements != s.elements or not s.understood:
        return UNEXPLAINED
    if s.packed or (s.scales and s.data.dtype in CONTAINERS):
        return PACKED if not priced or p.nbytes == s.nbytes else RETYPED
    if p.shape != s.shape:
        return TRANSPOSED if p.shape[::-1] == s.shape or (*p.shape[:-2], *p.shape[:-3:-1]) == s.shape else RESHAPED
    if priced and p.nbytes != s.nbytes:
        return RETYPED
    return pair.reason


def _scales(s: Stored) -> Iterator[Row]:
    for t in s.scales:
        yield Row(t.name, None, t.shape, t.dtype, 0, t.nbytes, SCALE, s.name)


def _stored_only(s: Stored, model: Model, layers: int, tied: bool) -> str:
    if CACHE_SCALE.fullmatch(s.name):
        return CACHE
    if matching.is_prediction(s.name, model.text.path, layers):
        return PREDICTION
    if matching.is_buffer(s.name, s.shape):
        return BUFFER
    size = (model.vocabulary_size, model.hidden_size)
    if tied and matching.is_head(s.name) and s.shape[:1] == size[:1]:
        return TWICE
    return UNEXPLAINED


def _formula_only(p: Priced, priced: bool) -> str:
    if p.apart:
        return PREDICTION
    if p.role == "buffer":
        return BUFFER
    if p.role == "head":
        return HEADLESS
    return TOWER if p.tower and not priced else UNEXPLAINED


def collapsed(rows: Iterable[Row]) -> list[tuple[str, Row, int, int]]:
    """Rows alike but for the numbers in their names: (pattern, the first of them, how many, their bytes)."""
    found: dict[tuple[Any, ...], tuple[str, Row, int, int]] = {}
    for row in rows:
        pattern = matching.pattern(row.name)
        key = (row.reason, pattern, row.formula, row.stored, row.dtype)
        _, first, count, nbytes = found.get(key, (pattern, row, 0, 0))
        found[key] = (pattern, first, count + 1, nbytes + row.stored_bytes)
    return list(found.values())
