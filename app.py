"""The app: the pages and the sidebar they share. Run with `streamlit run app.py`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from pages.shared import show as ui


TITLED = "titled"  # of the session: the page whose title the browser has


def main() -> None:
    """Draw the sidebar, then the page that the URL names, within a server's limits and behind its guard."""
    if TITLED not in st.session_state:
        # Before all else, the imports of a new process too: the browser keeps the width that it first draws.
        st.set_page_config(
            page_title="Transformer calculator", page_icon="🧮", layout="wide", initial_sidebar_state=320
        )

    from pages.shared.guard import guarded

    with guarded():
        _draw()


# Pages that ask their own question, in the mode they ask it of.
MODE_OF = {"Speed": "decode", "Serving": "decode", "Fit": "decode", "Training": "pretraining"}


def _draw() -> None:
    """The sidebar's widgets belong to the app, not to a page, so their values and the URL survive a change of page."""
    from calculator.errors import CalculatorError
    from pages import checkpoint, compare, experts, fit, methods, overview, scaling, serving, speed, training
    from pages.shared import show as ui
    from pages.shared.drafts import choose_draft
    from pages.shared.fields import Refused
    from pages.shared.guard import without_endless_numbers
    from pages.shared.headers import priced
    from pages.shared.link import amend, keep, remember, told
    from pages.shared.model import Waiting, choose_model
    from pages.shared.plans import machine
    from pages.shared.recipe import Recipe
    from pages.shared.workload import choose_hardware, choose_more, choose_training, choose_workload

    without_endless_numbers()
    amend()
    chosen: list[ui.Inputs] = []

    def page(show: Callable[[ui.Inputs], None]) -> Callable[[], None]:
        return lambda: show(chosen[0])

    listed = {
        "": [
            st.Page(page(overview.show), title="Overview", default=True),
            st.Page(page(fit.show), title="Fit", url_path="fit"),
            st.Page(page(speed.show), title="Speed", url_path="speed"),
            st.Page(page(serving.show), title="Serving", url_path="serving"),
            st.Page(page(training.show), title="Training", url_path="training"),
            st.Page(page(compare.show), title="Compare", url_path="compare"),
        ],
        "More": [
            st.Page(page(scaling.show), title="Scaling", url_path="scaling"),
            st.Page(page(experts.show), title="Experts", url_path="experts"),
            st.Page(page(checkpoint.show), title="Checkpoint", url_path="checkpoint"),
            st.Page(page(methods.show), title="Methods", url_path="methods"),
        ],
    }
    current = st.navigation(listed, position="top")
    if st.session_state.get(TITLED) != current.title:
        # Once for each page: the browser keeps it, and what it is told again costs it 5 ms a change.
        st.set_page_config(page_title=f"{current.title} · {ui.NAME}")
    first = current.title == "Overview"
    keep(current.title, hides=not first)
    refused, problem, model = Refused(), None, None
    with st.sidebar:
        try:
            model = priced(choose_model(refused))
        except (Waiting, CalculatorError) as found:
            problem = found  # the other inputs stay on screen and in the link
        trains = current.title == "Training"
        if trains:
            workload, recipe = choose_training(model, refused)
        else:
            mode, batched = MODE_OF.get(current.title, ""), current.title != "Serving"
            workload, recipe = choose_workload(model, refused, mode=mode, batched=batched), Recipe()
        whole = machine() if current.title == "Serving" else ""
        hardware = choose_hardware(refused, serves=not trains, machine=whole)
        if not trains:
            workload = choose_more(workload, model, refused, drafted=choose_draft if first else None)
    remember()
    draft = str(st.session_state.get("draft") or "").strip() if first else ""
    dropped = tuple(told())
    if model is not None and workload is not None:
        chosen.append(ui.Inputs(model, workload, hardware, recipe, draft, current, dropped))
        try:
            current.run()
        finally:
            chosen[0].forget()
    else:
        _refuse(problem, refused.sentences, dropped)
    st.session_state[TITLED] = current.title  # a run that another one cuts short may not have been heard


def _refuse(problem: Exception | None, sentences: Sequence[str], dropped: Sequence[str]) -> None:
    """Say in the heading why there is no answer, then what to do about it."""
    from pages.shared import show as ui
    from pages.shared.guard import error
    from pages.shared.model import Waiting, named, offer_near

    ui.masthead()
    waits = isinstance(problem, Waiting)
    if problem is None:
        asked = "One field holds" if len(sentences) == 1 else f"{len(sentences)} fields hold"
        st.title(f"{asked} what cannot be read", anchor=False)
    else:
        st.title("Which model?" if waits else f"{ui.plain(named())} could not be read", anchor=False)
    ui.change()
    if problem is not None and waits:
        st.info(str(problem), icon=":material/arrow_back:")
    elif problem is not None:
        error(problem)
        offer_near()
    for sentence in sentences:
        error(sentence)
    ui.say_dropped(dropped)


if __name__ == "__main__":
    main()
