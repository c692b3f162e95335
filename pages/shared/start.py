"""How to start what a page found: the engine's command, and what Kubernetes and SkyPilot have to be asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import streamlit as st

from calculator.engines.memory.fit import Fit
from calculator.engines.memory.start import COMMANDS, POOLS, kubernetes, shell, skypilot
from calculator.errors import WorkloadError
from pages.shared import show as ui


class Started(NamedTuple):
    """What is started: its title ("" for the only thing there is), its layout, and its pool ("" where it does both)."""

    title: str
    fit: Fit
    pool: str = ""


def starts(started: Sequence[Started]) -> None:
    """The chosen way to start each of them; nothing where the engine is a library."""
    started = [s for s in started if s.fit.engine in COMMANDS and (not s.pool or s.fit.engine in POOLS)]
    if not started:
        return
    with ui.card(
        "How to start it", "Every setting of the page is in the command; what the engine has no word for is not"
    ):
        words = (
            st.segmented_control(
                "Started by",
                list(WAYS),
                default="Command",
                required=True,
                key="start",
                bind="query-params",
                persist_state="session",
                label_visibility="collapsed",
            )
            or "Command"
        )
        for one in started:
            if one.title:
                st.markdown(f"**{ui.plain(one.title)}**")
            make, language = WAYS[words]
            try:
                st.code(make(one), language=language, wrap_lines=True)
            except WorkloadError as refused:
                st.info(ui.plain(refused))


WAYS: dict[str, tuple[Callable[[Started], str], str]] = {
    "Command": (lambda s: shell(s.fit, s.pool), "bash"),
    "Kubernetes": (lambda s: kubernetes(s.fit), "yaml"),
    "SkyPilot": (lambda s: skypilot(s.fit), "yaml"),
}
