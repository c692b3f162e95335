"""The part of docs/VALIDATION.md on training: measured runs beside `calculator.train`, and the parameters behind it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from calculator import Layout, Model, Training, load_model, train
from calculator.training.recipe import tables

RUNS = Path(__file__).resolve().parents[1] / "tests" / "data" / "training.json"
GIB = 2**30


class Run(NamedTuple):
    """A measured run beside the prediction; bytes and seconds, None where the source has no such figure."""

    id: str
    source: str
    peak: float | None
    predicted_peak: float
    event: str
    seconds: float | None
    predicted_seconds: float
    bound: float
    fits: bool | None
    predicted_fits: bool

    @property
    def memory_error(self) -> float | None:
        """(predicted − measured) / measured."""
        return None if self.peak is None else self.predicted_peak / self.peak - 1

    @property
    def time_error(self) -> float | None:
        """(predicted − measured) / measured, of the time of a step."""
        return None if self.seconds is None else self.predicted_seconds / self.seconds - 1


@cache
def data() -> Mapping[str, Any]:
    """The file of runs."""
    found: Mapping[str, Any] = json.loads(RUNS.read_text(encoding="utf-8"))
    return found


@cache
def _model(described: str) -> Model:
    named = json.loads(described)
    if isinstance(named, dict) and "base" in named:
        base = dict(load_model(named.pop("base")).config)
        return load_model({**base, **named})
    return load_model(named)


def arguments(row: Mapping[str, Any]) -> tuple[Model, dict[str, Any]]:
    """What `train` takes for a row."""
    recipe: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row["recipe"].items()}
    return _model(json.dumps(row["model"])), {
        "batch_size": row["batch"],
        "sequence_length": row["length"],
        "micro_batches": row.get("micro_batches", 1),
        "device": row["device"],
        "layout": Layout(**row.get("layout", {})),
        "training": Training(**recipe),
    }


@cache
def runs() -> tuple[Run, ...]:
    """Every run beside its prediction."""
    return tuple(map(_compared, data()["rows"]))


def _compared(row: Mapping[str, Any]) -> Run:
    model, given = arguments(row)
    t, measured = train(model, **given), row["measured"]
    assert t.step_time is not None
    seconds = measured.get("seconds")
    if "tokens_per_second" in measured:
        seconds = t.tokens / measured["tokens_per_second"]
    elif "mfu" in measured and t.mfu is not None:
        seconds = t.step_time.expected * t.mfu / measured["mfu"]
    counted, predicted = measured.get("peak"), t.peak
    if counted is None and "reserved" in measured:
        counted, predicted = measured["reserved"], t.reserved
    if counted is None and "device" in measured:
        counted, predicted = measured["device"], t.device_memory
    return Run(
        row["id"],
        row["source"],
        counted,
        predicted,
        t.fullest.peak_event.name,
        seconds,
        t.step_time.expected,
        t.step_time.lower_bound,
        measured.get("fits"),
        bool(t.fits),
    )


def calibrated(run: Run) -> bool:
    """Whether the parameters were fitted to the run's time; the others are the check."""
    return run.source not in data()["no_calibration"] and run.id not in data()["no_calibration"]


def quantiles(errors: Iterable[float | None]) -> tuple[int, float, float]:
    """How many there are, and the median and the ninth decile of their sizes."""
    sizes = sorted(abs(e) for e in errors if e is not None)
    if not sizes:
        return 0, 0.0, 0.0
    return len(sizes), median(sizes), sizes[min(len(sizes) - 1, int(0.9 * len(sizes)))]


def section() -> str:
    """The section of the page."""
    return "\n\n".join(("## Training", INTRODUCTION, _by_source(), CHECK, _check(), _parameters(), _rows(), _sources()))


CHECK = """\
No parameter is fitted to these: their sources leave an input open, or run devices below their own limits. torchtitan's
were in sight when it was decided which products `ops` keeps, that compiled layers leave the loss as it is, what FSDP
holds beside a pipeline, and that FP8 under compiled kernels pays for its casts."""


def _check() -> str:
    lines = [
        "| check | runs | memory, median | largest | time, median | largest | why |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for name, why in data()["no_calibration"].items():
        members = [run for run in runs() if name in (run.source, run.id)]
        cells = []
        for errors in ([run.memory_error for run in members], [run.time_error for run in members]):
            known = [e for e in errors if e is not None]
            middle, most = median(map(abs, known)) if known else None, max(known, key=abs, default=None)
            cells += ["" if middle is None else f"{middle:.1%}", "" if most is None else f"{most:+.1%}"]
        lines.append(f"| {name} | {len(members)} | {' | '.join(cells)} | {why} |")
    return "\n".join(lines)


INTRODUCTION = """\
Measured runs beside `calculator.train`, given what the source states; the inputs of every row are in
`tests/data/training.json`. Memory is compared by the counter that the source prints: bytes allocated, or what
torch reserved or nvidia-smi shows where that is all there is. What the memory of a step consists of was derived and
checked on torch's meta device; taken from runs are the costs of a loss by its kernels, the allowance, and which copies
a framework keeps. The time's parameters were fitted to these rows (`docs/calibrate_training.py`, which also prints the
errors of each source with that source left out). `ran` and `refused` say whether the run did, and whether that was
predicted."""


def _by_source() -> str:
    lines = [
        "| source | memory | median | p90 | time | median | p90 | verdicts right |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    fitted = [run for run in runs() if run.source not in data()["no_calibration"]]
    for source in [*(s for s in data()["sources"] if s not in data()["no_calibration"]), "all"]:
        members = [run for run in fitted if source in (run.source, "all")]
        lines.append(f"| {source} | {_cells(members)} |")
    return "\n".join(lines)


def _cells(members: list[Run]) -> str:
    cells = []
    for errors in ([run.memory_error for run in members], [run.time_error for run in members]):
        count, middle, high = quantiles(errors)
        cells += [str(count), f"{middle:.1%}", f"{high:.1%}"] if count else ["", "", ""]
    judged = [run for run in members if run.fits is not None]
    right = sum(run.fits == run.predicted_fits for run in judged)
    return " | ".join([*cells, f"{right} of {len(judged)}" if judged else ""])


def _parameters() -> str:
    lines = ["| parameter | value | interval | unit | what it is | source |", "|---|--:|--:|---|---|---|"]
    for name, row in tables()["speed"].items():
        interval = f"{row['low']:g} to {row['high']:g}"
        lines.append(f"| {name} | {row['value']:g} | {interval} | {row['unit']} | {row['meaning']} | {row['source']} |")
    return "\n".join(lines)


def _rows() -> str:
    lines = ["| run | memory, GiB | measured | error | at | step, s | measured | error | verdict |"]
    lines.append("|---|--:|--:|--:|---|--:|--:|--:|---|")
    for run in runs():
        memory = ["", "", "", ""]
        if run.peak is not None and run.memory_error is not None:
            sizes = [f"{size / GIB:.2f}" for size in (run.predicted_peak, run.peak)]
            memory = [*sizes, f"{run.memory_error:+.1%}", run.event]
        time = ["", "", ""]
        if run.seconds is not None and run.time_error is not None:
            time = [f"{run.predicted_seconds:.3f}", f"{run.seconds:.3f}", f"{run.time_error:+.1%}"]
        verdict = ""
        if run.fits is not None:
            verdict = ("ran" if run.fits else "refused") + (
                "" if run.fits == run.predicted_fits else ", predicted otherwise"
            )
        lines.append(f"| {run.id} | {' | '.join(memory)} | {' | '.join(time)} | {verdict} |")
    return "\n".join(lines)


def _sources() -> str:
    return "\n".join(f"- **{name}**: {text}" for name, text in data()["sources"].items())
