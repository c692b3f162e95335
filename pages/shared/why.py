"""Why a number is what it is: the operations it is a sum of, each with its formula filled in."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from calculator.numbers.symbols import MEANINGS
from calculator.record.vocabulary import AMOUNT_LIST, AMOUNTS, HELD, MEMORY_KINDS
from calculator.record.vocabulary import TITLES as NAMES
from calculator.report.why import Explained, Formula
from calculator.serving.parts import Passed
from calculator.serving.seconds import UNMEASURED, Seconds
from calculator.training.speed import StepTime
from pages.shared import show as ui
from pages.shared.show import Inputs

# Of the totals, what is held comes first.
TOTALS = {a.name: a.total for a in sorted(AMOUNT_LIST, key=lambda a: (a.over != "stored", a.name != "cache_bytes"))}


BRIEF = 4  # operations listed under a figure


def memory(inputs: Inputs) -> str:
    """The memory's kinds, and the cache's formula."""
    m = inputs.estimate.memory
    lines = [f"- {NAMES[k]} **{ui.size(getattr(m, k))}**" for k in MEMORY_KINDS if getattr(m, k)]
    amount = "cache_bytes" if m.kv_cache > m.weights else "weight_bytes"
    return "\n".join([*lines, "", _largest(inputs, amount), "", f"In all {m.total:,} bytes."])


def compute(inputs: Inputs) -> str:
    """The operations that compute the most."""
    return f"A multiply-add is 2 FLOPs. {inputs.estimate.conventions}\n\n{_largest(inputs, 'flops')}"


def intensity(inputs: Inputs) -> str:
    """FLOPs over bytes."""
    e, t = inputs.estimate, inputs.estimate.traffic
    return (
        f"{ui.flops(e.flops.total)} / {ui.size(t.total)} moved = **{ui.intensity(e.intensity)}**\n\n"
        f"- weights {ui.size(t.weights)}\n- activations {ui.size(t.activations)}\n- cache {ui.size(t.cache)}"
    )


def token(found: Passed) -> str:
    """How a time is made."""
    parts = "\n".join(
        f"- {name} {ui.seconds(s)}" for name, s in sorted(found.parts.items(), key=lambda item: -item[1])[: BRIEF + 2]
    )
    return (
        "For each operation the longer of FLOPs / rate and bytes / bandwidth; then launches, links and the engine.\n\n"
        f"{parts}\n\n*Never under* takes the datasheet's rates; *likely* held 8 of 10 measured cases."
        f"{unmeasured(found.time)}"
    )


def unmeasured(time: Seconds | StepTime) -> str:
    """What stands beside the range of a device that no run was measured on."""
    return "" if time.measured else f" {UNMEASURED}."


def _largest(inputs: Inputs, amount: str) -> str:
    """The operations with the most of an amount, each with its formula filled in."""
    listed = inputs.explained
    parts = [(x.formulas[amount].value * times(x, amount), x) for x in listed if amount in x.formulas]
    lines = []
    for value, x in sorted(parts, key=lambda p: -p[0])[:BRIEF]:
        f = x.formulas[amount]
        shown = ui.size(value) if amount.endswith("bytes") else ui.flops(value)
        name = ui.plain(f"{x.operation.name} {x.operation.layers}".strip())
        lines.append(f"- {name}: {ui.plain(f.symbols)} = {ui.plain(f.values)}, {times(x, amount)} × = **{shown}**")
    return "\n".join(lines)


def why(inputs: Inputs) -> None:
    """Every amount as a formula with the values filled in: a total over all operations, or all amounts of one."""
    with ui.folded("Why: every number as a formula", "formulas", ":material/function:") as opened:
        if opened:
            _formulas(inputs)


def _formulas(inputs: Inputs) -> None:
    listed = inputs.explained
    totals = [title for amount, title in TOTALS.items() if any(amount in x.formulas for x in listed)]
    by_label = {f"{x.operation.name} · {x.operation.layers}".rstrip(" ·"): x for x in listed}
    number = st.selectbox(
        "A total, or one operation",
        [*totals, *by_label],
        index=totals.index("FLOPs"),
        key="why",
        bind="query-params",
        persist_state="session",
        help="Every number on this page is a sum over the operations, of formulas in the symbols below.",
    )
    if number in by_label:
        rows, formulas = operation_formulas(by_label[number]), list(by_label[number].formulas.values())
    else:
        rows, formulas = total_formulas(listed, next(a for a, title in TOTALS.items() if title == number))
    st.table(rows)
    st.markdown(composed(inputs))
    legend = {s: v for f in formulas for s, v in f.legend.items() if s in MEANINGS}
    st.caption(" · ".join(f"{s} = {v:,} ({MEANINGS[s]})" for s, v in legend.items()))


def composed(inputs: Inputs) -> str:
    """How the numbers that no single operation has are made of those that have."""
    e = inputs.estimate
    m, t = e.memory, e.traffic
    parts = {NAMES[kind]: getattr(m, kind) for kind in MEMORY_KINDS if getattr(m, kind)}
    lines = [f"Memory = {_summed(parts)} = {m.total:,} bytes"]
    if inputs.workload.mode == "pretraining":
        count = e.parameters.total
        if count and not inputs.workload.share_experts_across_layers:
            lines.append(f"Gradients = {count:,} parameters × {m.gradients // count} bytes = {m.gradients:,} bytes")
            lines.append(
                f"Optimizer states = {count:,} parameters × {m.optimizer_states // count} bytes (two 32-bit moments "
                f"and a 32-bit copy of narrower weights) = {m.optimizer_states:,} bytes"
            )
    moved = _summed({"weights": t.weights, "activations": t.activations, "cache": t.cache})
    lines.append(f"Traffic = {moved} = {t.total:,} bytes")
    lines.append(f"Intensity = {e.flops.total:,} FLOPs / {t.total:,} bytes = {e.intensity:,.4f} FLOP per byte")
    return "\n".join(f"- {line}" for line in lines)


def _summed(parts: Mapping[str, float]) -> str:
    return " + ".join(f"{name.lower() if name != 'KV cache' else name} {amount:,}" for name, amount in parts.items())


def total_formulas(listed: list[Explained], amount: str) -> tuple[list[dict[str, str]], list[Formula]]:
    """What each operation adds to a total, the largest first; for the peak, the operation that reaches it."""
    parts = [(x.formulas[amount].value * times(x, amount), x) for x in listed if amount in x.formulas]
    parts = sorted((p for p in parts if p[0]), key=lambda p: -p[0])
    whole = parts[0][0] if amount == "live" else sum(p[0] for p in parts)
    shown = parts[:1] if amount == "live" else parts[:LONGEST]
    rows = [
        {
            "Operation": ui.plain(f"{x.operation.name} {x.operation.layers}"),
            **_filled(x, amount),
            "Share": ui.percent(value / whole),
        }
        for value, x in shown
    ]
    rest = sum(p[0] for p in parts[len(shown) :]) if amount != "live" else 0
    if rest:
        rows.append(
            {
                "Operation": f"{len(parts) - len(shown)} more",
                "Formula, per layer": "",
                "With the values": "",
                "Per layer": "",
                "Layers": "",
                "Total": f"{rest:,}",
                "Share": ui.percent(rest / whole),
            }
        )
    rows.append(
        {
            "Operation": "**Peak**" if amount == "live" else "**Sum**",
            "Formula, per layer": "",
            "With the values": "",
            "Per layer": "",
            "Layers": "",
            "Total": f"**{whole:,}**",
            "Share": "",
        }
    )
    return rows, [x.formulas[amount] for _, x in shown]


LONGEST = 12  # operations listed one by one under a total


def operation_formulas(explained: Explained) -> list[dict[str, str]]:
    """All amounts of one operation."""
    return [{"Amount": AMOUNTS[amount].title, **_filled(explained, amount)} for amount in explained.formulas]


def times(explained: Explained, amount: str) -> int:
    """How many layers an amount counts for."""
    op = explained.operation
    return op.stored if amount in HELD else 1 if amount == "live" else op.count


def _filled(explained: Explained, amount: str) -> dict[str, str]:
    formula, layers = explained.formulas[amount], times(explained, amount)
    return {
        "Formula, per layer": formula.symbols,
        "With the values": formula.values,
        "Per layer": f"{formula.value:,}",
        "Layers": f"{layers:,}",
        "Total": f"{formula.value * layers:,}",
    }
