"""The part of docs/VALIDATION.md on serving: measured runs beside `calculator.serve`, and the parameters behind it."""

from __future__ import annotations

from collections.abc import Sequence

from calculator import validation
from calculator.serving.efficiency import parameters

SOURCE = (
    "Every run of the InferenceX results in the wheel of aiconfigurator-core 0.12.0 (Apache-2.0): the "
    "aggregated ones, and of the disaggregated ones those that state how many groups of devices shared the users. "
    "Errors are |predicted / measured - 1|. The first three rows are of the parameters as they are; in the others each "
    "run is predicted with parameters that were fitted without its family (docs/calibrate_time.py). Priors and terms "
    "were chosen with these runs in sight, so even that is a milder test than data nobody here has seen."
)

LOADED = (
    f"Output tokens a second. {validation.LOADED_SOURCE}. No parameter was fitted to them. Two terms were chosen with "
    "them in sight: that prompts read together fill tiles, and that a pipeline's stages work at once. Runs too short "
    "to fill a pipeline (1,500 requests, eight stages) are predicted as if they did."
)


def section() -> str:
    """The section in Markdown."""
    runs = validation.runs()
    beating = sum(r.beats for r in runs)
    said = (
        f"{beating} of {len(runs)} runs are more than 5 % faster than the bound: their time a token is below what "
        "the bytes of one step need, so they decoded speculatively or never reached their concurrency, which is not "
        "stated; one of Llama 3.1 70B in FP8 by 6 %, which a cache in FP8 explains, as NVIDIA's checkpoint has it. "
        "Runs that are not fitted: " + "; ".join(validation.DOUBTS.values()) + "."
    )
    passes = (
        f"Passes of transformers, {validation.passes()[0].source} (torch 2.11, transformers 5.17, sdpa, bf16). No "
        "parameter was fitted to them. The host of that machine is slower than the one that the time of an eager "
        "operation comes from, and its decode steps take as long at 64 sequences as at one."
    )
    table = [("parameter", "value", "interval", "unit", "meaning", "source")]
    for p in parameters().values():
        table.append((p.name, f"{p.value:g}", f"{p.low:g} to {p.high:g}", p.unit, p.meaning, p.source))
    return "\n\n".join(
        (
            "## Serving",
            SOURCE,
            _table([validation.HEADER, *validation.rows()]),
            said,
            "### Full load",
            LOADED,
            _table([validation.LOADED_HEADER, *validation.loaded_rows()]),
            "### Single passes",
            passes,
            _table([validation.PASSES_HEADER, *validation.passes_rows()]),
            "### Parameters of the time model",
            _table(table),
        )
    )


def summary() -> str:
    """What README.md says of times."""
    found = {name: cells for name, *cells in validation.rows()}
    count, tpot, far, ttft, farther = found["all aggregated, family left out"]
    _, full, error, most, _ = validation.loaded_rows()[0]
    return _table(
        [
            ("times", "runs", "error, median", "90th percentile"),
            ("Time a token of a server, each family of models left out of the fit", f"{int(count):,}", tpot, far),
            ("Time to the first token, the same runs", f"{int(count):,}", ttft, farther),
            ("Tokens a second at full load, nothing fitted", full, error, most),
        ]
    )


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join((lines[0], "|" + "---|" * len(rows[0]), *lines[1:]))
