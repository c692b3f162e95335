"""The sidebar below the model: the work, its precision, the hardware, and the rest folded; made of the options that
`calculator.record.options` declares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import streamlit as st

from calculator.hardware import Device, devices
from calculator.model import Model
from calculator.record.options import BY_FIELD, COUNTING, OPTIONS, PRECISION, Option
from calculator.record.workload import Workload
from calculator.serving.efficiency import ENGINES
from pages.shared import fields
from pages.shared.own import OWN, choose_own
from pages.shared.recipe import Recipe, choose_recipe, choose_work

NO_DEVICE, DEFAULT_DEVICE = "none", "H200 SXM 141GB"
FEWEST = "fewest"
COUNTS = (FEWEST, "1", "2", "4", "8", "16", "32", "64")
FOLDED = ("past_length",)
ASKED = "advanced_asked"  # of the session: whether the folded options were ever opened
WORK = {
    "1 × 4k": {"batch": "1", "length": "4,096"},
    "16 × 32k": {"batch": "16", "length": "32,768"},
    "1 × max": {"batch": "1", "length": "max"},
}


@dataclass(frozen=True)
class Hardware:
    """The chosen device, None for none; how many, None for the fewest that hold it; the engine; the price in US dollars
    an hour and device, None where nobody states one."""

    device: Device | None
    count: int | None
    engine: str
    price: float | None


def choose_workload(
    model: Model | None, refused: fields.Refused, *, mode: str = "", batched: bool = True
) -> Workload | None:
    """Draw the workload's inputs and return the workload, None while a field refuses what it holds.

    Args:
        mode: that of a page that asks its own question; "" lets the sidebar choose. batched: whether the page asks
            about so many sequences at once, rather than about a traffic.
    """
    values: dict[str, Any] = {}
    st.subheader("Work", anchor=False)
    mode = mode or fields.choice(OPTIONS[0], label=False)
    values["mode"] = mode
    shown = [o for o in OPTIONS[1:] if mode in o.modes and _applies(o, model)]
    with st.grid(2, min_column_width=100, gap="xsmall"):
        for option in shown:
            if option.field == "batch_size" and not batched:
                continue
            if option.group not in (PRECISION, COUNTING) and option.field not in FOLDED:
                values[option.field] = _drawn(option, model, refused)
    if batched:
        fields.preset("Sequences × tokens", "work", WORK)
    st.subheader("Precision", anchor=False)
    with st.grid(2, min_column_width=100, gap="xsmall"):
        for option in (o for o in shown if o.group == PRECISION):
            values[option.field] = _drawn(option, model, refused)
    return None if refused.sentences else _workload(values)


def choose_training(model: Model | None, refused: fields.Refused) -> tuple[Workload | None, Recipe]:
    """Draw what a training step is asked for; it has its own precisions and recipe."""
    st.subheader("Work", anchor=False)
    with st.grid(2, min_column_width=100, gap="xsmall"):
        length = _drawn(BY_FIELD["sequence_length"], model, refused)
        sequences, tokens = choose_work(refused)
    recipe = Recipe(choose_recipe(), sequences, tokens)
    workload = None if refused.sentences else Workload(mode="pretraining", sequence_length=length)
    return workload, recipe


def choose_more(
    workload: Workload | None,
    model: Model | None,
    refused: fields.Refused,
    *,
    drafted: Callable[[], object] | None = None,
) -> Workload | None:
    """The options that most people leave alone, folded; with the field that `drafted` draws.

    They are drawn once the fold was opened or the link holds one, and then for the rest of the visit, so that no value
    is lost. A sidebar of half as many fields is repainted in half the time.
    """
    mode = workload.mode if workload else str(st.session_state.get("mode", "prefill"))
    folded = [o for o in OPTIONS[1:] if o.group == COUNTING or o.field in FOLDED]
    values: dict[str, Any] = {}
    fold = st.expander("Advanced", icon=":material/tune:", key="advanced", on_change="rerun")
    if fold.open or any(name in st.query_params for name in ("draft", *(o.key for o in folded))):
        st.session_state[ASKED] = True
    with fold:
        if ASKED in st.session_state:
            if drafted is not None and mode != "pretraining":
                drafted()
            for option in folded:
                if mode in option.modes and _applies(option, model):
                    values[option.field] = _drawn(option, model, refused)
    return workload.with_(**values) if workload is not None and not refused.sentences else None


def _applies(option: Option, model: Model | None) -> bool:
    has = {"": True, "mixture": model is not None and model.experts is not None}
    return has.get(option.of, model is not None and model.encoder is not None)


def _drawn(option: Option, model: Model | None, refused: fields.Refused) -> Any:
    if option.kind == "length":
        return fields.length(option, model, refused)
    if option.kind == "count":
        fixed = model.encoder_length if model is not None and option.of == "encoder" else None
        placeholder = f"{fixed:,}" if fixed else "as the length" if option.of == "encoder" else ""
        return fields.count(option, refused, placeholder)
    if option.kind == "switch":
        return fields.switch(option)
    if option.kind == "factor":
        return fields.factor(option)
    stored = f" Here auto is {_stored(model)}." if option.field == "dtype" and model is not None else ""
    return fields.choice(option, extra=stored)


def _stored(model: Model) -> str:
    return model.scheme.title if model.scheme else model.stated_dtype or "16 bit, as the config names no type"


def _workload(values: dict[str, Any]) -> Workload:
    return Workload(**values)


def choose_hardware(refused: fields.Refused, *, serves: bool = True, machine: str = "") -> Hardware:
    """Draw the device, how many, the engine that `serves` and the price; the engine alone where the page asks about a
    `machine`, which is sold whole."""
    st.subheader("Hardware", anchor=False)
    if machine:
        st.markdown(f":gray[:small[{machine}, chosen on the page, with its devices and their price.]]")
        with st.grid(2, min_column_width=100, gap="xsmall"):
            return Hardware(None, None, _engine(), None)
    names = {d.name: d for d in devices()}
    chosen = st.selectbox(  # a row of its own: names are long
        "Device",
        [NO_DEVICE, OWN, *names],
        index=2 + list(names).index(DEFAULT_DEVICE),
        key="device",
        bind="query-params",
        persist_state="session",
        help="Sold in GB (10^9 bytes); shown here in GiB (2^30), as its driver reports it. Type to search.",
    )
    device = choose_own(refused) if chosen == OWN else names.get(str(chosen))
    with st.grid(2, min_column_width=100, gap="xsmall"):
        count = st.selectbox(
            "How many",
            COUNTS,
            key="devices",
            bind="query-params",
            persist_state="session",
            help="Fewest: the smallest power of two that holds everything.",
        )
        engine = _engine() if serves else ENGINES[0]
        price = _price(device, refused)
    if device is not None and chosen != OWN:
        sold = "as its driver reports" if device.memory_is == "driver" else "as sold"
        st.caption(f"{device.memory / 2**30:,.1f} GiB, {sold} · {device.bandwidth / 1e12:,.2f} TB/s")
    return Hardware(device, None if count == FEWEST else int(str(count)), str(engine), price)


def _engine() -> str:
    return str(
        st.selectbox(
            "Engine",
            ENGINES,
            key="engine",
            bind="query-params",
            persist_state="session",
            help="What serves: its rules decide memory and time.",
        )
    )


def _price(device: Device | None, refused: fields.Refused) -> float | None:
    known = device.price if device is not None else 0.0
    with st.container(gap="xxsmall"):
        text = st.text_input(
            "Price ($/h)",
            key="price",
            bind="query-params",
            persist_state="session",
            placeholder=f"{known:,.2f}" if known else "none known",
            help="US dollars an hour and device. Empty: the median of list prices in the catalogue.",
            max_chars=12,
        )
        if not (text or "").strip():
            return known or None
        try:
            price = float(str(text).strip().removeprefix("$").replace(",", "."))
        except ValueError:
            price = -1.0
        if not 0 <= price < 1e6:
            refused.beside(f"Price cannot be {str(text)[:20]!r}; write dollars such as 3.20.".replace("$", "\\$"))
            return known or None
        return price
