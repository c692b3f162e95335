"""Another traffic on the Speed page's devices: requests that arrive, lengths that vary, a trace, prefixes and drafts,
beside the users that the sidebar asks about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from calculator.errors import CalculatorError, WorkloadError
from calculator.serving.mix import Mix
from calculator.serving.serve import Serving, serve
from pages.shared import fields
from pages.shared import show as ui
from pages.shared.guard import error
from pages.shared.show import Inputs, Paper

LARGEST = 2**20  # bytes of a trace: some 60,000 requests


def mixes(paper: Paper, inputs: Inputs, case: Serving) -> None:
    """The fields, and the figures of both."""
    with ui.folded("Arrivals, lengths that vary, a trace, prefixes, drafts", "mix", ":material/shuffle:") as opened:
        if not opened:
            return
        try:
            found = _served(inputs, case, _asked(inputs))
        except CalculatorError as problem:
            error(problem)
            return
        rows = [_row("The sidebar's users", case), _row("This traffic", found)]
        columns = {
            "traffic": ui.text("Traffic"),
            "first_token_s": ui.number("First token (s)", "%.2f"),
            "next_token_ms": ui.number("Next token (ms)", "%.1f"),
            "at_once": ui.number("At once"),
            "all_users": ui.number("All users (tok/s)", "%,.0f"),
            "cost": ui.number("Cost ($ a million)", "%.2f"),
        }
        paper.table("traffic", rows, columns, "Times, throughput and cost of both")


def _asked(inputs: Inputs) -> dict[str, Any]:
    """Arguments of `serve`.

    Raises:
        WorkloadError: a trace that cannot be read, or a draft of which something is missing.
    """
    w = inputs.workload
    with st.grid(4, min_column_width=150, gap="small"):
        rate = fields.some("arrive", "Requests (1/s)", "users wait", "That arrive at random. Empty: the users.", 1e6)
        prompts = _text("prompts", "Prompts", f"{inputs.estimate.sequence_length:,}")
        answers = _text("answers", "Answers", f"{w.decode_length:,}")
        cached = fields.some("cached", "Cached (%)", "0", "Of the prompt that is found in the prefix cache.", 99.9)
        tokens = fields.some(
            "drafted", "Drafted tokens", "none", "Before a verification, by the model's own layer.", 64
        )
        accepted = fields.some("accepted", "Accepted (%)", "0", "Chance of a drafted token, if those before are.", 99.9)
    file = st.file_uploader(
        "Trace",
        type=["csv"],
        key="trace",
        max_upload_size=1,
        help="Columns prompt_length, output_length and, for the rate, arrival in seconds. Goes before the lengths.",
    )
    given: dict[str, Any] = {"prompt_length": prompts, "output_length": answers, "request_rate": rate}
    if file is not None:
        given["requests"] = _trace(file.name, file.size, file.getvalue)
    if tokens is not None:
        given["speculation"] = {"draft": "mtp", "tokens": int(tokens), "acceptance": (accepted or 0.0) / 100}
    return given | {"prefix_hit": (cached or 0.0) / 100}


def _trace(name: str, size: int, content: Callable[[], bytes]) -> Mix:
    if size > LARGEST:
        raise WorkloadError(f"The trace {name!r} is larger than {LARGEST:,} bytes; the command line reads any size.")
    try:
        return Mix.read(content().decode("utf-8"), name)
    except UnicodeDecodeError:
        raise WorkloadError(f"The trace {name!r} is no text in UTF-8.") from None


def _served(inputs: Inputs, case: Serving, asked: dict[str, Any]) -> Serving:
    w, mix = inputs.workload, asked.get("requests")
    arrives = asked["request_rate"] is not None or (mix is not None and mix.rate is not None)
    assert inputs.device is not None
    return serve(
        inputs.model,
        device=inputs.device,
        engine=inputs.hardware.engine,
        layout=case.layout,
        concurrency=None if arrives else w.batch_size,
        dtype=w.dtype,
        kv_dtype=w.kv_dtype,
        price=inputs.hardware.price,
        **asked,
    )


def _text(key: str, label: str, default: str) -> int | str:
    """A length, or a distribution of them."""
    said = st.text_input(
        f"{label} (tokens)",
        key=key,
        bind="query-params",
        persist_state="session",
        placeholder=default,
        help="One length, 512-4096 for any between, exponential:1024, or lognormal:1024:0.8 (mean, deviation over it).",
        max_chars=60,
    )
    text = (said or "").strip() or default
    bare = text.replace(",", "")
    return int(bare) if bare.isascii() and bare.isdigit() and len(bare) < 12 else text


def _row(traffic: str, s: Serving) -> dict[str, Any]:
    return {
        "traffic": traffic,
        "first_token_s": s.ttft.expected,
        "next_token_ms": 1e3 * s.tpot.expected,
        "at_once": s.batch,
        "all_users": s.output_tokens_per_second,
        "cost": s.cost_per_million_tokens,
    }
