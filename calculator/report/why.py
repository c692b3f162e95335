"""Why a number is what it is: the operations' amounts as formulas, in symbols and with the values filled in.

The formulas are not written down a second time. The parts of the model compute once more with symbols in place of
their sizes, and what comes out is printed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError, needs
from calculator.model import Model
from calculator.numbers.symbolic import Expression, numeric, symbol
from calculator.numbers.symbols import BATCH, HIDDEN, LENGTH, SOURCE
from calculator.passes.forward import encoder_length, every_operation, resolved_length
from calculator.passes.plan import Group, Plan, PlannedStack, plan_of
from calculator.record.operation import Operation
from calculator.record.vocabulary import QUANTITIES
from calculator.record.workload import Workload

if TYPE_CHECKING:
    from calculator.parts import Part


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return f"<Formula {self}>"


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
    needs("explain", model, Model)
    needs("explain", workload, Workload)
    length = resolved_length(model, workload)
    if hasattr(workload.batch_size, "shape") or hasattr(length, "shape"):
        raise WorkloadError("Formulas are filled in for one batch size and one length; give numbers, not arrays.")
    memo: dict[Any, Expression] = {}
    batch, tokens = symbol(BATCH, workload.batch_size, memo), symbol(LENGTH, length, memo)
    source = symbol(SOURCE, encoder_length(model, workload, length), memo)
    plan = _symbolic(plan_of(model, workload), memo)
    numbers = every_operation(model, workload, workload.batch_size, length)
    return [
        Explained(number, {q: _formula(op, q) for q in QUANTITIES if getattr(number, q)})
        for number, op in zip(
            numbers, every_operation(model, workload, batch, tokens, plan=plan, source=source), strict=True
        )
    ]


def _symbolic(plan: Plan, memo: dict[Any, Expression]) -> Plan:
    """The plan with symbols in its parts, and in the parts inside those."""
    stacks = (
        PlannedStack(
            planned.stack,
            tuple(
                Group(tuple(_named(p, memo) for p in g.parts), g.span, g.formats, g.parallel) for g in planned.groups
            ),
            _symbol(HIDDEN, planned.stack.width, memo),
        )
        for planned in plan.stacks
    )
    return replace(plan, stacks=tuple(stacks))


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
