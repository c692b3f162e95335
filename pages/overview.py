"""Calculator: what the model is, its memory, FLOPs and intensity, and why each number is what it is."""

from __future__ import annotations

import streamlit as st

from calculator import charts
from calculator.estimate import MEMORY_KINDS, intensity_class
from calculator.operation import COMPONENTS
from calculator.tables import TITLES
from pages.shared import show as ui
from pages.shared.columns import COLUMNS
from pages.shared.show import Inputs
from pages.shared.why import why


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


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
