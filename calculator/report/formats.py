"""What the weights are stored in and which rule says so: the table `formats`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from calculator.formats.rules import Rule
from calculator.passes.plan import plan_of
from calculator.passes.priced import PricedTensors, priced

if TYPE_CHECKING:
    from calculator.estimation import Estimate
    from calculator.passes.plan import Plan

WAYS = {
    "name": "{}",
    "tensor": "{}",
    "below": "{}",
    "within": "{}",
    "glob": "{}",
    "regex": "re:{}",
    "regex to a dot": "re:{}",
    "search": "re:.*{}",
    "class": "every {}",
}
"""A rule in words, by how it matches."""


@dataclass
class _Priced:
    """Tensors of one component that rules of one kind store in one format."""

    first: PricedTensors
    rules: dict[Rule | None, None] = field(default_factory=dict)
    tensors: int = 0
    parameters: int = 0
    bytes: int = 0

    def add(self, p: PricedTensors) -> None:
        self.rules[p.rule] = None
        self.tensors += p.tensors
        self.parameters += p.parameters
        self.bytes += p.bytes


def format_rows(estimate: Estimate) -> list[dict[str, Any]]:
    """Which rule priced which tensors, component by component: the format, the bits a weight takes with its scales, how
    many tensors, their parameters and bytes, the rule, where it stands, and one of the tensors."""
    plan = plan_of(estimate.model, estimate.workload)
    found: dict[tuple[Any, ...], _Priced] = {}
    for p in priced(estimate.model, plan):
        how = (p.rule.how, p.rule.field) if p.rule else None
        # What names list is one row; expressions and classes are one each.
        own = p.rule.what if p.rule and p.rule.how not in ("name", "tensor", "below", "within") else None
        found.setdefault((p.component, p.form, how, own), _Priced(p)).add(p)
    order = {component: i for i, component in enumerate(estimate.memory.by_component)}
    rows = [_row(group, plan) for group in found.values()]
    return sorted(rows, key=lambda row: (order.get(row["component"], len(order)), -row["bytes"]))


def _row(group: _Priced, plan: Plan) -> dict[str, Any]:
    first = group.first
    return {
        "component": first.component,
        "format": first.form.name if first.rule is None or first.rule.form is not None else plan.native.name,
        "bits_per_weight": group.bytes * 8 / group.parameters,
        "tensors": group.tensors,
        "parameters": group.parameters,
        "bytes": group.bytes,
        "rule": _said(list(group.rules)),
        "where": _place(first.rule, plan),
        "example": first.name,
    }


def _said(rules: list[Rule | None]) -> str:
    """The rules in words: one by what it matches, several by their first."""
    first = rules[0]
    if first is None:
        return "no rule"
    if first.how == "tensor":
        return "its own header" if first.field == "headers" else "chosen for it"
    words = WAYS[first.how].format(first.what)
    return words if len(rules) == 1 else f"{len(rules):,} names, {words} first"


def _place(rule: Rule | None, plan: Plan) -> str:
    if rule is None or not rule.field:
        return ""
    place = plan.scheme.place if plan.scheme else ""
    return f"{place}.{rule.field}" if place else rule.field
