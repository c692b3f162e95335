"""The machine and the traffic that the Serving page asks about, and the plan for them."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from calculator.errors import WorkloadError
from calculator.search.fewest import fewest
from calculator.search.plan import Plan
from calculator.search.provision import provision
from calculator.search.racks import Rack, Traffic, racks
from calculator.sources import memory
from pages.shared import fields
from pages.shared import show as ui
from pages.shared.needs import serving
from pages.shared.show import Inputs

HOUR = 3600  # seconds that plans are kept, as many as the visitors' memory has room for
MINE, CUSTOM = "The sidebar's devices", "custom"
"""What the page calls them, and the id of the machine that they are."""
MANY, SEVERAL = 400, 200
"""Operations that differ, of models that a machine is planned for, and that all machines are compared for: every layout
is priced, and a server has other visitors. Of the bundled models one has more than 200."""


def asked(inputs: Inputs) -> tuple[Rack | None, Traffic]:
    """Draw the fields; the machine is None for the sidebar's devices."""
    named = {rack.name: rack for rack in racks()}
    chosen = st.selectbox(
        "Machine",
        [MINE, *named],
        key="machine",
        bind="query-params",
        persist_state="session",
        help="A rack or machine that is sold whole, or as many devices as the sidebar says.",
    )
    with st.grid(4, min_column_width=150, gap="small"):
        rate = fields.some("rate", "Requests (1/s)", "the most", "That arrive a second. Empty: as many as it can.", 1e6)
        first = fields.some("first", "First token (s)", "2", "At the latest, with the queue. Empty: 2 s.", 1e4)
        further = fields.some("next", "Next token (ms)", "50", "At the latest. Empty: 50 ms.", 1e6)
        hit = fields.some("hit", "Cached (%)", "0", "Of the prompt that is found in the prefix cache.", 99.9)
    w = inputs.workload
    traffic = Traffic(
        prompt_length=inputs.estimate.sequence_length,
        output_length=w.decode_length,
        requests_per_second=rate,
        ttft=first or 2.0,
        tpot=(further or 50.0) / 1e3,
        prefix_hit=(hit or 0.0) / 100,
    )
    return named.get(str(chosen)), traffic


def machine() -> str:
    """The machine that the page asks about, known before its field is drawn; "" for the sidebar's devices."""
    chosen = st.session_state.get("machine") or st.query_params.get("machine")
    return str(chosen) if any(rack.name == chosen for rack in racks()) else ""


def machine_of(inputs: Inputs) -> Rack | None:
    """The sidebar's devices as a machine; None where none is chosen, or none of up to MOST hold the model."""
    device, count = inputs.device, inputs.hardware.count
    if device is None:
        return None
    if count is None:
        least = fewest(inputs.model, device, **serving(inputs))
        count = least.layout.devices if least else None
    if count is None:
        return None
    card = device if inputs.hardware.price is None else replace(device, price=inputs.hardware.price)
    return Rack(CUSTOM, ui.devices(count, device), card, count, round(device.watts * count), "the sidebar's devices")


def planned(inputs: Inputs, rack: Rack, traffic: Traffic) -> Plan:
    """The plan, found once for all who ask for it.

    Raises:
        CalculatorError: a model of too many operations that differ, or a layout that cannot be.
    """
    w, engine = inputs.workload, inputs.hardware.engine
    if (count := len(inputs.estimate.operations)) > MANY:
        raise WorkloadError(
            f"{inputs.name} has {count:,} operations that differ; here a machine is planned for models of up to "
            f"{MANY:,}. On the command line --provision plans for any."
        )
    # A model is built once for all who ask for it, and what is kept keeps it: its id stands for it.
    key = ("provision", id(inputs.model), rack.id, repr(rack), traffic, engine, w.dtype, w.kv_dtype)

    def found() -> Plan:
        with st.spinner("Trying layouts…"):
            return provision(inputs.model, rack, traffic, engine=engine, dtype=w.dtype, kv_dtype=w.kv_dtype)

    return memory.current().made(key, HOUR, found)
