"""Calculator: what the model is, its memory, FLOPs and intensity, and why each number is what it is."""

from __future__ import annotations

from typing import Any

import streamlit as st

from calculator import charts
from calculator.estimate import MEMORY_KINDS, intensity_class
from calculator.explain import MEANINGS, Explained, Formula, explain
from calculator.operation import COMPONENTS, HELD
from calculator.tables import TITLES
from pages.shared import show as ui
from pages.shared.show import Inputs

AMOUNTS = {
    "parameters": "Parameters",
    "active": "Active parameters",
    "flops": "FLOPs",
    "weight_bytes": "Weight bytes held",
    "weight_reads": "Weight bytes read",
    "reads": "Activation bytes read",
    "writes": "Activation bytes written",
    "cache_bytes": "Cache bytes held",
    "cache_reads": "Cache bytes read",
    "cache_writes": "Cache bytes written",
    "saved": "Bytes kept for backward",
    "live": "Bytes alive while it runs",
}


def show(inputs: Inputs) -> None:
    ui.heading(inputs.model.name.split("/")[-1], inputs)
    facts(inputs)
    headline(inputs)
    memory(inputs)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        flops(inputs)
    with right.container(border=True, height="stretch"):
        reuse(inputs)
    tables(inputs)
    why(inputs)


def facts(inputs: Inputs) -> None:
    """One line on what the model is."""
    model, p = inputs.model, inputs.model.parameters
    words = [f"**{p.total:,}** parameters ({ui.count(p.total)})"]
    if p.active != p.total:
        words.append(f"**{p.active:,}** active ({ui.count(p.active)})")
    kinds = dict.fromkeys(layer.kind for layer in model.text.layers)
    counts = [f"{sum(layer.kind == kind for layer in model.text.layers)} × {kind}" for kind in kinds]
    words.append(
        f"{model.layers} layers ({', '.join(counts)})"
        if len(counts) > 1
        else f"{model.layers} layers of {counts[0].split(' × ')[1]}"
    )
    words.append(f"width {model.hidden_size:,}")
    words += attention_facts(inputs)
    if model.experts is not None:
        shared = f" + {model.experts.shared:,} wide shared" if model.experts.shared else ""
        words.append(f"{model.experts.experts} experts, {model.experts.top_k} per token{shared}")
    words.append(f"vocabulary {model.vocabulary_size:,}")
    words.append(f"context {model.context_length:,}" if model.context_length else "no stated context limit")
    stored = model.scheme.title if model.scheme else model.stated_dtype or "dtype not stated"
    words.append(f"checkpoint {stored}")
    st.markdown(" · ".join(words))
    notes = " ".join(inputs.estimate.notes)
    st.caption(f"Model type `{model.model_type}`. Config: {ui.linked(model.source)}. {notes}")


def attention_facts(inputs: Inputs) -> list[str]:
    """Heads, from the first layer that has any."""
    for layer in inputs.model.text.layers:
        for part in layer.parts:
            heads, kv_heads = getattr(part, "heads", None), getattr(part, "kv_heads", None)
            if kv_heads is not None:
                return [f"{heads} heads ({kv_heads} key-value) of {part.head_dim}"]  # type: ignore[attr-defined]
            if hasattr(part, "kv_rank"):
                return [f"{heads} heads, latent rank {part.kv_rank}"]
    return []


def headline(inputs: Inputs) -> None:
    e = inputs.estimate
    m = e.memory
    training, decoding = inputs.workload.mode == "pretraining", inputs.workload.mode == "decode"
    with st.grid(4):
        st.metric(
            "Memory",
            ui.gib(m.total),
            border=True,
            height="stretch",
            help="Weights + KV cache + activations + gradients + optimizer states. GiB = 2^30 bytes.",
            delta=f"weights {ui.percent(m.weights / m.total)}",
            delta_color="off",
            delta_arrow="off",
        )
        if training:
            st.metric(
                "Model states",
                ui.gib(m.weights + m.gradients + m.optimizer_states),
                border=True,
                height="stretch",
                help="Weights, gradients, AdamW moments and the 32-bit master copy.",
                delta=f"activations {ui.gib(m.activations)}",
                delta_color="off",
                delta_arrow="off",
            )
        else:
            st.metric(
                "KV cache and state",
                ui.gib(m.kv_cache),
                border=True,
                height="stretch",
                help="Keys, values, latents and recurrent states that the sequences hold.",
                delta=f"{ui.gib(m.kv_cache / inputs.workload.batch_size / e.sequence_length)} per token",
                delta_color="off",
                delta_arrow="off",
            )
        per_token = e.flops.total / inputs.workload.batch_size / (1 if decoding else e.sequence_length)
        st.metric(
            f"FLOPs, {ui.MODE_WORDS[inputs.workload.mode]}",
            ui.flops(e.flops.total),
            border=True,
            height="stretch",
            help=ui.conventions(inputs),
            delta=f"{ui.flops(per_token)} per token",
            delta_color="off",
            delta_arrow="off",
        )
        st.metric(
            "Intensity",
            ui.intensity(e.intensity),
            border=True,
            height="stretch",
            help="FLOPs per byte moved to and from device memory. Low < 10, medium 10-100, high > 100.",
            delta=f"{intensity_class(e.intensity)} · {ui.gib(e.traffic.total)} moved",
            delta_color="off",
            delta_arrow="off",
        )
    g = e.generation
    if g is not None:
        st.caption(
            f"Generating {g.tokens:,} tokens for each of {inputs.workload.batch_size:,} sequences: "
            f"{ui.flops(g.flops.total)}, "
            f"{ui.gib(g.traffic.total)} moved, KV cache grows to {ui.gib(g.kv_cache)}."
        )
    st.caption(ui.conventions(inputs))


def memory(inputs: Inputs) -> None:
    """Memory by component and kind."""
    cells = inputs.estimate.memory.by_component
    scale, unit = (2**30, "GiB") if inputs.estimate.memory.total >= 2**30 else (2**20, "MiB")
    rows = [
        {
            "label": TITLES[kind],
            "component": TITLES[c],
            "value": amount / scale,
            "rank": COMPONENTS.index(c),
            "text": ui.gib(amount),
        }
        for c, kinds in cells.items()
        for kind, amount in kinds.items()
        if amount
    ]
    kinds = tuple(TITLES[k] for k in MEMORY_KINDS if any(r["label"] == TITLES[k] for r in rows))
    present = tuple(TITLES[c] for c in COMPONENTS if any(r["component"] == TITLES[c] for r in rows))
    with st.container(border=True):
        st.subheader("Memory by kind and component", anchor=False)
        parts = ", ".join(
            f"{TITLES[k]} {ui.gib(getattr(inputs.estimate.memory, k))}"
            for k in MEMORY_KINDS
            if getattr(inputs.estimate.memory, k)
        )
        ui.draw(rows, charts.stacked_bars(present, kinds, unit), f"Memory by kind and component: {parts}.")


def flops(inputs: Inputs) -> None:
    by_component = inputs.estimate.flops.by_component
    scale, unit = ui.flops_scale(max(by_component.values()))
    whole = inputs.estimate.flops.total
    ranked = sorted((c for c in by_component if by_component[c]), key=lambda c: -by_component[c])
    rows = [
        {
            "component": TITLES[c],
            "value": by_component[c] / scale,
            "room": by_component[ranked[0]] / scale * 1.15,
            "text": ui.flops(by_component[c]),
            "label": ui.percent(by_component[c] / whole),
        }
        for c in ranked
    ]
    st.subheader("FLOPs by component", anchor=False)
    parts = ", ".join(f"{r['component']} {r['label']}" for r in rows)
    ui.draw(rows, charts.component_bars(tuple(r["component"] for r in rows), unit), f"FLOPs by component: {parts}.")


def reuse(inputs: Inputs) -> None:
    rows = [
        {**r, "component": TITLES[r["component"]], "gib": r["traffic"] / 2**30, "text": ui.gib(r["traffic"])}
        for r in inputs.estimate.rows("operations")
        if r["traffic"] and r["flops"]
    ]
    present = tuple(TITLES[c] for c in COMPONENTS if any(r["component"] == TITLES[c] for r in rows))
    kept = ("operation", "layers", "component", "intensity", "class", "gib", "text")
    st.subheader("Intensity by operation", anchor=False)
    classes = ", ".join(f"{sum(r['class'] == c for r in rows)} {c}" for c in ("low", "medium", "high"))
    ui.draw(
        [{k: r[k] for k in kept} for r in rows],
        charts.intensity_dots(present),
        f"Arithmetic intensity of {len(rows)} operations against the bytes they move: {classes}.",
    )


def tables(inputs: Inputs) -> None:
    e = inputs.estimate
    st.subheader("Breakdown", anchor=False)
    kinds = {"memory": "Memory", "flops": "FLOPs", "reuse": "Intensity", "operations": "Operations"}
    chosen = (
        st.segmented_control(
            "Table",
            list(kinds),
            default="memory",
            required=True,
            key="table",
            bind="query-params",
            label_visibility="collapsed",
        )
        or "memory"
    )
    rows = [{**r, "component": TITLES[r["component"]]} for r in e.rows(chosen)]
    ui.table(*COLUMNS[chosen](rows), f"{kinds[chosen]} table", height=460 if chosen == "operations" else "auto")
    with st.container(horizontal=True, horizontal_alignment="right"):
        for kind, title in kinds.items():
            ui.download(f"{title} (CSV)", lambda kind=kind: e.rows(kind), ui.file_name(inputs, kind), f"csv_{kind}")  # type: ignore[misc]


def _memory_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number, share = st.column_config.NumberColumn, st.column_config.ProgressColumn
    kinds = [k for k in (*MEMORY_KINDS, "total") if any(r[k] for r in rows)]
    shown = [{**r, **{k: r[k] / 2**30 for k in kinds}} for r in rows]
    return shown, {
        "component": st.column_config.TextColumn("Component", pinned=True),
        **{k: number(f"{TITLES.get(k, 'Total')} (GiB)", format="%,.3f") for k in kinds},
        "share": share("Share", format="percent", min_value=0, max_value=1),
    }


def _flops_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number = st.column_config.NumberColumn
    scale, unit = ui.flops_scale(max((r["total"] for r in rows), default=1))
    shown = [{**r, **{k: r[k] / scale for k in ("matmul", "other", "total")}} for r in rows]
    return shown, {
        "component": st.column_config.TextColumn("Component", pinned=True),
        "matmul": number(f"Matrix products ({unit})", format="%,.4f"),
        "other": number(f"Elementwise and scans ({unit})", format="%,.4f"),
        "total": number(f"Total ({unit})", format="%,.4f"),
        "share": st.column_config.ProgressColumn("Share", format="percent", min_value=0, max_value=1),
    }


def _reuse_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number = st.column_config.NumberColumn
    scale, unit = ui.flops_scale(max((r["flops"] for r in rows), default=1))
    shown = [{**r, "flops": r["flops"] / scale, "bytes": r["bytes"] / 2**30} for r in rows]
    return shown, {
        "component": st.column_config.TextColumn("Component", pinned=True),
        "flops": number(f"FLOPs ({unit})", format="%,.4f"),
        "bytes": number("Moved (GiB)", format="%,.3f"),
        "intensity": number("FLOP per byte", format="%,.2f"),
        "class": st.column_config.TextColumn("Class"),
    }


def _operation_columns(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    scale, unit = ui.flops_scale(max((r["flops"] for r in rows), default=1))
    memory = ("weight_bytes", "cache_bytes", "traffic")
    shown = [{**r, "flops": r["flops"] / scale, **{k: r[k] / 2**20 for k in memory}} for r in rows]
    return shown, {
        "operation": text("Operation", pinned=True),
        "component": text("Component"),
        "layers": text("Layers"),
        "count": number("Count", format="%d"),
        "parameters": number("Parameters", format="%,d"),
        "flops": number(f"FLOPs ({unit})", format="%,.4f"),
        "weight_bytes": number("Weights (MiB)", format="%,.2f"),
        "cache_bytes": number("Cache (MiB)", format="%,.2f"),
        "traffic": number("Moved (MiB)", format="%,.2f"),
        "intensity": number("FLOP per byte", format="%,.2f"),
        "class": text("Class"),
    }


COLUMNS = {
    "memory": _memory_columns,
    "flops": _flops_columns,
    "reuse": _reuse_columns,
    "operations": _operation_columns,
}


TOTALS = {
    "parameters": "Parameters",
    "weight_bytes": "Weights",
    "cache_bytes": "KV cache and state",
    "flops": "FLOPs",
    "weight_reads": "Weight traffic",
    "reads": "Activation reads",
    "writes": "Activation writes",
    "cache_reads": "Cache reads",
    "saved": "Kept for backward",
    "live": "Activation peak",
}


def why(inputs: Inputs) -> None:
    """Every amount as a formula with the values filled in: a total over all operations, or all amounts of one."""
    listed = explain(inputs.model, inputs.workload)
    with st.container(border=True):
        st.subheader("Why this number", anchor=False)
        totals = [title for amount, title in TOTALS.items() if any(amount in x.formulas for x in listed)]
        by_label = {f"{x.operation.name} · {x.operation.layers}".rstrip(" ·"): x for x in listed}
        number = st.selectbox(
            "A total, or one operation",
            [*totals, *by_label],
            index=totals.index("FLOPs"),
            key="why",
            bind="query-params",
            help="Every number on this page is a sum over the operations, of formulas in the symbols below.",
        )
        if number in by_label:
            rows, formulas = operation_formulas(by_label[number]), list(by_label[number].formulas.values())
        else:
            rows, formulas = total_formulas(listed, next(a for a, title in TOTALS.items() if title == number))
        st.table(rows)
        legend = {s: v for f in formulas for s, v in f.legend.items() if s in MEANINGS}
        st.caption(" · ".join(f"{s} = {v:,} ({MEANINGS[s]})" for s, v in legend.items()))


def total_formulas(listed: list[Explained], amount: str) -> tuple[list[dict[str, str]], list[Formula]]:
    """What each operation adds to a total, the largest first; for the peak, the operation that reaches it."""
    parts = [(x.formulas[amount].value * times(x, amount), x) for x in listed if amount in x.formulas]
    parts = sorted((p for p in parts if p[0]), key=lambda p: -p[0])
    whole = parts[0][0] if amount == "live" else sum(p[0] for p in parts)
    shown = parts[:1] if amount == "live" else parts[:LONGEST]
    rows = [
        {
            "Operation": f"{x.operation.name} {x.operation.layers}",
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
    return [{"Amount": AMOUNTS[amount], **_filled(explained, amount)} for amount in explained.formulas]


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


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
