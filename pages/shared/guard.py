"""What stands around the app: the limits of a server, and a sentence for everything that goes wrong."""

from __future__ import annotations

import gc
import logging
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import streamlit as st
from streamlit.runtime.state.session_state_proxy import get_session_state

from calculator.errors import RAISE, CalculatorError
from calculator.limits import SERVER, applied
from calculator.report import clean
from calculator.sources import memory

T = TypeVar("T")
LOG = logging.getLogger("calculator.app")


def error(words: object) -> None:
    """A sentence about what went wrong; what it repeats of a stranger's text is text."""
    st.error(clean.markdown(words), icon=":material/error:")


@st.cache_resource(show_spinner=False)
def visitors_memory() -> memory.Memory:
    """What is remembered for all visitors together."""
    return memory.Memory()


WORDS = ("hub", "repo", "config", "model", "models")
"""Fields of a link that hold words."""


def without_endless_numbers() -> None:
    """Drop from the link what no widget can take for a number: `?batch=inf`, which Streamlit fails on."""
    with get_session_state().query_params() as link:
        endless = [n for n in link if n not in WORDS and not link.is_bound(n) and _endless(link[n])]
        for name in endless:
            del link[name]
        if endless:  # widgets begin with what the link held when the page was opened
            link.set_initial_query_params_from_current()


def _endless(text: str) -> bool:
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


SETTLED_SECONDS, SET_ASIDE_SECONDS = 300.0, 20.0
_settled = [0.0, 0.0]


def settle() -> None:
    """Set aside what lives long from Python's collector.

    Streamlit lets the collector look at every object of the process after each run: with the packages and the models
    that is a tenth of a second, twice what drawing a page takes. What has come since is set aside every few seconds,
    and what is set aside is looked at again every few minutes, so that nothing is kept that nobody needs.
    """
    now = time.monotonic()
    if not _settled[0] or now - _settled[0] >= SETTLED_SECONDS:
        _settled[:] = now, now
        gc.unfreeze()
    elif now - _settled[1] < SET_ASIDE_SECONDS:
        return
    _settled[1] = now
    gc.collect()
    gc.freeze()


def as_drawn(make: Callable[[], T]) -> Callable[[], T]:
    """What a download makes later, within the limits and the memory that the page was drawn in."""

    def made() -> T:
        with applied(SERVER), memory.used(visitors_memory()):
            return make()

    return made


@contextmanager
def guarded() -> Iterator[None]:
    """Within the limits of a server. An error meant for the user is shown; one that nobody foresaw is logged here, and
    the visitor reads what to do."""
    with applied(SERVER), memory.used(visitors_memory()):
        try:
            yield
            settle()
        except CalculatorError as found:
            error(found)
        except Exception:
            if os.environ.get(RAISE):
                raise
            LOG.exception("A page could not be drawn")
            error(
                "The calculator met a fault of its own and could not draw this. Reload the page; if it comes again, "
                "choose another model or open the app without the rest of the link, and report the model and the link."
            )
