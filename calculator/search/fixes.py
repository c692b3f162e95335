"""What makes a model fit that does not, the least costly change first; each one is the fit asked again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from calculator.engines.memory.ask import layout_counts, longest
from calculator.errors import CalculatorError
from calculator.formats.named import format_named
from calculator.passes.plan import cache_format
from calculator.record.workload import Workload
from calculator.search.layouts import heads_of

if TYPE_CHECKING:
    from calculator.engines.memory.fit import Fit

SHORTEST = 0.25  # of the context: what is shorter is another question
FEW = 8  # sequences up to which a fix of the engine's limit is worth a try


@dataclass(frozen=True)
class Fix:
    """A change that makes it fit.

    Attributes:
        short: in a few words ("fp8 cache"). meaning: what it costs. changes: arguments of `calculator.fit`.
        fit: the answer with the change. devices: how many devices it then takes.
    """

    short: str
    meaning: str
    changes: dict[str, Any] = field(repr=False)
    fit: Fit = field(repr=False)

    @property
    def devices(self) -> int:
        """Devices of the layout."""
        return self.fit.layout.devices

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        changes = {k: layout_counts(v) if k == "layout" else v for k, v in self.changes.items()}
        return {"fix": self.short, "meaning": self.meaning, "changes": changes, "devices": self.devices}


def fixes(found: Fit) -> tuple[Fix, ...]:
    """Single changes that make it fit; where there are none, the first pair of changes that does."""
    singles = list(_candidates(found))
    good = [fix for fix in (_tried(found, *one) for one in singles) if fix]
    if good:
        grown = [fix for fix in good if "layout" in fix.changes]
        return tuple(fix for fix in good if fix not in grown[1:])
    cheaper = [one for one in singles if "layout" not in one[2]]
    for extra in (None, *[one for one in singles if "layout" in one[2]]):
        base = cheaper if extra is None else [extra]
        for first in base:
            for second in cheaper:
                if first is second or set(first[2]) & set(second[2]):
                    continue
                words = f"{first[0]} with {second[0]}"
                fix = _tried(found, words, f"{first[1]} {second[1]}", {**first[2], **second[2]})
                if fix:
                    return (fix,)
    return ()


def _tried(found: Fit, short: str, meaning: str, changes: dict[str, Any]) -> Fix | None:
    try:
        again = found.again(**changes)
    except CalculatorError:  # the change is not possible for this model: no fix
        return None
    return Fix(short, meaning, changes, again) if again.fits else None


Candidate = tuple[str, str, dict[str, Any]]


def _candidates(found: Fit) -> Iterator[Candidate]:
    yield from _settings(found)
    yield from _precision_of_cache(found)
    yield from _shorter(found)
    yield from _precision_of_weights(found)
    yield from _more_devices(found)


def _settings(found: Fit) -> Iterator[Candidate]:
    limit = found.budget.sequences
    if found.engine == "vllm":
        if limit and limit > 256:
            yield "--max-num-seqs 256", "The profile run samples for fewer sequences.", {"max_num_seqs": 256}
        if limit and limit > FEW >= found.concurrency:
            yield f"--max-num-seqs {FEW}", "Only so many sequences run at once.", {"max_num_seqs": FEW}
        if found.settings.get("gpu_memory_utilization", 0.9) < 0.95:
            words = "Leaves 5 % of the device to everything that vLLM does not count."
            yield "--gpu-memory-utilization 0.95", words, {"gpu_memory_utilization": 0.95}
    if found.engine == "llama.cpp":
        layers = found.model.layers
        for part in (3, 2, 1):
            count = layers * part // 4
            yield f"--n-gpu-layers {count}", "The other layers run on the host, slower.", {"n_gpu_layers": count}


def _precision_of_cache(found: Fit) -> Iterator[Candidate]:
    held = cache_format(found.model, Workload(dtype=found.dtype, kv_dtype=found.kv_dtype))
    if held in ("fp32", "fp16", "bf16") and found.engine != "transformers":
        name = "q8_0" if found.engine == "llama.cpp" else "fp8"
        yield f"{name} cache", "Half the bytes a token of cache.", {"kv_dtype": name}


def _shorter(found: Fit) -> Iterator[Candidate]:
    length = longest(found.budget, found.concurrency)
    length -= length % 256
    if length >= max(256, found.max_model_len * SHORTEST):
        words = f"{length / 1024:.0f}k context" if length >= 10 * 1024 else f"{length:,} tokens of context"
        yield words, "The longest sequence is shorter.", {"max_model_len": length}
    fewer = int(found.sequences)
    if 1 <= fewer < found.concurrency:
        yield f"{fewer:,} sequences at once", "The others wait.", {"concurrency": fewer}


def _precision_of_weights(found: Fit) -> Iterator[Candidate]:
    plain = found.dtype == "auto" and found.model.scheme is None
    bits = 16 if plain else 8 if found.dtype == "auto" else format_named(found.dtype).bits
    offers = [("q8_0", 8), ("q4_k_m", 4)] if found.engine == "llama.cpp" else [("fp8", 8), ("int4", 4)]
    if found.dtype == "auto" and not plain:
        return  # quantized as published; another precision is another checkpoint
    for name, size in offers:
        if size < bits:
            yield f"{name} weights", "Another checkpoint of the model; check its quality.", {"dtype": name}


def _more_devices(found: Fit) -> Iterator[Candidate]:
    counts = layout_counts(found.layout)
    for times in (2, 4, 8):
        kind = "pp" if found.engine in ("llama.cpp", "transformers") else "tp"
        grown = counts[kind] * times
        if kind == "tp" and heads_of(found.model) % grown:
            return
        try:
            layout = replace(found.layout, tp=grown) if kind == "tp" else replace(found.layout, pp=grown)
        except CalculatorError:  # no such layout: no fix
            continue
        name = f"TP {grown}" if kind == "tp" else f"{grown} devices"
        yield name, f"{times} times the devices.", {"layout": layout}
