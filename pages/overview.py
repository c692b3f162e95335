"""Calculator: what the model is, its memory, FLOPs and intensity, and why each number is what it is."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from calculator.model import Model, Stack
from calculator.parts import Attention, LatentAttention
from calculator.passes.totals import intensity_class
from calculator.record.vocabulary import COMPONENTS, MEMORY_KINDS, TITLES
from calculator.report import charts
from pages.shared import show as ui
from pages.shared.caches import caches, keeps
from pages.shared.columns import COLUMNS
from pages.shared.show import Inputs
from pages.shared.why import why


def show(inputs: Inputs) -> None:
    # In containers, because the browser draws anew whatever comes after a place where elements appear or vanish.
    with st.container():
        ui.heading(inputs.model.name.split("/")[-1], inputs)
        facts(inputs)
    with st.container():
        headline(inputs)
    memory(inputs)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        flops(inputs)
    with right.container(border=True, height="stretch"):
        reuse(inputs)
    with st.container():
        caches(inputs)
    tables(inputs)
    why(inputs)


def facts(inputs: Inputs) -> None:
    """What the model is, in small labelled cells, and where that is known from."""
    with st.grid("auto", min_column_width=165, gap="small"):
        for label, value in described(inputs.model).items():
            st.markdown(f":small[:gray[{label}]]  \n**{ui.plain(value)}**")
    certainty(inputs.model)
    notes = ui.plain(" ".join(inputs.estimate.notes))
    st.caption(f"Config: {ui.linked(inputs.model.source)}. {notes}")


def certainty(model: Model) -> None:
    """Of a model that no family reads: what is exact, what follows from fields of its config, what is not known."""
    if not model.certainty:
        return
    colors = {"exact": "green", "derived": "blue", "unknown": "orange"}
    icons = {"exact": ":material/check:", "derived": ":material/function:", "unknown": ":material/help:"}
    with st.container(horizontal=True):
        for quantity, word in model.certainty.items():
            name = quantity.replace("_", " ").replace("flops", "FLOPs").replace("kv", "KV")
            st.badge(f"{name}: {word}", color=colors[word], icon=icons[word])  # type: ignore[arg-type]


def described(model: Model) -> dict[str, str]:
    """The model's facts, label to value."""
    p, experts = model.parameters, model.experts
    found = {"Parameters": f"{p.total:,}"}
    if p.active != p.total:
        found["Active per token"] = f"{p.active:,}, the embedding in full"
    if p.touched != p.active and p.touched < p.total:
        found["Touched per token"] = f"{p.touched:,}, only the rows that are looked up"
    found["Layers"] = _kinds(model.text)
    if model.encoder is not None:
        found["Encoder layers"] = _kinds(model.encoder)
    found["Width"] = f"{model.hidden_size:,}"
    found |= attention_facts(model)
    if experts is not None:
        shared = f", {experts.shared:,} wide shared" if experts.shared else ""
        found["Experts"] = f"{experts.top_k} of {experts.experts}{shared}"
    found["Vocabulary"] = f"{model.vocabulary_size:,}"
    found["Context"] = f"{model.context_length:,}" if model.context_length else "not limited"
    found["Checkpoint"] = model.scheme.title if model.scheme else model.stated_dtype or "no dtype stated"
    found["Type"] = model.model_type
    return found


def _kinds(stack: Stack) -> str:
    """How many layers of each kind: "5 sliding attention + 1 full attention"."""
    counts = Counter(layer.kind for layer in stack.layers)
    return " + ".join(f"{n} {kind}" for kind, n in counts.items())


def attention_facts(model: Model) -> dict[str, str]:
    """Heads, from the first layer that has any."""
    for part in (part for layer in model.text.layers for part in layer.parts):
        if isinstance(part, Attention):
            return {"Heads": f"{part.heads} query, {part.kv_heads} key-value, of {part.head_dim}"}
        if isinstance(part, LatentAttention):
            return {"Heads": f"{part.heads}, latent rank {part.kv_rank}"}
    return {}


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
                delta=f"{ui.gib(e.cache_growth)} for one more token",
                delta_color="off",
                delta_arrow="off",
            )
        per_token = e.flops.total / inputs.workload.batch_size / (1 if decoding else e.sequence_length)
        st.metric(
            f"FLOPs, {ui.MODE_WORDS[inputs.workload.mode]}",
            ui.flops(e.flops.total),
            border=True,
            height="stretch",
            help=inputs.estimate.conventions,
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
    st.caption(inputs.estimate.conventions)


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
            "room": by_component[ranked[0]] / scale * 1.35,
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
    kinds = {
        "memory": "Memory",
        "flops": "FLOPs",
        "reuse": "Intensity",
        "operations": "Operations",
        "formats": "Formats",
    }
    if keeps(inputs):
        kinds |= {"cache": "Cache", "engines": "Engines"}
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
    rows = [{**r, "component": TITLES[r["component"]]} if "component" in r else r for r in e.rows(chosen)]
    ui.table(*COLUMNS[chosen](rows), f"{kinds[chosen]} table", height=460 if chosen == "operations" else "auto")
    with st.container(horizontal=True, horizontal_alignment="right"):
        for kind, title in kinds.items():
            ui.download(f"{title} (CSV)", lambda kind=kind: e.rows(kind), ui.file_name(inputs, kind), f"csv_{kind}")  # type: ignore[misc]


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
