"""Why a number is what it is: the operations' amounts as formulas, in symbols and with the values filled in.

The formulas are not written down a second time. The parts of the model compute once more with symbols in place of
their sizes, and what comes out is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError
from calculator.model import Model
from calculator.numbers.symbolic import Expression, numeric, symbol
from calculator.passes.forward import encoder_length, forward, resolved_length
from calculator.passes.plan import Group, Plan, PlannedStack, plan_of
from calculator.record.operation import QUANTITIES, Operation
from calculator.record.workload import Workload

if TYPE_CHECKING:
    from calculator.parts import Part

MEANINGS = {
    "B": "batch size",
    "S": "sequence length",
    "S_x": "tokens the encoder reads",
    "d_x": "width of the encoder",
    "d": "hidden size",
    "n_h": "attention heads",
    "n_kv": "key-value heads",
    "d_h": "size of a head",
    "d_r": "rotated elements of a head",
    "d_ff": "MLP width",
    "d_e": "expert width",
    "d_s": "width of the shared experts",
    "d_l": "width the routed experts work on",
    "E": "experts",
    "k": "experts per token",
    "V": "vocabulary",
    "P": "learned positions",
    "W": "attention window",
    "r_kv": "rank of the latent keys and values",
    "r_q": "rank of the latent queries",
    "d_n": "unrotated elements of a head",
    "d_v": "size of a value head",
    "N": "state size",
    "n_s": "state-space heads",
    "d_p": "size of a state-space head",
    "d_m": "inner width of a Mamba mixer",
    "r_Δ": "rank of the time step",
    "r_o": "rank of the output",
    "b": "tokens of a block",
    "b_g": "tokens summed to one",
    "n_gl": "tokens beside the sequence",
    "n_st": "predicting streams",
    "m": "tokens a compressed entry stands for",
    "n_i": "indexer heads",
    "d_i": "size of an indexer's head",
    "k_i": "tokens an indexer picks",
    "n_r": "residual streams",
    "n_a": "residual streams of AltUp",
    "d_in": "inputs",
    "d_t": "width of a tower",
    "n_t": "heads of a tower",
    "n_g": "groups",
    "n_k": "key heads",
    "n_v": "value heads",
    "d_k": "size of a key head",
    "n": "normalised groups",
    "p": "values in a patch",
    "d_th": "size of a tower's head",
    "d_out": "outputs",
    "k_r": "distances to either side",
    "n_l": "landmarks",
    "k_c": "kernel of the convolution",
    "r": "random blocks",
}


@dataclass(frozen=True)
class Formula:
    """One amount of one operation, for one of its layers: `symbols` = `values` = `value`."""

    quantity: Any  # an Expression, or a number that no symbol entered
    value: Any

    @property
    def symbols(self) -> str:
        """In symbols, for instance "2·B·S·d·d_ff"."""
        return self.quantity.text() if isinstance(self.quantity, Expression) else f"{self.quantity:,}"

    @property
    def values(self) -> str:
        """With the values filled in."""
        return self.quantity.substituted() if isinstance(self.quantity, Expression) else f"{self.quantity:,}"

    @property
    def legend(self) -> Mapping[str, Any]:
        """symbol -> value, of the symbols inside minima and ceilings too."""
        return {a.name: a.value for a in self.quantity.symbols()} if isinstance(self.quantity, Expression) else {}

    def __str__(self) -> str:
        return f"{self.symbols} = {self.values} = {self.value:,}"


@dataclass(frozen=True)
class Explained:
    """An operation with the formulas of its amounts that are not zero."""

    operation: Operation
    formulas: Mapping[str, Formula]


def explain(model: Model, workload: Workload) -> list[Explained]:
    """Every operation of the workload with its formulas, in the order of `operations(model, workload)`.

    Raises:
        WorkloadError: the workload holds arrays; a formula is filled in with one batch size and one length.
    """
    length = resolved_length(model, workload)
    if hasattr(workload.batch_size, "shape") or hasattr(length, "shape"):
        raise WorkloadError("Formulas are filled in for one batch size and one length; give numbers, not arrays.")
    memo: dict[Any, Expression] = {}
    batch, tokens = symbol("B", workload.batch_size, memo), symbol("S", length, memo)
    source = symbol("S_x", encoder_length(model, workload, length), memo)
    plan = _symbolic(plan_of(model, workload), memo)
    numbers = forward(model, workload, workload.batch_size, length)
    return [
        Explained(number, {q: _formula(op, q) for q in QUANTITIES if getattr(number, q)})
        for number, op in zip(numbers, forward(model, workload, batch, tokens, plan=plan, source=source), strict=True)
    ]


def _symbolic(plan: Plan, memo: dict[Any, Expression]) -> Plan:
    """The plan with symbols in its parts, and in the parts inside those."""
    copy = object.__new__(Plan)
    copy.native, copy.title, copy.scheme, copy.beside = plan.native, plan.title, plan.scheme, plan.beside
    copy.stacks = [
        PlannedStack(
            planned.stack,
            tuple(
                Group(tuple(_named(p, memo) for p in g.parts), g.label, g.count, g.formats, g.parallel)
                for g in planned.groups
            ),
            _symbol("d", planned.stack.width, memo),
        )
        for planned in plan.stacks
    ]
    return copy


def _named(part: Part, memo: dict[Any, Expression]) -> Part:
    getattr(part, "part", None)  # of a part around another
    sizes = {f: getattr(part, f) for f in part.SYMBOLS}
    symbols: dict[str, Any] = {
        f: _symbol(part.SYMBOLS[f], size, memo)
        for f, size in sizes.items()
        if isinstance(size, int) and not isinstance(size, bool) and size and (f, size) != ("groups", 1)
    }
    for f in fields(part):
        inside = getattr(part, f.name)
        if hasattr(inside, "SYMBOLS"):  # a part inside a part; their module loads no earlier than a model does
            symbols[f.name] = _named(inside, memo)
        elif isinstance(inside, tuple) and any(hasattr(p, "SYMBOLS") for p in inside):
            symbols[f.name] = tuple(_named(p, memo) for p in inside)
    return replace(part, **symbols)


def _symbol(name: str, size: int, memo: dict[Any, Expression]) -> Expression:
    """The symbol for a size; equal names of equal sizes are one symbol."""
    return memo.setdefault((name, size), symbol(name, size, memo))


def _formula(op: Operation, amount: str) -> Formula:
    quantity = getattr(op, amount)
    return Formula(quantity, numeric(quantity))
