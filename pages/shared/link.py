"""What a link says, before any input reads it: names are completed, numbers written as the fields show them, and what
no input takes is dropped, in words."""

from __future__ import annotations

import difflib

import streamlit as st
from streamlit.runtime.scriptrunner_utils.script_run_context import get_script_run_ctx
from streamlit.runtime.state.session_state_proxy import get_session_state

from calculator.errors import CalculatorError, shown
from calculator.formats.cache import CACHE_TYPES
from calculator.hardware import device
from calculator.numbers.reading import whole
from calculator.record.options import OPTIONS
from calculator.sources import catalogue
from calculator.sources.hub.ids import is_repo
from pages.shared.fields import MAX, written
from pages.shared.model import TYPED
from pages.shared.own import OWN
from pages.shared.own import TYPED as OWN_TYPED

NOTES = "link_notes"  # of the session: what was dropped from the link it was opened with
NUMBERS = {o.key: o.least for o in OPTIONS if o.kind in ("count", "length")}
NUMBERS |= {name: typed.least for name, typed in TYPED.items()} | {"step": 1}
CHOICES = {o.key: o for o in OPTIONS if o.choices}
SHARED = (*(o.key for o in OPTIONS), "device", "devices", "engine", "price", "draft", *OWN_TYPED)
"""Of the sidebar: what every page's link holds, whether or not the page has a field for it."""
SIDEBAR = (*SHARED, "source", "model", "hub", "kind", "tied", *TYPED)
"""What keys the sidebar's fields of more than one page have in the session."""
HELD, PAGE = "link_held", "link_page"  # of the session: the shared part of the last run's link, and its page
FOLDS = {"table": "breakdown", "why": "formulas"}
"""Fields within a fold, and what opens it: a link that names the one opens the other."""
SOURCES = ("popular", "hub", "file", "manual")
FORMER = {
    "source": {"upload": "file"},
    "table": {"flops": "compute", "reuse": "intensity"},
    "figure": {"Compute of a token": "Compute", "Cache of a token": "Cache"},
}
"""What older links say."""


def unread() -> list[str]:
    """The names in the link that no field has read yet; what a field has is the field's to mend."""
    with get_session_state().query_params() as link:
        return [name for name in link if not link.is_bound(name)]


def amend() -> None:
    """Mend the link in place, and keep what was dropped for the page to say."""
    notes: list[str] = []
    before = dict(st.query_params)
    if "model" in unread():
        _model(notes)
    for name in unread():
        if st.query_params[name] in FORMER.get(name, {}):
            st.query_params[name] = FORMER[name][st.query_params[name]]
        if name in FOLDS:
            st.query_params[FOLDS[name]] = "true"
        if name == "source" and st.query_params[name] not in SOURCES:
            _drop(name, SOURCES, "popular", notes)
        elif name in CHOICES and st.query_params[name] not in CHOICES[name].choices:
            _choice(name, notes)
        elif name in NUMBERS:
            _number(name, notes)
        elif name == "device":
            _device(notes)
    if dict(st.query_params) != before:  # widgets begin with what the link held when the page was opened
        with get_session_state().query_params() as held:
            held.set_initial_query_params_from_current()
    if notes:
        st.session_state[NOTES] = notes


def keep(page: str, *, hides: bool) -> None:
    """Keep the shared inputs that this page has no field for in its link, and with it for the next page.

    Streamlit takes what no widget of a run is bound to out of the link: at the end of the run where a widget was, and
    on the way to another page where none was. A page that `hides` inputs lets go of their widgets before they are
    missed; what the way to a page lost is put back, which is a step of the browser's history. A step back to what was
    lost shows the same again; one to another page is left alone, whose address says all.
    """
    run = get_script_run_ctx()
    stepped = bool(run and run.is_history_navigation)
    again = stepped and st.session_state.get(PAGE) == page
    arrived = st.session_state.get(PAGE) != page and not stepped
    held: dict[str, str] = st.session_state.get(HELD, {})
    with get_session_state().query_params() as link:
        bound = [link.get_binding_for_param(name) for name in SHARED] if hides else []
        for binding in bound:
            if binding is not None:
                link.unbind_widget(binding.widget_id)  # those that are drawn bind themselves again
        lost = {n: v for n, v in held.items() if (arrived or again) and not link.has_param(n)}
        if again:
            for name, value in lost.items():
                link.set_with_no_forward_msg(name, value)
        elif lost:
            link.update({n: v for n, v in lost.items() if not link.is_bound(n)})
        if lost:
            link.set_initial_query_params_from_current()
    if arrived:
        _say_again()
    st.session_state[PAGE] = page


def _say_again() -> None:
    """Send what the sidebar's fields hold to the browser once more.

    Who leaves a page while its first run ends has a browser that forgets values which it has just sent: it shows the
    fields empty, the server works with what they held.
    """
    for name in SIDEBAR:
        if name in st.session_state:
            st.session_state[name] = st.session_state[name]


def remember() -> None:
    """What this run's link says of the shared inputs, for the next page; called when the sidebar is drawn."""
    st.session_state[HELD] = {name: st.query_params[name] for name in SHARED if name in st.query_params}


def told() -> list[str]:
    """What was dropped from the link, said once."""
    found: list[str] = st.session_state.pop(NOTES, [])
    return found


def _drop(name: str, allowed: tuple[str, ...], default: str, notes: list[str]) -> None:
    value = st.query_params.pop(name)
    near = difflib.get_close_matches(value.lower(), allowed, 1, 0.4)
    nearest = f" The nearest is {near[0]}." if near else ""
    notes.append(f"The link's {name} {shown(value)} is not known and was dropped.{nearest} Shown is {default}.")


def _choice(name: str, notes: list[str]) -> None:
    option = CHOICES[name]
    folded = {c.lower(): c for c in option.choices}
    value = st.query_params[name]
    if value.lower() in folded:
        st.query_params[name] = folded[value.lower()]
    elif not (name == "kv" and all(part in CACHE_TYPES for part in value.split("/"))):
        _drop(name, option.choices, str(option.default), notes)
    else:
        notes.append(f"The link's {name} {shown(value)} keeps keys and values apart, which the command line can do.")
        del st.query_params[name]


def _number(name: str, notes: list[str]) -> None:
    least, value = NUMBERS[name], st.query_params[name]
    if name == "length" and value.strip().lower() == MAX:
        return
    try:
        whole(value, f"The link's {name}", least=least, most=10**9)
    except CalculatorError as error:
        del st.query_params[name]
        notes.append(f"{error} It was dropped.")
        return
    if written(value, least=least) != value:
        st.query_params[name] = written(value, least=least)


def _device(notes: list[str]) -> None:
    value = st.query_params["device"]
    if value in ("none", OWN):
        return
    try:
        found = device(value).name
    except CalculatorError as error:
        del st.query_params["device"]
        notes.append(f"{error} The link's device was dropped.")
        return
    if found != value:
        st.query_params["device"] = found


def _model(notes: list[str]) -> None:
    """`model=` takes what `hub=` takes: a bundled name in any spelling, or an id of the Hub."""
    value = st.query_params.get("model")
    if value is None or st.query_params.get("source", "popular") != "popular":
        return
    entry = catalogue.find(value)
    if entry is not None:
        if entry.id != value:
            st.query_params["model"] = entry.id
        return
    del st.query_params["model"]
    if "/" in value and is_repo(value.split("@")[0].split(":")[0]):
        st.query_params["source"], st.query_params["hub"] = "hub", value
        return
    near = catalogue.near(value, 1)
    nearest = f"the nearest is {near[0]}" if near else "write it as org/name to read it from the Hub"
    notes.append(f"The link's model {shown(value)} is not bundled; {nearest}.")
