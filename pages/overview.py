"""Overview: what a model needs and on what, where the memory and the time go, and why each number is what it is."""

from __future__ import annotations

import streamlit as st

from calculator.engines.memory.fit import fit
from calculator.estimation import Estimate, estimate
from calculator.numbers.units import BYTES, KIB
from calculator.passes.totals import intensity_class
from calculator.record.vocabulary import MEMORY_KINDS, TITLES
from calculator.report import charts
from calculator.serving.parts import Passed
from pages.shared import show as ui
from pages.shared.breakdown import breakdown
from pages.shared.caches import caches, keeps
from pages.shared.drafts import both
from pages.shared.facts import facts
from pages.shared.needs import Needs, needs
from pages.shared.show import Figure, Inputs, Paper
from pages.shared.why import compute, intensity, memory, token, why

BESIDE = 320  # pixels of the picture of operations, beside which others stand


def show(inputs: Inputs) -> None:
    paper = Paper(inputs, "overview")
    found = needs(inputs)
    paper.answer(sentence(inputs, found), terms(inputs, found))
    with st.container():
        paper.figures(*figures(inputs, found))
    kinds(paper, inputs, found)
    both(paper, inputs)
    with ui.sides():
        bounds(paper, inputs, found.passed)
        if found.passed is not None:
            times(paper, inputs, found.passed)
        else:
            parts(paper, inputs)
    with st.container():
        facts(inputs)
    breakdown(paper, inputs)
    caches(paper, inputs)
    why(inputs)
    paper.data()


def sentence(inputs: Inputs, found: Needs) -> str:
    """What is needed, and on what."""
    e, w = inputs.estimate, inputs.workload
    what = f"{w.batch_size:,} × {ui.tokens(e.sequence_length)} tokens"
    doing = "Training" if w.mode == "pretraining" else ""
    subject = f"{doing} {ui.plain(inputs.name)} in {ui.stored(precision(inputs))} with {what}".strip()
    amount = ui.size(e.memory.total).replace(" ", "\u00a0")
    return f"{subject} needs :primary[{amount}]{found.verdict}."


def precision(inputs: Inputs) -> str:
    """The weights' format in a word or two."""
    return inputs.workload.dtype.upper() if inputs.workload.dtype != "auto" else inputs.estimate.precision.split(",")[0]


def terms(inputs: Inputs, found: Needs) -> str:
    e, w = inputs.estimate, inputs.workload
    said = [
        f"{ui.MODE_WORDS[w.mode].capitalize()} · batch {w.batch_size:,} × {e.sequence_length:,} tokens",
        f"weights {ui.stored(e.precision)}",
    ]
    if w.mode != "pretraining":
        said.append(f"KV cache {ui.stored(e.kv_precision)}")
        if inputs.device is not None:
            said.append(ui.engine(inputs.hardware.engine))
    return " · ".join([*said, *([found.remark] if found.remark else [])])


def figures(inputs: Inputs, found: Needs) -> list[Figure]:
    e, w = inputs.estimate, inputs.workload
    m = e.memory
    tokens = w.batch_size * (1 if w.mode == "decode" else e.sequence_length)
    shown = [
        Figure(
            "Memory", ui.size(m.total), found.meaning or f"weights {ui.percent(m.weights / m.total)}", memory(inputs)
        )
    ]
    if found.passed is not None:
        t = found.passed.time
        label = "Next token" if w.mode == "decode" else "Prefill"
        likely = ui.likely(t)
        shown.append(Figure(label, ui.seconds(t.expected), likely, token(found.passed)))
    elif w.mode == "pretraining":
        states = m.weights + m.gradients + m.optimizer_states
        shown.append(Figure("Model states", ui.size(states), f"activations {ui.size(m.activations)}", memory(inputs)))
    else:
        growth = f"{ui.size(e.cache_growth)} for one more token"
        shown.append(Figure("KV cache and state", ui.size(m.kv_cache), growth, memory(inputs)))
    each = f"{ui.flops(e.flops.total / tokens)} a token"
    shown.append(Figure("Compute", ui.flops(e.flops.total), each, compute(inputs)))
    named = intensity_class(e.intensity)
    if inputs.device is not None and inputs.device.peak:
        ridge = inputs.device.ridge()
        named = f"{'memory' if e.intensity < ridge else 'compute'} bound, ridge {ridge:,.0f}"
    shown.append(Figure("Intensity", ui.intensity(e.intensity), named, intensity(inputs)))
    return shown


def kinds(paper: Paper, inputs: Inputs, found: Needs) -> None:
    """Memory by kind, as asked and with single changes, against one device and the number of them that is needed."""
    w = inputs.workload
    cases = {"As asked": inputs.estimate}
    if w.mode != "pretraining":
        if w.dtype != "int4":
            cases["With 4-bit weights"] = estimate(inputs.model, w.with_(dtype="int4"))
        if keeps(inputs) and not w.kv_dtype.startswith("fp8"):
            cases["With an FP8 cache"] = estimate(inputs.model, w.with_(kv_dtype="fp8"))
    else:
        cases["With one sequence"] = estimate(inputs.model, w.with_(batch_size=1))
    runtime = {label: engines_own(found, e) for label, e in cases.items()}
    whole = {label: e.memory.total + runtime[label] for label, e in cases.items()}
    scale, unit = scaled(max(whole.values()))
    bars = [
        charts.Bar(
            label,
            f"{ui.size(whole[label])}{' with the engine' if runtime[label] else ''}",
            {TITLES[k]: getattr(e.memory, k) / scale for k in MEMORY_KINDS if getattr(e.memory, k)}
            | ({"Runtime": runtime[label] / scale} if runtime[label] else {}),
        )
        for label, e in cases.items()
    ]
    limits = [charts.Limit(at / scale, name) for at, name in found.limits]
    said = ", ".join(f"{bar.label.lower()} {bar.remark}" for bar in bars)
    largest = max(MEMORY_KINDS, key=lambda k: getattr(inputs.estimate.memory, k))
    finding = f"{TITLES[largest]} takes the most memory; {said}."
    with ui.card(
        "Where the memory goes",
        "Of the whole model, on all devices together. Runtime is what the engine takes beside it: the rest of its "
        "profile run, graphs and libraries. The red marks are what it may fill of the devices.",
    ):
        paper.chart("memory_by_kind", charts.stacked(bars, charts.KINDS, finding, ui.ink(), unit=unit, limits=limits))


def engines_own(found: Needs, e: Estimate) -> float:
    """Bytes that the engine takes beside what the model needs, on all devices of the answer."""
    if found.count is None or found.fit is None:
        return 0.0
    mine = fit(
        e.model,
        found.fit.device,
        layout=found.fit.layout,
        engine=found.fit.engine,
        max_model_len=e.sequence_length,
        concurrency=-(-e.workload.batch_size // found.fit.layout.attention_dp),
        dtype=e.workload.dtype,
        kv_dtype=e.workload.kv_dtype,
    )
    return max(0.0, float(mine.taken * found.count - e.memory.total))


def scaled(largest: float) -> tuple[float, str]:
    """A unit of bytes in which the largest amount reads well."""
    fits = ((scale, unit) for unit, scale in BYTES[2:-1] if largest >= scale * (10 if unit == "TiB" else 1))
    return next(fits, (KIB, "KiB"))


def bounds(paper: Paper, inputs: Inputs, found: Passed | None) -> None:
    """Every operation by its intensity, under the roof of the device if one is chosen."""
    device = inputs.device
    if found is not None and device is not None and device.peak:
        timed = [(op, s) for op, s in found.operations if op.flops and op.traffic and s]
        dots = [
            charts.Dot(
                op.name,
                TITLES[op.component],
                float(op.flops) / float(op.traffic),
                float(op.flops) * op.count / s / 1e12,
                s,
                ui.seconds(s),
            )
            for op, s in timed
        ]
        names = [n for n in ("fp8", "bf16") if device.peak.get(n)]
        roof = [(device.bandwidth / 1e12, device.peak[n] / 1e12, n.upper()) for n in names]
        memory_bound = sum(d.size for d in dots if d.x < device.ridge())
        share = memory_bound / (sum(d.size for d in dots) or 1)
        finding = f"{share:.0%} of the operations' time is bound by the memory of one {ui.device_name(device)}."
        with ui.card("What bounds it", "A dot for each operation on one device; its area is its time"):
            paper.chart("roofline", charts.dots(dots, charts.PARTS, "TFLOP/s", finding, ui.ink(), roof=roof))
        return
    rows = [r for r in inputs.estimate.rows("operations") if r["traffic"] and r["flops"]]
    dots = [
        charts.Dot(
            r["operation"], TITLES[r["component"]], r["intensity"], r["traffic"] / 2**30, 1, ui.size(r["traffic"])
        )
        for r in rows
    ]
    classes = ", ".join(f"{sum(r['class'] == c for r in rows)} {c}" for c in ("low", "medium", "high"))
    finding = f"Of {len(rows)} operations by intensity, {classes}."
    marks = ((10, "medium from 10"), (100, "high from 100"))
    with ui.card("Intensity of the operations", "FLOPs for each byte moved, against the bytes"):
        paper.chart("intensity", charts.dots(dots, charts.PARTS, "GiB moved", finding, ui.ink(), bounds=marks))


def times(paper: Paper, inputs: Inputs, found: Passed) -> None:
    whole = sum(found.parts.values())
    shades = charts.PARTS | {"Links": "#0B7780", "Engine": "#6B655C"}
    ranked = [
        charts.Rank(name, s * 1e3, f"{ui.seconds(s)} · {s / whole:.0%}", shades[name])
        for name, s in sorted(found.parts.items(), key=lambda item: -item[1])
        if s > whole / 200
    ]
    finding = f"{ranked[0].name} takes {found.parts[ranked[0].name] / whole:.0%} of {ui.seconds(whole)}."
    with ui.card("Where the time goes"):
        paper.chart("time_by_part", charts.ranked(ranked, finding, ui.ink(), unit="ms", height=BESIDE))


def parts(paper: Paper, inputs: Inputs) -> None:
    """FLOPs by component."""
    by_component, whole = inputs.estimate.flops.by_component, inputs.estimate.flops.total
    found = sorted((c for c in by_component if by_component[c]), key=lambda c: -by_component[c])
    ranked = [
        charts.Rank(
            TITLES[c],
            by_component[c],
            f"{ui.flops(by_component[c])} · {by_component[c] / whole:.0%}".replace("· 0%", "· <1%"),
            charts.PARTS[TITLES[c]],
        )
        for c in found
    ]
    finding = f"{ranked[0].name} computes {by_component[found[0]] / whole:.0%} of {ui.flops(whole)}."
    with ui.card("Where the compute goes"):
        paper.chart("flops_by_component", charts.ranked(ranked, finding, ui.ink(), unit="FLOP", height=BESIDE))


if __name__ == "__main__":  # a cold deep link: Streamlit runs this file as the script
    from app import main

    main()
