"""The sidebar's workload: mode, precision, sizes and options. Every widget's key is its name in the URL, and
options are shown as the URL and the Python package spell them."""

from __future__ import annotations

import math
from typing import Any

import streamlit as st

from calculator.errors import WorkloadError
from calculator.formats.cache import CACHE_TYPES
from calculator.formats.named import FORMATS
from calculator.model import Model
from calculator.record.options import DEFAULT_LENGTH, MODES
from calculator.record.workload import Workload

LARGEST = 10**9


def choose_workload(model: Model) -> Workload:
    """Draw the workload's inputs and return the workload."""
    mode = st.segmented_control(
        "Mode",
        MODES,
        default="prefill",
        required=True,
        key="mode",
        width="stretch",
        bind="query-params",
        help="Prefill reads a prompt, decode generates a token per sequence, pretraining is forward, backward, AdamW",
    )
    left, right = st.columns(2)
    with left:
        dtype = st.selectbox(
            "Weights", ["auto", *FORMATS], key="weights", bind="query-params", help=_formats_help(model)
        )
    with right:
        kv_dtype = st.selectbox(
            "KV cache",
            ["auto", *CACHE_TYPES],
            key="kv",
            bind="query-params",
            help="auto: what the config asks for, otherwise the type of the computation.",
            disabled=mode == "pretraining",
        )
    left, right = st.columns(2)  # a second row, so that a narrow screen keeps the reading order
    with left:
        batch = _whole("Batch size", "batch", 1)
    with right:
        length = _length(model)
    options: dict[str, Any] = {}
    if model.encoder is not None:
        options["encoder_length"] = _encoder_length(model)
    if mode == "decode":
        options["decode_length"] = _whole(
            "Tokens to generate", "generate", 64, "For the totals; the context grows by one each step."
        )
    options |= _attention(str(mode))
    if model.experts is not None:
        options |= _routing()
    return Workload(
        mode=mode or "prefill", batch_size=batch, sequence_length=length, dtype=dtype, kv_dtype=kv_dtype, **options
    )


def _whole(label: str, key: str, value: int, help: str | None = None) -> int:
    return finite(key, st.number_input(label, 1, LARGEST, value, key=key, bind="query-params", help=help))


def finite(key: str, value: float) -> int:
    """A widget's number as a whole one: a link may say `inf`.

    Raises:
        WorkloadError: it is none.
    """
    if not math.isfinite(value):
        raise WorkloadError(f"{key} in the link is {value}; it must be a whole number from 1 to {LARGEST:,}.")
    return int(value)


def _length(model: Model) -> int | None:
    """Empty means the default, which depends on the model: so a link without a length follows the model."""
    context = model.context_length
    taken = min(DEFAULT_LENGTH, context or DEFAULT_LENGTH)
    limit = f"The model's context is {context:,}." if context else "The model states no longest context."
    length = st.number_input(
        "Length",
        1,
        LARGEST,
        None,
        step=1,
        placeholder=f"{taken:,}",
        key="length",
        bind="query-params",
        help=f"Tokens per sequence; in decode mode those already in the cache. Empty: {taken:,}. {limit}",
    )
    return None if length is None else finite("length", length)


def _encoder_length(model: Model) -> int | None:
    """Empty means the encoder's own positions, or as many as the length."""
    fixed = model.encoder_length
    length = st.number_input(
        "Encoder length",
        1,
        LARGEST,
        None,
        step=1,
        placeholder=f"{fixed:,}" if fixed else "as the length",
        key="encoder",
        bind="query-params",
        help="Tokens per sequence that the encoder reads; the decoder attends to all of them. Empty: "
        + (f"its {fixed:,} positions." if fixed else "as many as the length."),
    )
    return None if length is None else finite("encoder", length)


def _attention(mode: str) -> dict[str, Any]:
    with st.expander("Attention and counting", icon=":material/tune:"):
        kernel = st.segmented_control(
            "Attention kernel",
            ["flash", "eager"],
            default="flash",
            required=True,
            key="attention",
            bind="query-params",
            help="Flash never writes the S × S scores to memory; eager does. The FLOPs are the same.",
        )
        counting = st.segmented_control(
            "Attention FLOPs",
            ["full", "causal"],
            default="full",
            required=True,
            key="counting",
            bind="query-params",
            help="Full counts S × S scores, causal the half that a causal kernel computes.",
        )
        logits = st.segmented_control(
            "Logits",
            ["auto", "last", "all"],
            default="auto",
            required=True,
            key="logits",
            bind="query-params",
            help="Auto: the last position for inference, all positions for pretraining.",
        )
        options: dict[str, Any] = {"attention": kernel, "attention_flops": counting, "logits": logits}
        if mode == "decode":
            options["flash_decode"] = st.toggle(
                "Flash decode",
                True,
                key="flash_decode",
                bind="query-params",
                help="Splits the cache read over workers; each split keeps a partial result.",
            )
            options["flash_decode_block_size"] = _whole("Cached tokens per split", "split", 256)
        else:
            block = st.number_input(
                "Queries per flash tile",
                1,
                LARGEST,
                None,
                key="tile",
                bind="query-params",
                placeholder="whole sequence",
                help="Keys and values are read once per tile. Empty: read once.",
            )
            options["flash_block_size"] = None if block is None else finite("tile", block)
    return options


def _routing() -> dict[str, Any]:
    with st.expander("Experts", icon=":material/hub:"):
        capacity = st.number_input(
            "Capacity factor",
            0.1,
            100.0,
            None,
            0.25,
            key="capacity",
            bind="query-params",
            placeholder="no limit",
            help="Pads or cuts every expert to ⌈c·T·k/E⌉ tokens. Empty: dropless.",
        )
        routing = st.segmented_control(
            "Routing",
            ["balanced", "uniform"],
            default="balanced",
            required=True,
            key="routing",
            bind="query-params",
            help="Balanced spreads tokens evenly; uniform expects what random routing reaches.",
        )
        share = st.toggle(
            "Share experts across layers",
            key="share",
            bind="query-params",
            help="What if all layers used one set of experts. No published model does.",
        )
    return {"expert_capacity_factor": capacity, "routing": routing, "share_experts_across_layers": share}


def _formats_help(model: Model) -> str:
    stored = model.scheme.title if model.scheme else model.stated_dtype or "16 bit assumed; the config names no type"
    return f"auto: as the checkpoint is ({stored}). " + " · ".join(
        f"{f.name}: {f.title}" for f in FORMATS.values() if f.quantized
    )
