"""Writes docs/VALIDATION.md: what the engine predicts against what was published or measured.

    python docs/make_validation.py            writes the page
    python docs/make_validation.py --check    exits 1 if the page is not what would be written

The published figures, with their sources, are in tests/data/published.json. Nothing here is fitted to them: a row names
a model, a workload and a quantity of the engine, and the page shows both numbers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from calculator import Workload, estimate, load_model  # noqa: E402
from calculator.engines.memory import Fit, fit  # noqa: E402
from calculator.families import FAMILIES  # noqa: E402
from calculator.formats.named import FORMATS, Format  # noqa: E402
from calculator.model import Model  # noqa: E402
from calculator.parallel import Layout  # noqa: E402
from calculator.passes.forward import operations  # noqa: E402
from calculator.passes.plan import plan_of  # noqa: E402
from calculator.passes.recipe import mixed_scheme  # noqa: E402
from calculator.record.operation import MATMUL_KINDS, Operation  # noqa: E402
from calculator.record.run import weights_of  # noqa: E402
from calculator.sources import catalogue  # noqa: E402
from docs import serving_runs, training_runs  # noqa: E402

DATA = ROOT / "tests" / "data" / "published.json"
PAGE = ROOT / "docs" / "VALIDATION.md"
README = ROOT / "README.md"

UNITS = {
    "bytes": 1,
    "parameters": 1,
    "elements": 1,
    "tokens": 1,
    "bits": 1,
    "%": 1,
    "FLOP": 1,
    "6ND": 1,
    "MiB": 2**20,
    "GiB": 2**30,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
    "GFLOP": 10**9,
    "TFLOP": 10**12,
    "B parameters": 10**9,
}


# Quantities: what a row may ask of the engine. Each takes the model, the workload and the row.

Quantity = Callable[[Model, Workload, Mapping[str, Any]], Any]
QUANTITIES: dict[str, Quantity] = {}


def quantity(name: str) -> Callable[[Quantity], Quantity]:
    def register(function: Quantity) -> Quantity:
        QUANTITIES[name] = function
        return function

    return register


def simple(name: str, read: Callable[[Any], Any]) -> None:
    """A quantity that is one field of the estimate."""
    QUANTITIES[name] = lambda model, workload, row: read(estimate(model, workload))


simple("weights", lambda e: e.memory.weights)
simple("KV cache", lambda e: e.memory.kv_cache)
simple("total memory", lambda e: e.memory.total)
simple("training activations", lambda e: e.memory.activations)
simple("matrix FLOPs", lambda e: e.flops.matmul)
simple("weights and optimizer states", lambda e: e.memory.weights + e.memory.optimizer_states)
simple("weights and KV cache", lambda e: e.memory.weights + e.memory.kv_cache)


def over_layers(listed: list[Operation], amount: Callable[[Operation], Any]) -> Any:
    return sum(amount(op) * op.count for op in listed)


@quantity("parameters")
def parameters(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    return model.parameters.total


@quantity("active parameters")
def active_parameters(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    return model.parameters.active


@quantity("active parameters, rows looked up")
def touched_parameters(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    return model.parameters.touched


@quantity("bits per weight")
def bits_per_weight(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    return FORMATS[row["format"]].bits_per_weight()


@quantity("bytes by recipe")
def bytes_by_recipe(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Weights in a mixture of llama.cpp, with or without an importance matrix."""
    scheme = mixed_scheme(model, workload.dtype, importance=row.get("importance"))
    return estimate(replace(model, stored=scheme, plans={}), workload.with_(dtype="auto")).memory.weights


@quantity("bits a weight by recipe")
def bits_by_recipe(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    return bytes_by_recipe(model, workload, row) * 8 / model.parameters.total


@quantity("stored elements")
def stored_elements(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Parameters, the scales of quantized tensors and buffers: what the Hub counts in a checkpoint."""
    groups = [group for planned in plan_of(model, workload).stacks for group in planned.groups]
    formats: dict[tuple[str, str], Format] = {(g.span.label, name): f for g in groups for name, f in g.formats.items()}
    found = 0
    for op in operations(model, workload):
        for weight in op.weights if op.stored else ():
            found += weight.elements() * op.stored
            form = formats.get((op.layers, weight.name))
            if form is not None and form.scale_bits:
                extra = form.size(weight) * 8 - weight.elements() * form.bits
                found += extra // form.scale_bits * op.stored
    return found


@quantity("elements in the files")
def elements_in_files(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """What the Hub counts in a checkpoint with its prediction layers: scales and buffers too, and two 4-bit numbers as
    the one byte that holds them."""
    plan, found = plan_of(model, workload), 0
    for stack in (*model.stacks, *model.apart):
        layers = ((f"{stack.path}.{i}.", layer.parts) for i, layer in enumerate(stack.layers))
        for prefix, parts in (("", stack.before), *layers, ("", stack.after)):
            for weight in weights_of(parts, stored=True):
                form = plan.form(prefix, weight, stack) or plan.native
                elements = int(weight.elements())
                found += elements // 2 if form.bits == 4 else elements
                if form.quantized and form.scale_bits:
                    found += (int(form.size(weight)) * 8 - elements * form.bits) // form.scale_bits
    return found


@quantity("KV cache of some layers")
def cache_of_layers(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    listed = [op for op in operations(model, workload) if op.layers == row["layers"]]
    return over_layers(listed, lambda op: op.cache_bytes)


@quantity("cache per token")
def cache_per_token(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """What one more token adds to a sequence's cache."""
    one, two = (estimate(model, workload, sequence_length=n).memory.kv_cache for n in (1, 2))
    return two - one


@quantity("fixed state")
def fixed_state(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """What a sequence holds however short it is."""
    one = estimate(model, workload, sequence_length=1).memory.kv_cache
    return one - cache_per_token(model, workload, row)


@quantity("cache tokens")
def cache_tokens(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Tokens whose keys and values fit into the given bytes, in whole blocks."""
    per_token = estimate(model, workload).memory.kv_cache
    block = row.get("block", 1)
    return int(row["bytes"] // (per_token * block)) * block


def fitted(model: Model, row: Mapping[str, Any]) -> Fit:
    """The fit that a row's log is of."""
    asked = dict(row["fit"])
    return fit(model, asked.pop("device"), layout=Layout(tp=asked.pop("tp", 1)), **asked)


@quantity("device weights")
def device_weights(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Weights on the fullest device, as an engine holds them."""
    return fitted(model, row).weights


@quantity("device pool")
def device_pool(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """What an engine leaves for the cache on a device."""
    return fitted(model, row).cache_pool


@quantity("device tokens")
def device_tokens(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Tokens that an engine's pool holds."""
    return fitted(model, row).cache_tokens


@quantity("generation peak")
def generation_peak(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """The most memory of a prompt of `sequence_length` tokens and `decode_length` generated ones: the prefill, or the
    last step of the decode. With `static` the whole cache is set aside before the prefill."""
    prompt, new = workload.sequence_length, workload.decode_length
    before = estimate(model, workload, mode="prefill").memory
    after = estimate(model, workload, mode="decode", sequence_length=prompt + new).memory
    if row.get("static"):
        return int(before.weights + after.kv_cache + max(before.activations, after.activations))
    return int(max(before.total, after.total))


@quantity("matrix FLOPs without attention")
def projection_flops(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    return over_layers([op for op in operations(model, workload) if op.kind == "matmul"], lambda op: op.flops)


@quantity("layer FLOPs")
def layer_flops(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Matrix FLOPs of the layers alone, without embedding and head, and three operations a score for the softmax."""
    e = estimate(model, workload)
    listed = [op for op in e.operations if op.kind in MATMUL_KINDS and op.component != "head"]
    softmax = [op for op in e.operations if op.name.endswith(".softmax")]
    return over_layers(listed, lambda op: op.flops) + over_layers(softmax, lambda op: op.flops * 3 // 5)


@quantity("matrix FLOPs with the layers' forward pass twice")
def recomputed_flops(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Full recomputation: every layer's forward pass runs once more."""
    listed = [op for op in operations(model, workload) if op.kind in MATMUL_KINDS]
    again = [op for op in listed if op.phase == "forward" and op.component != "head"]
    return over_layers([*listed, *again], lambda op: op.flops)


@quantity("model FLOPs utilisation")
def utilisation(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Percent of the stated peak that the engine's FLOPs in the measured seconds are."""
    return 100 * estimate(model, workload).flops.matmul / (row["seconds"] * row["peak"] * row.get("devices", 1))


@quantity("bytes per parameter in training")
def state_bytes(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    memory = estimate(model, workload).memory
    states = memory.weights + memory.gradients + memory.optimizer_states
    return states // model.parameters.total if states % model.parameters.total == 0 else states / model.parameters.total


@quantity("training states of the layers' matrices")
def matrix_states(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Weights, gradients and optimizer states of the projections inside layers; no biases, norms or embeddings."""
    listed = operations(model, workload)
    elements = sum(w.elements() * op.stored for op in listed for w in op.weights if w.role == "linear")
    return elements * state_bytes(model, workload, row)


@quantity("layer activations")
def layer_activations(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Bytes that the layers keep for the backward pass on one of `tensor` tensor-parallel devices.

    A row may also ask for `sequence` (sequence parallelism divides what tensor parallelism does not), `selective` (what
    the softmax and its dropout keep is recomputed) and `checkpoint` (only each layer's input is kept).
    """
    tensor = row.get("tensor", 1)
    listed = [op for op in operations(model, workload) if op.layers]
    if row.get("checkpoint"):
        return over_layers([op for op in listed if op.name == "ln_1"], lambda op: op.saved)
    if row.get("selective"):
        listed = [op for op in listed if not op.name.endswith(".softmax")]
    devices = {"tensor": tensor, "sequence": tensor if row.get("sequence") else 1}

    def kept(region: str) -> Any:
        return over_layers(listed, lambda op: sum(t.formula for t in op.keeps if t.region == region))

    return sum(kept(region) / count for region, count in devices.items())


@quantity("share of the baseline activations")
def activation_share(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """Percent of what tensor parallelism alone keeps."""
    return 100 * layer_activations(model, workload, row) / layer_activations(model, workload, {"tensor": row["tensor"]})


@quantity("training activations and 8 bytes a parameter")
def pure_bf16_training(model: Model, workload: Workload, row: Mapping[str, Any]) -> Any:
    """The recipe keeps weights, gradients and both moments in bf16."""
    return estimate(model, workload).memory.activations + 8 * model.parameters.total


# Rows


@dataclass(frozen=True)
class Row:
    """A comparison that was made."""

    group: str
    model: str
    what: str
    predicted: float
    expected: float
    unit: str
    tolerance: str
    verdict: str  # exact, within, off
    source: str
    note: str
    excuse: str  # why it is off; empty where it is not expected to be

    @property
    def error(self) -> float:
        """The deviation as a share of the published number."""
        return (self.predicted - self.expected) / self.expected


@cache
def data() -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    return parsed


@cache
def model_named(name: str) -> Model:
    """A bundled model, or one of the configs that stand beside the figures."""
    entry = data()["models"].get(name)
    if entry is None:
        return load_model(name)
    return load_model(config_of(entry))


def config_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    if "base" not in entry:
        return dict(entry)
    bundled = catalogue.find(entry["base"])
    base = dict(bundled.config) if bundled else config_of(data()["models"][entry["base"]])
    changed: dict[str, Any] = base | entry["change"]
    return changed


def compared(record: Mapping[str, Any]) -> Row:
    model = model_named(record["model"])
    workload = Workload(**record.get("workload", {}))
    value = QUANTITIES[record["quantity"]](model, workload, record)
    value = value * record.get("times", 1)
    scale = UNITS[record["unit"]] * record.get("over", 1)
    predicted = value // scale if isinstance(value, int) and value % scale == 0 else value / scale
    verdict, tolerance = judged(predicted, record)
    return Row(
        record["group"],
        record["model"],
        record.get("what") or described(record),
        predicted,
        record["expected"],
        record["unit"],
        tolerance,
        verdict,
        record["source"],
        record.get("note", ""),
        record.get("off", ""),
    )


def judged(predicted: float, record: Mapping[str, Any]) -> tuple[str, str]:
    """exact, within or off, and the tolerance in words. `digits` says how many decimals the source prints."""
    expected = record["expected"]
    if "percent" in record:
        close = abs(predicted - expected) <= abs(expected) * record["percent"] / 100
        return "within" if close else "off", f"±{record['percent']:g} %"
    if "points" in record:
        return "within" if abs(predicted - expected) <= record["points"] else "off", f"±{record['points']:g}"
    if "digits" in record:
        unit = 10 ** -record["digits"]
        return "exact" if abs(predicted - expected) <= unit / 2 * 1.000001 else "off", "as printed"
    return "exact" if predicted == expected else "off", "exact"


def described(record: Mapping[str, Any]) -> str:
    """The quantity with the workload that it was asked for."""
    words = {
        "mode": "{}",
        "batch_size": "B = {:,}",
        "sequence_length": "S = {:,}",
        "decode_length": "{:,} generated",
        "dtype": "{}",
        "kv_dtype": "{} cache",
        "attention": "{} attention",
        "attention_flops": "{} attention",
        "logits": "{} logits",
        "gradient_dtype": "{} gradients",
    }
    parts = [words[name].format(value) for name, value in record.get("workload", {}).items()]
    return ", ".join([record["quantity"], *parts])


def parameter_rows() -> Iterator[Row]:
    """Every bundled model's total, and the active count of those with routed experts."""
    for name, total, active, source, note in data()["parameters"]:
        entry = catalogue.find(name)
        if total is None or entry is None or not readable(name):
            continue
        record = {"model": name, "unit": "parameters"}
        yield compared(
            {
                **record,
                "group": "Parameters of the bundled models",
                "quantity": "parameters",
                "expected": total,
                "source": source,
                "note": note,
            }
        )
        if active != total:
            yield compared(
                {
                    **record,
                    "group": "Active parameters",
                    "quantity": "active parameters",
                    "expected": active,
                    "source": "meta",
                }
            )


@cache
def rows() -> tuple[Row, ...]:
    """Every comparison, in the order of the page."""
    found = [*parameter_rows(), *(compared(record) for record in data()["rows"] if readable(record["model"]))]
    order = list(data()["groups"])
    return tuple(sorted(found, key=lambda row: order.index(row.group)))


def readable(name: str) -> bool:
    """Whether a family reads the model's type."""
    bundled = catalogue.find(name)
    config = bundled.config if bundled else config_of(data()["models"][name])
    return config.get("model_type") in FAMILIES


def uncovered() -> list[str]:
    """Models of this page whose type has no family yet."""
    names = {e.id for e in catalogue.entries()} | {record["model"] for record in data()["rows"]}
    return sorted(name for name in names if not readable(name))


# The page


def page() -> str:
    blocks = [INTRODUCTION, summary()]
    misses = [row for row in rows() if row.verdict == "off"]
    blocks.append(f"## Rows that are off\n\n{table(misses, why=True) if misses else 'None.'}")
    for group, text in data()["groups"].items():
        members = [row for row in rows() if row.group == group]
        if members:
            blocks.append(f"## {group}\n\n{text}\n\n{table(members)}")
    names = uncovered()
    if names:
        listed = ", ".join(names)
        blocks.append(f"## Models that are not compared\n\nTheir model type has no family yet: {listed}.")
    blocks.append(serving_runs.section())
    blocks.append(training_runs.section())
    skipped = "\n".join(f"| {what} | {why} |" for what, why in data()["not_compared"])
    blocks.append(f"## Published figures that are not compared\n\n| figures | why not |\n|---|---|\n{skipped}")
    cited = {row.source for row in rows()}
    sources = "\n".join(f"- **{key}**: {text}" for key, text in data()["sources"].items() if key in cited)
    blocks.append(f"## Sources\n\n{sources}")
    return "\n\n".join(blocks) + "\n"


INTRODUCTION = """\
# Validation

Predicted numbers against published and measured ones. This page is generated by `python docs/make_validation.py` from
`tests/data/published.json`; a test fails when it is stale. Nothing in the engine was fitted to these figures,
except the parameters of the sections Serving and Training, which say so.

- **exact**: equal to the last digit that the source prints. Counts and bytes are compared as whole numbers.
- **within**: inside the tolerance that the source or its rounding allows. The tolerance stands in the row.
- **off**: outside the tolerance. Each such row says why.
- The error is (predicted − expected) / expected.
- GB and TB are decimal, MiB and GiB are 2^20 and 2^30 bytes. FLOPs count a multiply-add as 2.

The formulas are in METHODS.md."""


def summary() -> str:
    lines = ["## Summary", "", "| group | rows | exact | within tolerance | off |", "|---|--:|--:|--:|--:|"]
    totals = [0, 0, 0, 0]
    for group in data()["groups"]:
        members = [row for row in rows() if row.group == group]
        counts = [len(members), *(sum(r.verdict == v for r in members) for v in ("exact", "within", "off"))]
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        lines.append(f"| {group} | " + " | ".join(map(str, counts)) + " |")
    return "\n".join([*lines, "| **all** | " + " | ".join(f"**{n}**" for n in totals) + " |"])


def table(members: list[Row], why: bool = False) -> str:
    last = "why" if why else "note"
    lines = [
        f"| model | what | predicted | expected | unit | error | tolerance | verdict | source | {last} |",
        "|---|---|--:|--:|---|--:|---|---|---|---|",
    ]
    for row in members:
        see = "see *Rows that are off*" if row.excuse else ""
        remark = row.excuse if why else "; ".join(text for text in (row.note, see) if text)
        cells = [
            row.model,
            row.what,
            shown(row.predicted, row.expected),
            shown(row.expected, row.expected),
            row.unit,
            error(row),
            row.tolerance,
            row.verdict,
            row.source,
            remark,
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def shown(value: float, beside: float) -> str:
    """A number with two more digits than its neighbour prints, or in full if both are whole."""
    if isinstance(value, int):
        return f"{value:,}"
    if abs(value) >= 1e15:
        return f"{value:.4e}"
    decimals = len(f"{beside!r}".split(".")[1]) if isinstance(beside, float) and "e" not in f"{beside!r}" else 0
    extra = 0 if value is beside or value == beside else 2
    return f"{value:,.{decimals + extra}f}"


def error(row: Row) -> str:
    if row.predicted == row.expected:
        return "0"
    percent = 100 * row.error
    return f"{percent:+.2f} %" if abs(percent) >= 0.005 else f"{percent:+.1e} %"


def readme() -> str:
    """README.md with its generated summary."""
    text = README.read_text(encoding="utf-8")
    parts = {
        "validation": "\n".join(summary().splitlines()[2:]),
        "times": serving_runs.summary(),
    }
    for name, content in parts.items():
        before, rest = text.split(f"<!-- {name} -->\n", 1)
        after = rest.split(f"<!-- end of {name} -->", 1)[1]
        text = f"{before}<!-- {name} -->\n{content}\n<!-- end of {name} -->{after}"
    return text


def main(arguments: list[str]) -> int:
    stale = 0
    for file, text in ((PAGE, page()), (README, readme())):
        if "--check" not in arguments:
            file.write_text(text, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != text:
            print(f"{file.relative_to(ROOT)} is stale; run python docs/make_validation.py", file=sys.stderr)
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
