"""One click that gives a model the weight bytes of its checkpoint's headers, on every page of the session."""

from __future__ import annotations

import streamlit as st

from calculator.model import Model
from calculator.sources.checkpoint import Checkpoint
from calculator.sources.checkpoint.compare import by_rules
from calculator.sources.checkpoint.stored import with_headers

KEPT = "priced_by_headers"  # of the session: whose headers, and the model with their bytes


def offer(model: Model, found: Checkpoint) -> None:
    """The switch. It is off for another model, and for a model that has only its headers."""
    if model.certainty:
        return
    whose = (model.name, model.source, found.source)
    kept = st.session_state.get(KEPT)
    on = st.toggle(
        "Weight bytes of these headers on every page",
        value=kept is not None and kept[0] == whose,
        key=f"headers of {found.source}",
        help="In precision auto. FLOPs, caches and activations stay those of the formula; a note says how far the "
        "headers and the config's rules are apart.",
    )
    if on and (kept is None or kept[0] != whose):
        st.session_state[KEPT] = (whose, with_headers(by_rules(model), found))
    elif not on and kept is not None and kept[0] == whose:
        st.session_state[KEPT] = None


def priced(model: Model) -> Model:
    """The model with the bytes that were chosen for it, or as it is."""
    kept = st.session_state.get(KEPT)
    if kept is None or kept[0][:2] != (model.name, model.source):
        return model
    found: Model = kept[1]
    return found
