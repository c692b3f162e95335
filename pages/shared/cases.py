"""What is compared: any models, each in any precisions and on any devices."""

from __future__ import annotations

from typing import Any, NamedTuple

import streamlit as st

from calculator.errors import CalculatorError
from calculator.estimation import Estimate, estimate
from calculator.families import FAMILIES
from calculator.formats.mixtures import USUAL
from calculator.formats.named import FORMATS
from calculator.hardware import Device, devices
from calculator.limits import limits
from calculator.model import Model
from calculator.search.fewest import fewest
from calculator.serving.parts import Passed, passed
from calculator.sources import catalogue
from calculator.sources.load import from_hub
from pages.shared import show as ui
from pages.shared.model import bundled, model_uploaded
from pages.shared.needs import computed, serving, timed
from pages.shared.show import Inputs

DEFAULTS = ["meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B", "openai/gpt-oss-20b"]
MOST = 12


class Case(NamedTuple):
    """A model in a precision on a device: its estimate, how many devices hold it, and the time of a pass on them."""

    name: str
    model: str
    precision: str
    device: Device | None
    estimate: Estimate
    needed: int | None
    passed: Passed | None


def chosen(inputs: Inputs) -> list[Case]:
    """The sidebar's model if it is wanted, and those picked here, each in each precision and on each device."""
    ids = [entry.id for entry in catalogue.entries() if entry.config.get("model_type") in FAMILIES]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        # Within a button, because Streamlit writes white on the chips' light blue in the dark.
        with st.popover("Models", icon=":material/checklist:", key="choose_models"), st.container(width=560):
            picked = st.multiselect(
                "Bundled models and ids of the Hub",
                ids,
                default=DEFAULTS,
                key="models",
                bind="query-params",
                max_selections=MOST,
                accept_new_options=True,
                select_all=False,  # it stands first, so Enter would take every match of what was typed
                placeholder="Type a name",
                help="Type to search, or type org/name of any model of the Hub.",
            )
            own = st.toggle(f"The sidebar's {inputs.name}", True, key="own", bind="query-params")
            files = st.file_uploader(
                "config.json files",
                type=["json"],
                accept_multiple_files=True,
                key="compare_files",
                max_upload_size=limits().upload_bytes // 10**6,
            )
        formats = st.multiselect(
            "Weight precisions",
            ["auto", *FORMATS, *USUAL],
            key="precisions",
            bind="query-params",
            placeholder=f"as in the sidebar: {inputs.workload.dtype}",
            help="auto is each checkpoint's own. Empty: what the sidebar says.",
            select_all=False,
        )
        names = {d.name: d for d in devices()}
        boards = st.multiselect(
            "Devices",
            list(names),
            key="boards",
            bind="query-params",
            placeholder="as in the sidebar" if inputs.device else "none",
            max_selections=4,
            select_all=False,
        )
    models: dict[str, Model] = {inputs.model.name: inputs.model} if own else {}
    for name in picked[:MOST]:
        models |= _named(name)
    for file in files[:MOST]:
        models |= _uploaded(file)
    wanted: list[Device | None] = [names[b] for b in boards if b in names]
    return [
        _case(inputs, name, model, dtype, device)
        for name, model in models.items()
        for dtype in formats or [inputs.workload.dtype]
        for device in wanted or [inputs.device]
        if model.text.causal or inputs.workload.mode != "decode"
    ]


def _named(name: str) -> dict[str, Model]:
    """A bundled model or one of the Hub; what cannot be read is said."""
    try:
        entry = catalogue.find(name)
        return {name: bundled(entry.id) if entry is not None else from_hub(name.strip())}
    except CalculatorError as error:
        st.error(ui.plain(error), icon=":material/error:")
        return {}


def _uploaded(file: Any) -> dict[str, Model]:
    """An uploaded config, held against the same limits as the sidebar's; what cannot be read is said."""
    try:
        return {file.name: model_uploaded(file.name, file.size, file.getvalue)}
    except CalculatorError as error:
        st.error(ui.plain(error), icon=":material/error:")
        return {}


def _case(inputs: Inputs, name: str, model: Model, dtype: str, device: Device | None) -> Case:
    w = inputs.workload.with_(dtype=dtype)
    e = estimate(model, w)
    short = name.split("/")[-1]
    label = short if dtype == "auto" else f"{short} {dtype}"
    if device is not None and device is not inputs.device:
        label += f", {ui.device_name(device)}"
    if device is None or w.mode == "pretraining" or not model.text.causal:
        return Case(label, name, dtype, device, e, None, None)
    try:
        least = fewest(model, device, **serving(inputs, e))
        count = least.layout.devices if least else None
        time = passed(model, computed(w), device, timed(model, least), inputs.hardware.engine) if least else None
    except CalculatorError:
        return Case(label, name, dtype, device, e, None, None)  # no peak or no link of the device is known
    return Case(label, name, dtype, device, e, count, time)
