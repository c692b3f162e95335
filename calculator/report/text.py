"""Estimates as text for people: aligned for a terminal or as Markdown. The numbers come from calculator.tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from calculator.model import Model
from calculator.numbers import units as words
from calculator.numbers.blocks import Block as Block
from calculator.numbers.blocks import Facts as Facts
from calculator.numbers.blocks import Grid as Grid
from calculator.numbers.blocks import Row
from calculator.passes.totals import intensity_class
from calculator.record.vocabulary import MEMORY_KINDS, PHASES, TITLES

if TYPE_CHECKING:
    from calculator.estimation import Estimate
    from calculator.speculation import Speculation


def aligned(blocks: Iterable[Block]) -> str:
    """The blocks for a terminal: words to the left, numbers to the right, an empty line between blocks."""
    return "\n\n".join(_plain_facts(b) if isinstance(b, Facts) else _plain_grid(b) for b in blocks) + "\n"


def markdown(blocks: Iterable[Block]) -> str:
    """The blocks as Markdown."""
    return "\n\n".join(_marked_facts(b) if isinstance(b, Facts) else _marked_grid(b) for b in blocks) + "\n"


def _plain_facts(facts: Facts) -> str:
    width = max((len(label) for label, _ in facts.pairs), default=0)
    return "\n".join([facts.title, *(f"  {label.ljust(width)}  {text}" for label, text in facts.pairs)])


def _plain_grid(grid: Grid) -> str:
    table = [grid.columns, *grid.rows, *([grid.total] if grid.total else [])]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]

    def line(cells: Row) -> str:
        sized = enumerate(zip(cells, widths, strict=True))
        return "  ".join(c.ljust(w) if i < grid.left else c.rjust(w) for i, (c, w) in sized).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    last = [rule, line(grid.total)] if grid.total else []
    return "\n".join(filter(None, [grid.title, line(grid.columns), rule, *map(line, grid.rows), *last, grid.remark]))


def _marked_facts(facts: Facts) -> str:
    lines = [f"- **{label}**: {_quiet(text)}" for label, text in facts.pairs]
    return "\n".join([f"## {_quiet(facts.title)}", "", *lines])


def _quiet(words: str) -> str:
    """Words whose brackets and angles are shown, not obeyed: no image of a stranger's is loaded."""
    return re.sub(r"([\[\]`]|<(?![\d.]))", r"\\\1", words)


def _marked_grid(grid: Grid) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(_quiet(cell).replace("|", "\\|") for cell in cells) + " |"

    rule = line("---" if i < grid.left else "---:" for i in range(len(grid.columns)))
    total = [line(f"**{cell}**" if cell else "" for cell in grid.total)] if grid.total else []
    title = [f"### {grid.title}", ""] if grid.title else []
    remark = ["", grid.remark] if grid.remark else []
    return "\n".join([*title, line(grid.columns), rule, *map(line, grid.rows), *total, *remark])


MOSTLY_TABLES = 0.7
"""Below this share of touched parameters a dense model is told apart from its tables too (Gemma 4 E2B)."""


# What an estimate says


def header(estimate: Estimate) -> Facts:
    """What was asked, of which model, and how it is counted."""
    said = [("workload", workload(estimate)), ("counted", conventions(estimate))]
    return Facts(estimate.model.name, [*_model_facts(estimate), *said, *_generated(estimate), *_remarks(estimate)])


def headers(estimates: Sequence[Estimate]) -> list[Block]:
    """The header of a comparison: what the estimates share, then each model."""
    first = estimates[0]
    w = first.workload
    shared = [("workload", f"{MODES[w.mode]}, batch {w.batch_size:,}"), ("counted", conventions(first))]
    models = [Facts(e.model.name, [*_model_facts(e), *_generated(e), *_remarks(e)]) for e in estimates]
    return [Facts(f"{len(estimates)} models", shared), *models]


def _model_facts(estimate: Estimate) -> list[tuple[str, str]]:
    model, p = estimate.model, estimate.model.parameters
    sizes = (f"hidden {model.hidden_size:,}", f"vocabulary {model.vocabulary_size:,}")
    shape = [model.model_type, layers_of(model), *sizes]
    if model.experts is not None:
        shape.append(f"{model.experts.experts} experts, {model.experts.top_k} per token")
    shape.append(f"context {model.context_length:,}" if model.context_length else "no context limit stated")
    active = "" if p.active == p.total else f"; active per token {p.active:,} ({words.count(p.active)})"
    active += ", the embedding in full" if active and p.touched != p.active else ""
    if p.touched != p.active and (active or p.touched < MOSTLY_TABLES * p.total):
        active += f"; {p.touched:,} ({words.count(p.touched)}) with only the rows of it that are looked up"
    caches = estimate.workload.mode != "pretraining" and model.text.causal
    cache = f"; KV cache {estimate.kv_precision}" if caches else ""
    return [
        ("source", short_source(model.source)),
        ("model", ", ".join(shape)),
        ("parameters", f"{p.total:,} ({words.count(p.total)}){active}"),
        ("precision", f"weights {estimate.precision}{cache}"),
    ]


def short_source(source: str) -> str:
    """Where a config came from, in a line: without the scheme, the file's name and where the copy was found (JSON and
    the app have it in full)."""
    first = source.split(", as copied")[0].removeprefix("https://")
    return first.removesuffix("/config.json").removesuffix("/main").removesuffix("/blob")


def layers_of(model: Model) -> str:
    """How many layers, of an encoder-decoder model on both sides: "6 encoder layers and 6 decoder layers"."""
    if model.encoder is None:
        return number(model.layers, "layer")
    return f"{number(len(model.encoder.layers), 'encoder layer')} and {number(model.layers, 'decoder layer')}"


def workload(estimate: Estimate) -> str:
    """The mode, batch and length in a phrase."""
    w, length = estimate.workload, estimate.sequence_length
    tokens = f"one new token a sequence after {length:,}" if w.mode == "decode" else f"{length:,} tokens a sequence"
    read = "" if estimate.encoder_length is None else f", {estimate.encoder_length:,} in the encoder"
    return f"{MODES[w.mode]}, batch {w.batch_size:,}, {tokens}{read}"


MODES = {"prefill": "prefill", "decode": "decode", "pretraining": "pretraining (forward, backward, AdamW step)"}


def conventions(estimate: Estimate) -> str:
    """How the FLOPs and bytes are counted, named beside every result."""
    w = estimate.workload
    pairs = {"full": "S × S", "causal": "S × S / 2"}[w.attention_flops]
    said = [
        "a multiply-add is 2 FLOPs",
        f"{w.attention} attention, counted {w.attention_flops}" + (f" ({pairs})" if w.mode != "decode" else ""),
        f"logits for {'the last position' if estimate.last_logits else 'all positions'}",
    ]
    if w.expert_capacity_factor is not None:
        said.append(f"expert capacity factor {w.expert_capacity_factor:g}")
    if w.routing != "balanced":
        said.append(f"{w.routing} random routing")
    if w.share_experts_across_layers:
        said.append("what if all layers shared one set of experts")
    return "; ".join(said)


def _generated(estimate: Estimate) -> list[tuple[str, str]]:
    g = estimate.generation
    if g is None:
        return []
    said = f"{words.flops(g.flops.total)}, {words.gib(g.traffic.total)} moved, cache {words.gib(g.kv_cache)} at the end"
    return [("generated", f"{number(g.tokens, 'token')} a sequence: {said}")]


def _remarks(estimate: Estimate) -> list[tuple[str, str]]:
    return [*(("note", n) for n in estimate.notes), *(("warning", w) for w in estimate.warnings)]


def number(count: int, thing: str) -> str:
    """A count and what is counted: "1 layer", "2 layers"."""
    return f"{count:,} {thing}" if count == 1 else f"{count:,} {thing}s"


# Tables of one model


def _size(amount: float) -> str:
    return words.gib(amount) if amount else "-"


def _work(amount: float) -> str:
    return words.flops(amount) if amount else "-"


def memory_grid(estimate: Estimate) -> Grid:
    """Component × kind of memory."""
    kinds = [kind for kind in MEMORY_KINDS if getattr(estimate.memory, kind)]
    rows = [
        (TITLES[r["component"]], *(_size(r[k]) for k in kinds), _size(r["total"]), words.percent(r["share"]))
        for r in estimate.rows("memory")
    ]
    total = ("Total", *(_size(getattr(estimate.memory, k)) for k in (*kinds, "total")), words.percent(1))
    columns = ("Component", *(TITLES[k] for k in kinds), "Total", "Share")
    return Grid(MEMORY_TITLE, columns, rows, total, _activations_remark(estimate))


MEMORY_TITLE = "Memory (1 GiB = 2^30 bytes)"
FLOPS_TITLE = "FLOPs (a multiply-add is 2)"
REUSE_TITLE = "Arithmetic intensity (FLOPs per byte moved; low < 10, medium 10-100, high > 100)"


def _activations_remark(estimate: Estimate) -> str:
    peak = estimate.memory.peak_operation
    if peak is None:
        return "Activations: what the forward pass keeps for the backward pass."
    return f"Activations: the most that is alive at once, while {peak.name} runs."


def flops_grid(estimate: Estimate) -> Grid:
    """Matrix products and everything else, by component."""
    rows = [
        (TITLES[r["component"]], _work(r["matmul"]), _work(r["other"]), _work(r["total"]), words.percent(r["share"]))
        for r in estimate.rows("flops")
    ]
    matmul, whole = estimate.flops.matmul, estimate.flops.total
    total = ("Total", _work(matmul), _work(whole - matmul), _work(whole), words.percent(1))
    return Grid(FLOPS_TITLE, ("Component", "Matrix products", "Other", "Total", "Share"), rows, total)


def phases_grid(estimate: Estimate) -> Grid:
    """FLOPs and bytes moved, by phase and component."""
    rows = [
        (PHASES[r["phase"]], TITLES[r["component"]], _work(r["flops"]), _size(r["bytes"]))
        for r in estimate.rows("phases")
    ]
    total = ("Total", "", _work(estimate.flops.total), _size(estimate.traffic.total))
    return Grid("Phases", ("Phase", "Component", "FLOPs", "Moved"), rows, total, left=2)


def reuse_grid(estimate: Estimate) -> Grid:
    """FLOPs per byte moved, by component."""
    rows = [
        (TITLES[r["component"]], _work(r["flops"]), _size(r["bytes"]), words.intensity(r["intensity"]), r["class"])
        for r in estimate.rows("reuse")
    ]
    reuse = estimate.intensity
    sums = (_work(estimate.flops.total), _size(estimate.traffic.total))
    total = ("Total", *sums, words.intensity(reuse), intensity_class(reuse))
    return Grid(REUSE_TITLE, ("Component", "FLOPs", "Moved", "Intensity", "Class"), rows, total)


def operations_grid(estimate: Estimate) -> Grid:
    """Every operation, amounts over all the layers that run it."""
    place, held = ("Operation", "Layers", "Kind", "Count"), ("Parameters", "Weights", "KV cache")
    columns = (*place, *held, "FLOPs", "Moved", "Intensity")
    rows = [_operation_row(row) for row in estimate.rows("operations")]
    memory, traffic = estimate.memory, estimate.traffic.total
    sizes = (f"{estimate.model.parameters.total:,}", _size(memory.weights), _size(memory.kv_cache))
    work = (_work(estimate.flops.total), _size(traffic), words.intensity(estimate.intensity))
    return Grid(f"Operations of {estimate.model.name}", columns, rows, ("Total", "", "", "", *sizes, *work), left=3)


def _operation_row(row: Mapping[str, Any]) -> Row:
    place = (row["operation"], row["layers"], row["kind"], str(row["count"]))
    sizes = (f"{row['parameters']:,}", _size(row["weight_bytes"]), _size(row["cache_bytes"]))
    return (*place, *sizes, _work(row["flops"]), _size(row["traffic"]), words.intensity(row["intensity"]))


def cache_grid(estimate: Estimate) -> Grid:
    """What each kind of layer keeps of a sequence."""
    rows = [
        (
            r["kind"].capitalize(),
            r["layers"],
            f"{r['count']}",
            f"{r['bytes_per_token']:,} B" if r["bytes_per_token"] else "-",
            r["most_tokens"] if r["most_tokens"] == "all" else f"{r['most_tokens']:,}",
            _size(r["bytes"]),
        )
        for r in estimate.rows("cache")
    ]
    columns = ("Kept", "Layers", "Count", "A token", "Most tokens", "Held")
    title = "Cache, the architecture's minimum (a token: over all these layers)"
    return Grid(title, columns, rows, ("Total", "", "", "", "", _size(estimate.memory.kv_cache)), left=2)


def engines_grid(estimate: Estimate) -> Grid:
    """What engines reserve."""
    listed = estimate.rows("engines")
    rows = [
        (
            r["title"],
            "not known" if r["bytes"] is None else _size(r["bytes"]),
            "" if r["times_minimum"] is None else f"{r['times_minimum']:.3f}",
        )
        for r in listed
    ]
    least = ("The architecture's minimum", _size(estimate.memory.kv_cache), "1.000")
    how = "\n".join(f"{r['title']}: {r['steps']}." for r in listed)
    return Grid("Cache that engines reserve", ("Engine", "Reserved", "× minimum"), [least, *rows], remark=how)


def speculation_blocks(speculation: Speculation) -> list[Block]:
    """Both models' headers, and their memory added up."""
    kinds = ("weights", "kv_cache", "activations", "total")
    *each, both = [
        (row["part"].capitalize(), row["model"], f"{row['parameters']:,}", *(_size(row[k]) for k in kinds))
        for row in speculation.rows()
    ]
    both = (both[0], "", *both[2:])
    columns = ("Part", "Model", "Parameters", *(TITLES.get(k, "Total") for k in kinds))
    remark = "Activations are not added: target and draft run in turn."
    title = "Target and draft in one budget (1 GiB = 2^30 bytes)"
    return [header(speculation.target), header(speculation.draft), Grid(title, columns, each, both, remark, left=2)]


def formats_grid(estimate: Estimate, components: Collection[str] | None = None) -> Grid:
    """What the weights are stored in, and which rule says so; those of some components only where these are named."""
    rows = [
        (
            TITLES[r["component"]],
            r["format"],
            r["rule"] if not r["where"] else f"{r['rule']}, in {r['where']}",
            f"{r['bits_per_weight']:.4g}",
            f"{r['tensors']:,}",
            _size(r["bytes"]),
        )
        for r in estimate.rows("formats")
        if components is None or r["component"] in components
    ]
    columns = ("Component", "Format", "By", "Bits", "Tensors", "Weights")
    title = f"Formats of the weights ({estimate.precision})"
    total = None if components else ("Total", "", "", "", "", _size(estimate.memory.weights))
    return Grid(title, columns, rows, total, left=3)


GRIDS: Mapping[str, Callable[[Estimate], Grid]] = {
    "memory": memory_grid,
    "flops": flops_grid,
    "reuse": reuse_grid,
    "operations": operations_grid,
    "phases": phases_grid,
    "cache": cache_grid,
    "engines": engines_grid,
    "formats": formats_grid,
}

PER_MODEL = ("operations", "phases", "cache", "engines", "formats")
"""Tables that a comparison shows one by one, because their rows differ from model to model."""


def blocks(estimates: Sequence[Estimate], tables: Sequence[str]) -> list[Block]:
    """The whole report: of one model its tables, of several a comparison and their tables side by side."""
    if len(estimates) == 1:
        return [header(estimates[0]), *(GRIDS[kind](estimates[0]) for kind in tables)]
    found: list[Block] = [*headers(estimates), comparison_grid(estimates)]
    for kind in tables:
        found += [GRIDS[kind](e) for e in estimates] if kind in PER_MODEL else [side_by_side(estimates, kind)]
    return found


# Tables of several models


def short_names(estimates: Sequence[Estimate]) -> list[str]:
    """The models' names without their owners, unless two would then be the same."""
    full = [e.model.name for e in estimates]
    short = [name.split("/")[-1] for name in full]
    return short if len(set(short)) == len(set(full)) else full


def comparison_grid(estimates: Sequence[Estimate]) -> Grid:
    """A row per model."""
    kinds = [kind for kind in MEMORY_KINDS if any(getattr(e.memory, kind) for e in estimates)]
    rows = [(name, *_compared(e, kinds)) for name, e in zip(short_names(estimates), estimates, strict=True)]
    held = (*(TITLES[k] for k in kinds), "Memory")
    columns = ("Model", "Parameters", "Active", "Tokens", *held, "FLOPs", "Moved", "Intensity")
    return Grid("Comparison", columns, rows)


def _compared(estimate: Estimate, kinds: Sequence[str]) -> Row:
    p, memory = estimate.model.parameters, estimate.memory
    sizes = (words.count(p.total), words.count(p.active), f"{estimate.sequence_length:,}")
    held = (_size(getattr(memory, kind)) for kind in (*kinds, "total"))
    work = (_work(estimate.flops.total), _size(estimate.traffic.total), words.intensity(estimate.intensity))
    return (*sizes, *held, *work)


def side_by_side(estimates: Sequence[Estimate], kind: str) -> Grid:
    """One table of all models: a row per component, a column per model."""
    title, key, word, whole = {
        "memory": (MEMORY_TITLE, "total", _size, [e.memory.total for e in estimates]),
        "flops": (FLOPS_TITLE, "total", _work, [e.flops.total for e in estimates]),
        "reuse": (REUSE_TITLE, "intensity", words.intensity, [e.intensity for e in estimates]),
    }[kind]
    cells = [{r["component"]: r[key] for r in e.rows(kind)} for e in estimates]
    present = [component for component in TITLES if any(component in c for c in cells)]
    rows = [(TITLES[p], *(word(c[p]) if p in c else "-" for c in cells)) for p in present]
    return Grid(title, ("Component", *short_names(estimates)), rows, ("Total", *map(word, whole)))
