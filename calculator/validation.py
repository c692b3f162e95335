"""Measured runs beside what is predicted for them: `python -m calculator validate` prints it, as docs/VALIDATION.md."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median, quantiles
from typing import Any

from calculator.config import DATA
from calculator.hardware import device
from calculator.parallel import Layout
from calculator.record.workload import Workload
from calculator.serving.parts import passed
from calculator.serving.serve import serve
from calculator.sources.load import load_model

FITTED, NOT_FITTED, POOLS = "aggregated, fitted", "aggregated, not fitted", "disaggregated, two parameters fitted"
DOUBTS = {
    "drafts": "faster than other versions of the engine at the same sizes, as if it drafted tokens",
    "bound": "faster than the bytes of a step can be read",
    "load": "two numbers of sequences are stated that contradict each other",
}
"""Why a run is predicted but not fitted to."""


@dataclass(frozen=True)
class Run:
    """A measured serving run. Errors are |predicted / measured - 1|.

    Attributes:
        tpot, ttft: with the parameters as they are. left_tpot, left_ttft: with parameters that were fitted without the
            run's family; None where there are none.
        beats: whether it is more than 5 % faster than the bound.
    """

    kind: str
    engine: str
    device: str
    model: str
    tpot: float
    ttft: float
    left_tpot: float | None
    left_ttft: float | None
    beats: bool


@dataclass(frozen=True)
class Passed:
    """A measured pass: seconds of a prefill or of a decode step."""

    model: str
    what: str
    predicted: float
    measured: float
    source: str


@dataclass(frozen=True)
class Loaded:
    """A run of an engine at full load: output tokens a second of all its devices."""

    model: str
    device: str
    layout: Layout
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """|predicted / measured - 1|."""
        return abs(self.predicted / self.measured - 1)


_model = cache(load_model)


@cache
def runs() -> tuple[Run, ...]:
    """The measured serving runs."""
    with (DATA / "serving_runs.csv").open(encoding="utf-8", newline="") as file:
        return tuple(map(_compared, csv.DictReader(file)))


def _compared(row: dict[str, str]) -> Run:
    pools = row["mode"] == "disagg"
    layouts: dict[str, Any] = {"layout": _layout(row, "")}
    if pools:
        layouts["prefill_layout"] = _layout(row, "prefill_")
        layouts |= {"prefill_workers": int(row["prefill_workers"]), "decode_workers": int(row["workers"])}
    s = serve(
        _model(row["model"]),
        device=row["device"],
        engine=row["engine"],
        prompt_length=int(row["isl"]),
        output_length=int(row["osl"]),
        concurrency=int(row["concurrency"]),
        dtype=row["dtype"],
        **layouts,
    )
    tpot, ttft = float(row["tpot_ms"]) / 1e3, float(row["ttft_ms"]) / 1e3
    left_tpot, left_ttft = (
        abs(float(row[f"left_{name}"]) / float(row[name]) - 1) if row[f"left_{name}"] else None
        for name in ("tpot_ms", "ttft_ms")
    )
    return Run(
        POOLS if pools else NOT_FITTED if row["doubt"] else FITTED,
        row["engine"],
        row["device"],
        row["model"],
        abs(s.tpot.expected / tpot - 1),
        abs(s.ttft.expected / ttft - 1),
        left_tpot,
        left_ttft,
        tpot < 0.95 * s.tpot.lower_bound,
    )


def _layout(row: dict[str, str], prefix: str) -> Layout:
    tp, copies, experts = (int(row[f"{prefix}{name}"]) for name in ("tp", "attention_dp", "ep"))
    return Layout(tp=tp, attention_dp=copies, ep=experts)


@cache
def passes() -> tuple[Passed, ...]:
    """Measured passes of transformers, which no parameter was fitted to."""
    data = json.loads((DATA / "measured_passes.json").read_text(encoding="utf-8"))
    found = []
    for row in data["passes"]:
        for mode in ("prefill", "decode"):
            asked = Workload(
                mode=mode, batch_size=row["batch"], sequence_length=row["prompt"], attention_flops="causal"
            )
            time = passed(_model(row["model"]), asked, device(row["device"]), Layout(), data["engine"]).time.expected
            what = f"{mode}, B = {row['batch']}, S = {row['prompt']:,}"
            found.append(Passed(row["model"], what, time, row[f"{mode}_seconds"], data["source"]))
    return tuple(found)


LOADED_SOURCE = (
    "TensorRT-LLM 1.0, docs/source/performance/perf-overview.md in its repository (commit 00f3768): trtllm-bench with "
    "all requests at once, random tokens, NVIDIA's FP8 and FP4 checkpoints with an FP8 cache, attention data "
    "parallelism for mixtures as its options say; Llama 3.3 is computed as Llama 3.1, which has its shapes. MI300X: "
    "vLLM's benchmark_latency on eight, blogs.oracle.com/cloud-infrastructure/serving-llama-31-405b-model-with-amd-"
    "mi300x-gpus"
)


@cache
def loaded() -> tuple[Loaded, ...]:
    """Runs at full load, which no parameter was fitted to."""
    with (DATA / "full_load.csv").open(encoding="utf-8", newline="") as file:
        return tuple(map(_at_full_load, csv.DictReader(file)))


def _at_full_load(row: dict[str, str]) -> Loaded:
    layout = Layout(int(row["tp"]), int(row["pp"]), ep=int(row["ep"]), attention_dp=int(row["attention_dp"]))
    s = serve(
        _model(row["model"]),
        device=row["device"],
        engine=row["engine"],
        layout=layout,
        prompt_length=int(row["isl"]),
        output_length=int(row["osl"]),
        concurrency=int(row["requests"]),
        dtype=row["dtype"],
        kv_dtype=row["kv_dtype"],
    )
    measured = float(row["tokens_per_second"])
    return Loaded(row["model"], row["device"], layout, s.output_tokens_per_second, measured)


LOADED_HEADER = ("runs at full load", "count", "error median", "90th", "predicted / measured, median")


def loaded_rows() -> list[tuple[str, ...]]:
    """A row for all of them, each number of pipeline stages, device and model."""
    every = loaded()
    groups: tuple[Callable[[Loaded], str], ...] = (
        lambda r: f"pipelines of {r.layout.pp}" if r.layout.pp > 1 else "no pipeline",
        lambda r: r.device,
        lambda r: r.model,
    )
    found = [_loaded_row("all", every)]
    for group in groups:
        for name in sorted({group(r) for r in every}):
            found.append(_loaded_row(name, [r for r in every if group(r) == name]))
    return found


def _loaded_row(name: str, chosen: Sequence[Loaded]) -> tuple[str, ...]:
    errors = [r.error for r in chosen]
    far = quantiles(errors, n=10, method="inclusive")[-1]
    ratio = median(r.predicted / r.measured for r in chosen)
    return name, str(len(chosen)), f"{median(errors):.0%}", f"{far:.0%}", f"{ratio:.2f}"


HEADER = ("runs", "count", "TPOT median", "90th", "TTFT median", "90th")


def rows() -> list[tuple[str, ...]]:
    """A row for each kind, engine, device and model: errors of the parameters as they are, then of those that were
    fitted without the family."""
    every = runs()
    found = [_row(f"all {kind}", [r for r in every if r.kind == kind]) for kind in (FITTED, NOT_FITTED, POOLS)]
    groups: tuple[Callable[[Run], str], ...] = (lambda r: r.engine, lambda r: r.device, lambda r: r.model)
    aggregated = [r for r in every if r.left_tpot is not None]
    found.append(_row("all aggregated, family left out", aggregated, left=True))
    for group in groups:
        for name in sorted({group(r) for r in aggregated}):
            found.append(_row(f"{name}, family left out", [r for r in aggregated if group(r) == name], left=True))
    return found


def _row(name: str, chosen: Sequence[Run], *, left: bool = False) -> tuple[str, ...]:
    cells = [name, str(len(chosen))]
    for what in ("left_tpot", "left_ttft") if left else ("tpot", "ttft"):
        errors = [getattr(r, what) for r in chosen]
        far = quantiles(errors, n=10, method="inclusive")[-1] if len(errors) > 1 else errors[0]
        cells += [f"{median(errors):.0%}", f"{far:.0%}"]
    return tuple(cells)


def passes_rows() -> list[tuple[str, ...]]:
    """A row for each measured pass."""
    return [
        (p.model, p.what, f"{1e3 * p.predicted:.1f}", f"{1e3 * p.measured:.1f}", f"{p.predicted / p.measured - 1:+.0%}")
        for p in passes()
    ]


PASSES_HEADER = ("model", "pass", "predicted ms", "measured ms", "error")


def text() -> str:
    """All tables, for a terminal."""
    beating = sum(r.beats for r in runs())
    return "\n\n".join(
        (
            "Serving: |predicted / measured - 1|, median and 90th percentile",
            _aligned([HEADER, *rows()]),
            f"{beating} of {len(runs())} runs are more than 5 % faster than the bound.",
            f"Output tokens a second at full load, {LOADED_SOURCE}; no parameter was fitted to them",
            _aligned([LOADED_HEADER, *loaded_rows()]),
            f"Single passes, {passes()[0].source}",
            _aligned([PASSES_HEADER, *passes_rows()]),
        )
    )


def _aligned(table: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return "\n".join(
        "  ".join(c.ljust(w) if i < 1 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        for row in table
    )
