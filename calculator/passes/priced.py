"""Which rule priced which tensors of a model, and rules that are about none of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from calculator.formats.named import Format
from calculator.formats.rules import Rule, Scheme
from calculator.formats.weight import Weight
from calculator.model import Model, Stack
from calculator.passes.plan import Plan
from calculator.record.run import weights_of, written

if TYPE_CHECKING:
    from calculator.parts import Part

MOST_NAMED = 3
"""Rules that match nothing which a note spells out."""


class PricedTensors(NamedTuple):
    """A tensor, or those of experts that one rule prices.

    Attributes:
        component: where it belongs. name: in the checkpoint, with a star for an expert's number.
        rule: what priced it, None where no rule is about it. form: what it is stored in.
        tensors, parameters, bytes: how many, their elements, and what they take with their scales.
    """

    component: str
    name: str
    rule: Rule | None
    form: Format
    tensors: int
    parameters: int
    bytes: int


def priced(model: Model, plan: Plan) -> Iterator[PricedTensors]:
    """Every stored tensor of the passes, once, with the rule that priced it."""
    for stack in model.stacks:
        for prefix, parts in _places(stack):
            for op in written(parts):
                if not op.stored:
                    continue
                component = "vision" if stack.tower else op.component
                for weight in op.weights:
                    yield from _shares(plan, stack, prefix, weight, component)


def _shares(plan: Plan, stack: Stack, prefix: str, weight: Weight, component: str) -> Iterator[PricedTensors]:
    for share in plan.shares(prefix, weight, stack):
        part = weight if share.numbers is None else weight.some(len(share.numbers))
        form = (share.rule.form if share.rule else None) or plan.native
        elements, size = int(part.elements()), int(form.size(part))
        yield PricedTensors(component, f"{prefix}{weight.name}", share.rule, form, int(part.copies), elements, size)


def _places(stack: Stack) -> Iterator[tuple[str, tuple[Part, ...]]]:
    yield "", stack.before
    for i, layer in enumerate(stack.layers):
        yield f"{stack.path}.{i}.", layer.parts
    yield "", stack.after


def idle_rules(model: Model, plan: Plan) -> list[Rule]:
    """Rules of the checkpoint's scheme that name modules of which the model has none, prediction layers included."""
    scheme = plan.scheme
    if scheme is None or all(rule.how in ("class", "tensor") for rule in scheme.rules):
        return []
    for stack in (*model.stacks, *model.apart):
        apart = any(stack is other for other in model.apart)
        for parts in (stack.before, stack.after):
            _meet(plan, scheme, stack, "", parts, apart)
        for layer, layers in stack.groups:
            for alike in plan.alike(stack, layers, weights_of(layer.parts)):
                with scheme.standing_for(alike):
                    _meet(plan, scheme, stack, f"{stack.path}.{alike.layers[0]}.", layer.parts, apart)
    return scheme.unmatched()


def _meet(plan: Plan, scheme: Scheme, stack: Stack, prefix: str, parts: tuple[Part, ...], apart: bool) -> None:
    """Asks the rules about what the plan did not ask them: what they do not price, and all of a stack that is apart."""
    for weight in weights_of(parts):
        if plan.asked(weight):
            if apart:
                plan.shares(prefix, weight, stack)
            continue
        name = f"{prefix}{weight.name.removesuffix('.weight')}"
        for module in dict.fromkeys((name, name.removesuffix(".bias"))):
            scheme.touch(module)


def idle_note(rules: list[Rule]) -> str:
    """The sentence about rules that match nothing; nothing where there are none."""
    said = list(dict.fromkeys(f"{rule.what!r} ({rule.field})" for rule in rules))
    if not said:
        return ""
    more = f" and {len(said) - MOST_NAMED:,} more" if len(said) > MOST_NAMED else ""
    kind = "a name or pattern" if len(said) == 1 else f"{len(said):,} names or patterns"
    verb = "matches" if len(said) == 1 else "match"
    return f"The quantization rules have {kind} that {verb} no tensor here: {', '.join(said[:MOST_NAMED])}{more}."
