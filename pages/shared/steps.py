"""Pictures of a training step: strategies side by side, where its time goes, and its stages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from calculator.report import charts
from calculator.training import Trained
from calculator.training.course import course
from pages.shared import show as ui
from pages.shared.recipe import side_by_side
from pages.shared.show import Paper

GIB = 2**30
RECIPES: dict[str, dict[str, Any]] = {
    "ZeRO-3, full recompute": {"method": "full", "zero": 3, "recompute": "full"},
    "ZeRO-3, no recompute": {"method": "full", "zero": 3, "recompute": "none"},
    "ZeRO-1, full recompute": {"method": "full", "zero": 1, "recompute": "full"},
    "Replicated, full recompute": {"method": "full", "zero": 0, "recompute": "full"},
    "LoRA, rank 16": {"method": "lora", "zero": 0, "recompute": "full", "loss": "fused"},
    "QLoRA, rank 16": {"method": "qlora", "zero": 0, "recompute": "full", "loss": "fused"},
}
ALONE: dict[str, dict[str, Any]] = {
    "All weights, full recompute": {"method": "full", "zero": 0, "recompute": "full"},
    "All weights, 8-bit AdamW": {"method": "full", "zero": 0, "recompute": "full", "optimizer": "adamw-8bit"},
    "LoRA, rank 16": RECIPES["LoRA, rank 16"],
    "QLoRA, rank 16": RECIPES["QLoRA, rank 16"],
}
"""On one device nothing is divided over copies."""
KINDS = {
    "Weights": ("weights", "adapters"),
    "Gradients": ("gradients",),
    "Optimizer states": ("optimizer",),
    "Activations": ("activations",),
    "Temporary": ("gathered weights", "casts", "loss", "work", "temporaries"),
}
SHADES = {name: charts.KINDS.get(name, "#8F897E") for name in KINDS}
EVENTS = {"load": "loading", "loss forward": "the loss", "loss backward": "backward of the loss"}
# A phase takes the colour of what it makes.
PHASES = {
    "Forward": charts.KINDS["Activations"],
    "Backward": charts.KINDS["Gradients"],
    "Waiting for stages": "#8F897E",
    "Between copies": "#0B7780",
    "Optimizer": charts.KINDS["Optimizer states"],
}
TERMS = {
    "products": "Matrix products",
    "experts": "Routed experts",
    "attention": "Attention",
    "elementwise": "Elementwise",
    "adapters": "Adapters",
    "tensor group": "Tensor-group links",
    "accumulation": "Adding up gradients",
    "host": "Launches",
    "bubble": "Waiting for stages",
    "copies": "Links between copies",
    "update": "Optimizer",
}
TERM_SHADES = {
    "products": "#52667B",
    "experts": "#AC4120",
    "attention": charts.PARTS["Attention"],
    "elementwise": "#97918A",
    "adapters": "#D64BA8",
    "tensor group": "#0B7780",
    "accumulation": charts.KINDS["Gradients"],
    "host": "#6B655C",
    "bubble": "#915353",
    "copies": "#14A0C8",
    "update": charts.KINDS["Optimizer states"],
}


def layout_words(t: Trained) -> str:
    """How the devices divide the model: 4-way tensor, 2 stages, 8 copies with ZeRO-2."""
    layout = t.layout
    said = [f"{layout.tp}-way tensor"] if layout.tp > 1 else []
    said += [f"{layout.pp} stages"] if layout.pp > 1 else []
    said += [f"{layout.cp}-way context"] if layout.cp > 1 else []
    said += [f"experts over {layout.ep}"] if layout.ep > 1 else []
    zero = f" with ZeRO-{t.training.zero}" if t.training.zero else ""
    said += [f"{layout.dp:,} copies{zero}"] if layout.dp > 1 else []
    return ", ".join(said) or "one device"


def titled(t: Trained) -> tuple[str, str]:
    """Title and explanation of the picture over time."""
    what = f"The last of {t.micro_batches:,} micro-batches" if t.micro_batches > 1 else "One step"
    return (
        f"{what}, and the memory meanwhile",
        "What is computed again belongs to the backward pass. Between the events memory is drawn as rising and "
        "falling evenly, and those of the loss are set apart to be seen.",
    )


def kinds(terms: Mapping[str, float]) -> dict[str, float]:
    """An event's bytes by kind, in GiB."""
    return {kind: sum(terms.get(n, 0.0) for n in names) / GIB for kind, names in KINDS.items()}


def strategies(paper: Paper, case: Trained) -> None:
    """Other recipes on the same devices, against what one of them holds."""
    assert case.device is not None
    recipes = ALONE if case.layout.devices == 1 else RECIPES
    found = {"As asked": case}
    for name, t in side_by_side(case, recipes).items():
        if (t.training, t.layout, t.batch_size) != (case.training, case.layout, case.batch_size):
            found[name] = t
    bars = []
    for name, t in found.items():
        said = f"{'✓' if t.fits else '✕ too large:'} {ui.size(t.peak)}"
        bars.append(charts.Bar(name, said, kinds(t.fullest.peak_event.terms)))
    room = case.device.memory / GIB
    limit = charts.Limit(room, f"{ui.device_name(case.device)} {ui.size(case.device.memory)}")
    widest = max(sum(bar.parts.values()) for bar in bars) * 1.02
    top = max(room * 1.03, min(widest, room * 1.6), sum(bars[0].parts.values()) * 1.05)
    finding = "; ".join(f"{b.label} {b.remark}" for b in bars) + "."
    drawn = charts.stacked(bars, SHADES, finding, ui.ink(), limits=[limit], top=top, thick=26)
    paper.chart("memory_by_strategy", drawn)
    rows = [
        {
            "strategy": name,
            "peak_bytes": t.peak,
            "required_bytes": t.required,
            "fits": t.fits,
            "step_s": t.step_time.expected if t.step_time else None,
        }
        for name, t in found.items()
    ]
    paper.tables["strategies"] = lambda: rows


def times(paper: Paper, case: Trained) -> None:
    """What the time of a step is made of."""
    assert case.step_time is not None
    terms = case.step_time.terms
    whole = sum(terms.values())
    unit, scale = next(
        (u, s) for u, s in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)) if whole >= 2 * s or u == "ms"
    )
    parts = {TERMS[n]: s / scale for n, s in terms.items() if s > whole / 500}
    first = max(parts, key=lambda n: parts[n])
    finding = f"{first} take {parts[first] * scale / whole:.0%} of {ui.seconds(whole)}."
    bar = charts.Bar("One step", ui.seconds(whole), parts)
    shades = {TERMS[n]: shade for n, shade in TERM_SHADES.items()}
    paper.chart("time_by_term", charts.stacked([bar], shades, finding, ui.ink(), unit=unit))


def stages(paper: Paper, case: Trained) -> None:
    """The peak of each stage of a pipeline."""
    assert case.device is not None
    bars = [charts.Bar(f"Stage {s.index + 1}", ui.size(s.peak), kinds(s.peak_event.terms)) for s in case.stages]
    full = max(case.stages, key=lambda s: s.peak)
    finding = f"Stage {full.index + 1} of {len(bars)} is the fullest, {ui.size(full.peak)}."
    limit = charts.Limit(case.device.memory / GIB, f"{ui.device_name(case.device)} {ui.size(case.device.memory)}")
    paper.chart("memory_by_stage", charts.stacked(bars, SHADES, finding, ui.ink(), limits=[limit], thick=22))


def moments(paper: Paper, case: Trained) -> None:
    """What runs when, and the memory that lives meanwhile."""
    found = course(case)
    assert case.device is not None
    peak = case.fullest.peak_event
    where = EVENTS.get(peak.name, peak.name)
    finding = (
        f"The peak of {ui.size(peak.total)} is reached in {where}; a step takes {ui.seconds(case.step_time.expected)}."  # type: ignore[union-attr]
    )
    limit = charts.Limit(case.device.memory / GIB, f"{ui.device_name(case.device)} {ui.size(case.device.memory)}")
    level = [(m.second, kinds(m.terms), EVENTS.get(m.event, m.event)) for m in found.moments]
    said = f"peak {ui.size(peak.total)}: {where}"
    drawn = charts.course(
        found.phases,
        level,
        (PHASES, SHADES),
        ("Seconds", "GiB"),
        finding,
        ui.ink(),
        limit=limit,
        peak=said,
    )
    paper.chart("step_over_time", drawn)
    rows = [{"event": e.name, "bytes": e.total, **e.terms} for e in case.events]
    paper.tables["events"] = lambda: rows
