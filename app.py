"""The app: the pages and the sidebar they share. Run with `streamlit run app.py`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from pages.shared.show import Inputs


def main() -> None:
    """Draw the sidebar, then the page that the URL names, within a server's limits and behind its guard."""
    # Before the imports, which take a second in a new process: the browser must not draw the sidebar at another width.
    st.set_page_config(page_title="Transformer calculator", page_icon="🧮", layout="wide", initial_sidebar_state=340)

    from pages.shared.guard import guarded

    with guarded():
        _draw()


def _draw() -> None:
    """The sidebar's widgets belong to the app, not to a page, so their values and the URL survive a change of page."""
    from calculator.errors import CalculatorError
    from pages import checkpoint, compare, experts, methods, overview, scaling
    from pages.shared.guard import error, without_endless_numbers
    from pages.shared.headers import priced
    from pages.shared.model import Waiting, choose_model
    from pages.shared.show import Inputs
    from pages.shared.workload import choose_workload

    without_endless_numbers()
    chosen: list[Inputs] = []

    def page(show: Callable[[Inputs], None]) -> Callable[[], None]:
        return lambda: show(chosen[0])

    current = st.navigation(
        [
            st.Page(page(overview.show), title="Calculator", icon=":material/calculate:", default=True),
            st.Page(page(scaling.show), title="Scaling", icon=":material/show_chart:", url_path="scaling"),
            st.Page(page(compare.show), title="Compare", icon=":material/compare_arrows:", url_path="compare"),
            st.Page(page(experts.show), title="Experts", icon=":material/hub:", url_path="experts"),
            st.Page(page(checkpoint.show), title="Checkpoint", icon=":material/inventory_2:", url_path="checkpoint"),
            st.Page(page(methods.show), title="Methods", icon=":material/functions:", url_path="methods"),
        ],
        position="top",
    )
    st.set_page_config(page_title=f"{current.title} · Transformer calculator")
    try:
        with st.sidebar:
            model = priced(choose_model())
            workload = choose_workload(model)
    except Waiting as wish:
        st.title(current.title, anchor=False)
        st.info(str(wish), icon=":material/arrow_back:")
        return
    except CalculatorError as found:
        st.title(current.title, anchor=False)
        error(found)
        return
    chosen.append(Inputs(model, workload))
    current.run()


if __name__ == "__main__":
    main()
