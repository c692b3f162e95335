"""Inputs made of the declared options: each widget's key is its name in the link, label and help are the option's."""

from __future__ import annotations

from typing import Any

import streamlit as st

from calculator.errors import WorkloadError
from calculator.model import Model
from calculator.numbers.reading import whole
from calculator.record.options import DEFAULT_LENGTH, Option

MAX = "max"
MOST = 10**9  # of a field; far beyond any real length or batch
SHOWN_AS_BUTTONS = 4  # choices that a segmented control has room for


class Refused:
    """What fields of this run refused, each said beside its field; the page then waits."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def beside(self, sentence: str) -> None:
        """A sentence under the field that it is about."""
        self.sentences.append(sentence)
        st.markdown(f":red[:small[{sentence}]]")


def sentence(text: str) -> str:
    """A help of an option as a sentence of its own."""
    return f"{text[0].upper()}{text[1:]}."


def choice(option: Option, *, label: bool = True, extra: str = "") -> str:
    """One of the option's choices."""
    shared: dict[str, Any] = {
        "key": option.key,
        "bind": "query-params",
        "persist_state": "session",
        "help": f"{sentence(option.help)}{extra}" if label else None,
        "label_visibility": "visible" if label else "collapsed",
    }
    if len(option.choices) < SHOWN_AS_BUTTONS:
        found = st.segmented_control(
            option.label, option.choices, default=option.default, required=True, width="stretch", **shared
        )
        return found or str(option.default)
    return str(st.selectbox(option.label, option.choices, index=option.choices.index(option.default), **shared))


def switch(option: Option) -> bool:
    """On or off."""
    return st.toggle(
        option.label,
        bool(option.default),
        key=option.key,
        bind="query-params",
        persist_state="session",
        help=sentence(option.help),
    )


def factor(option: Option) -> float | None:
    """A factor, or nothing."""
    return st.number_input(
        option.label,
        0.1,
        100.0,
        None,
        0.25,
        key=option.key,
        bind="query-params",
        persist_state="session",
        placeholder=option.absent,
        help=sentence(option.help),
    )


def written(text: str, *, least: int = 1, most: int = MOST) -> str:
    """A number as the fields show it, with thousands; what is none stays as it is."""
    if text.strip().lower() in (MAX, ""):
        return text.strip().lower()
    try:
        return f"{whole(text, least=least, most=most):,}"
    except WorkloadError:
        return text


def tidy(key: str) -> None:
    """After typing: 32k becomes 32,768."""
    st.session_state[key] = written(st.session_state[key] or "")


def number(
    label: str,
    key: str,
    refused: Refused,
    *,
    default: int | None = None,
    placeholder: str = "",
    help: str = "",
    least: int = 1,
    most: int = MOST,
    longest: int | None = None,
    unknown: bool = False,
) -> int | None:
    """A whole number in a field of text: 4096, 32k, 128K, 1e6, 32,768, and max where `longest` is given, or `unknown`
    as long as no model could be read. Empty is None.

    What is no such number is refused in words beside the field.
    """
    with st.container(gap="xxsmall"):
        text = st.text_input(
            label,
            "" if default is None else f"{default:,}",
            key=key,
            bind="query-params",
            persist_state="session",
            placeholder=placeholder,
            help=help,
            on_change=tidy,
            args=(key,),
            max_chars=40,
        )
        said = (text or "").strip()
        if not said:
            return default
        if said.lower() == MAX:
            if longest is not None:
                return longest
            if unknown:
                return default
            refused.beside(f"{label} cannot be max: the model states no longest context.")
            return default
        try:
            return whole(said, label, least=least, most=most)
        except WorkloadError as error:
            refused.beside(str(error))
            return default


def some(key: str, label: str, empty: str, meaning: str, most: float) -> float | None:
    """An amount above 0, or nothing; whole where `most` is."""
    least, step = (1, 1) if isinstance(most, int) else (0.01, 0.01)
    found = st.number_input(
        label,
        least,
        most,
        None,
        step,
        key=key,
        bind="query-params",
        persist_state="session",
        placeholder=empty,
        help=meaning,
    )
    return None if found is None else float(found)


def count(option: Option, refused: Refused, placeholder: str = "") -> int | None:
    """A whole number of an option."""
    return number(
        option.label,
        option.key,
        refused,
        default=option.default,
        placeholder=placeholder or option.absent,
        help=f"{sentence(option.help)} Reads 4096, 32k (32,768), 1e6.",
        least=option.least,
    )


def length(option: Option, model: Model | None, refused: Refused) -> int | None:
    """Empty means the default, which depends on the model: so a link without a length follows the model."""
    context = model.context_length if model else None
    taken = min(DEFAULT_LENGTH, context or DEFAULT_LENGTH)
    limit = f"The model's context is {context:,}" if context else "The model states no longest context"
    return number(
        option.label,
        option.key,
        refused,
        placeholder=f"{taken:,}",
        help=f"{sentence(option.help)} Reads 4096, 32k (32,768), 1e6 and max. Empty: {taken:,}. {limit}.",
        longest=context,
        unknown=model is None,
    )


def preset(label: str, key: str, values: dict[str, dict[str, str]]) -> None:
    """A row of buttons, each of which fills in several fields."""

    def fill() -> None:
        chosen = st.session_state[key]
        if chosen is not None:
            st.session_state.update(values[chosen])
            st.session_state[key] = None

    st.pills(label, list(values), key=key, on_change=fill, label_visibility="collapsed")
