"""What a model is, in small labelled cells, and where that is known from."""

from __future__ import annotations

from collections import Counter

import streamlit as st

from calculator.model import Model, Stack
from calculator.parts import Attention, LatentAttention
from pages.shared import show as ui
from pages.shared.show import Inputs


def facts(inputs: Inputs) -> None:
    """What the model is, in small labelled cells, and where that is known from."""
    with ui.card("The model"):
        with st.grid("auto", min_column_width=150, gap=("xsmall", "small")):
            for label, value in described(inputs.model).items():
                st.markdown(f":small[:gray[{label}]]  \n**{ui.plain(value)}**")
        certainty(inputs.model)
        notes = ui.plain(" ".join(inputs.estimate.notes))
        st.caption(f"Config: {ui.linked(inputs.model.source)}. {notes} {inputs.estimate.conventions}")
        g = inputs.estimate.generation
        if g is not None:
            st.caption(
                f"Generating {g.tokens:,} tokens for each of {inputs.workload.batch_size:,} sequences: "
                f"{ui.flops(g.flops.total)}, {ui.gib(g.traffic.total)} moved, KV cache grows to {ui.gib(g.kv_cache)}."
            )


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
        shared = f", {experts.shared.width:,} wide shared" if experts.shared.width else ""
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
