"""The part of docs/VALIDATION.md on serving: measured runs beside `calculator.serve`, and the parameters behind it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

from calculator import Layout, load_model, serve
from calculator.serving.efficiency import parameters

RUNS = Path(__file__).resolve().parents[1] / "tests" / "data" / "serving.csv"
SOURCE = (
    "Every fourth aggregated run of the InferenceX results in the wheel of aiconfigurator-core 0.12.0 (Apache-2.0). "
    "These runs are among those the parameters were fitted to, so this table is no check on unseen data; with each "
    "family left out of the fit in turn the medians are those under *Time* in METHODS.md."
)


class Run(NamedTuple):
    """A measured run: |predicted / measured - 1| of its times, and whether it is faster than the bound."""

    engine: str
    device: str
    model: str
    tpot: float
    ttft: float
    beats: bool


@cache
def runs() -> tuple[Run, ...]:
    """Errors of each run: |predicted / measured - 1|."""
    with RUNS.open(encoding="utf-8") as file:
        return tuple(map(_compared, csv.DictReader(file)))


_model = cache(load_model)


def _compared(row: dict[str, str]) -> Run:
    s = serve(
        _model(row["model"]),
        device=row["device"],
        engine=row["engine"],
        layout=Layout(tp=int(row["tp"]), attention_dp=int(row["attention_dp"]), ep=int(row["ep"])),
        prompt_length=int(row["isl"]),
        output_length=int(row["osl"]),
        concurrency=int(row["concurrency"]),
        dtype=row["dtype"],
    )
    tpot, ttft = float(row["tpot_ms"]) / 1e3, float(row["ttft_ms"]) / 1e3
    errors = abs(s.tpot.expected / tpot - 1), abs(s.ttft.expected / ttft - 1)
    return Run(row["engine"], row["device"], row["model"], *errors, tpot < 0.95 * s.tpot.lower_bound)


def section() -> str:
    """The section in Markdown."""
    lines = ["| runs | count | TPOT median | 90th percentile | TTFT median | 90th percentile |"]
    lines += ["|---|--:|--:|--:|--:|--:|", _line("all", runs())]
    kinds: tuple[Callable[[Run], str], ...] = (lambda r: r.engine, lambda r: r.device, lambda r: r.model)
    for kind in kinds:
        for name in sorted({kind(r) for r in runs()}):
            lines.append(_line(name, [r for r in runs() if kind(r) == name]))
    beating = sum(r.beats for r in runs())
    said = (
        f"{beating} of {len(runs())} runs are more than 5 % faster than the bound: their time a token is below what "
        "the bytes of one step need, so they decoded speculatively or never reached their concurrency, which is not "
        "stated."
    )
    table = ["| parameter | value | interval | unit | meaning | source |", "|---|--:|---|---|---|---|"]
    for p in parameters().values():
        table.append(f"| {p.name} | {p.value:g} | {p.low:g} to {p.high:g} | {p.unit} | {p.meaning} | {p.source} |")
    body = "\n".join(lines), said, "### Parameters of the time model", "\n".join(table)
    return "\n\n".join(("## Serving", SOURCE, *body))


def _line(name: str, chosen: list[Run] | tuple[Run, ...]) -> str:
    cells = []
    for errors in ([r.tpot for r in chosen], [r.ttft for r in chosen]):
        far = quantiles(errors, n=10, method="inclusive")[-1] if len(errors) > 1 else errors[0]
        cells += [f"{median(errors):.0%}", f"{far:.0%}"]
    return f"| {name} | {len(chosen)} | " + " | ".join(cells) + " |"
