"""What stands around the app: the limits of a server, and a sentence for everything that goes wrong."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from calculator.errors import RAISE, CalculatorError
from calculator.limits import SERVER, applied
from calculator.report import clean
from calculator.sources import memory

LOG = logging.getLogger("calculator.app")


def error(words: object) -> None:
    """A sentence about what went wrong; what it repeats of a stranger's text is text."""
    st.error(clean.markdown(words), icon=":material/error:")


@st.cache_resource(show_spinner=False)
def visitors_memory() -> memory.Memory:
    """What is remembered for all visitors together."""
    return memory.Memory()


@contextmanager
def guarded() -> Iterator[None]:
    """Within the limits of a server. An error meant for the user is shown; one that nobody foresaw is logged here, and
    the visitor reads what to do."""
    with applied(SERVER), memory.used(visitors_memory()):
        try:
            yield
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
