"""An engine's log read back: what it printed about memory, beside what the rules here predict, line by line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from calculator.engines.memory.ask import longest
from calculator.engines.memory.fit import Fit, fit
from calculator.engines.memory.log_lines import ENGINES, Lines
from calculator.errors import WorkloadError, needs
from calculator.model import Model
from calculator.numbers.units import GIB, MIB

LEAST = ("pool", "tokens", "blocks", "concurrency", "longest")  # of several ranks, the one with the least
TITLES = {
    "total": "Memory that the engine sees, GiB",
    "weights": "Model weights, GiB",
    "activations": "Activation peak of the profile run, GiB",
    "non_torch": "Memory outside torch, GiB",
    "pool": "Available KV cache memory, GiB",
    "blocks": "Blocks",
    "tokens": "KV cache size, tokens",
    "concurrency": "Maximum concurrency",
    "needed": "Cache that the longest sequence needs, GiB",
    "longest": "Longest sequence that fits, tokens",
    "graphs": "CUDA graphs, GiB",
    "model_buffer": "Model buffer, MiB",
    "kv_buffer": "KV buffer, MiB",
    "compute_buffer": "Compute buffer, MiB",
    "tokens_of_pool": "Tokens in the printed pool",
}


@dataclass(frozen=True)
class Reading:
    """What an engine's log says.

    Attributes:
        printed: figure -> value, sizes in GiB as printed, llama.cpp's in MiB; of several ranks, the one with the least
            pool.
        settings: what it says about how the engine was started, by the names of `calculator.fit`.
        model, tp, pp: as the log says, None where it does not. engine: who wrote it.
    """

    printed: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    tp: int | None = None
    pp: int | None = None
    engine: str = "vllm"

    def predicted(self, model: Model, device: Any, **changes: Any) -> Fit:
        """What `calculator.fit` says about the same start of the engine.

        Args:
            model: what `load_model` returned. device: a device, which a log does not name.
            changes: arguments of `calculator.fit` that the log leaves out.
        """
        from calculator.parallel import Layout

        layout = Layout(tp=self.tp or 1, pp=self.pp or 1)
        return fit(model, device, **{"engine": self.engine, "layout": layout, **self.settings, **changes})

    def rows(self, found: Fit) -> list[dict[str, Any]]:
        """A row for each printed figure: printed, predicted and how far apart."""
        values = _values(found)
        if "pool" in self.printed:
            given = replace(found.budget, pool=round(self.printed["pool"] * GIB))
            if "longest" in self.printed:
                values["longest"] = longest(given, 1)
            if "tokens" in self.printed and found.growing:
                values["tokens_of_pool"] = given.cache.tokens(given.pool)
        printed = {**self.printed, "tokens_of_pool": self.printed.get("tokens", 0)}
        return [
            _row(name, printed[name], values.get(name))
            for name in TITLES
            if name in self.printed or (name == "tokens_of_pool" and name in values)
        ]


def _values(found: Fit) -> dict[str, float | None]:
    """What is predicted, by figure."""
    cache, pool, needed = found.budget.cache, found.cache_pool, int(found.budget.cache.needed(found.max_model_len))
    count = getattr(cache, "count", None)
    return {
        "total": _visible(found) / GIB,
        "weights": found.weights / GIB,
        "activations": found.activations / GIB,
        "non_torch": found.overhead / GIB,
        "pool": pool / GIB,
        "blocks": count(pool) if count else None,
        "tokens": found.cache_tokens if found.growing else None,
        "concurrency": pool / needed if needed else None,
        "needed": needed / GIB,
        "longest": found.longest_context,
        "model_buffer": found.weights / MIB,
        "kv_buffer": needed / MIB,
        "compute_buffer": found.activations / MIB,
    }


def _visible(found: Fit) -> int:
    from calculator.engines.memory.facts import visible_memory

    return visible_memory(found.device)[0]


def _row(name: str, printed: float, predicted: float | None) -> dict[str, Any]:
    error = None if predicted is None or not printed else predicted / printed - 1
    return {"figure": TITLES[name], "printed": printed, "predicted": predicted, "error": error}


def read_log(text: str) -> Reading:
    """The memory figures and settings in a log of vLLM, SGLang, TensorRT-LLM or llama.cpp.

    Raises:
        WorkloadError: the text holds none of their memory lines.
    """
    needs("read_log", text, str)
    for engine, lines in ENGINES.items():
        found = _printed(text, lines)
        if set(lines.known) & set(found):
            said = _said(text, lines)
            return Reading(found, said, said.pop("model", None), said.pop("tp", None), said.pop("pp", None), engine)
    raise WorkloadError(
        "The text has none of the memory lines of vLLM, SGLang, TensorRT-LLM or llama.cpp ("
        f"{'; '.join(f'{lines.title}: {lines.asked}' for lines in ENGINES.values())}); paste the log from the start of "
        "the engine on."
    )


def _printed(text: str, lines: Lines) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, patterns in lines.printed.items():
        values = [_added(match) for p in patterns for match in re.finditer(p, text)]
        if not values:
            continue
        if name in lines.summed:
            found[name] = sum(dict.fromkeys(values))  # ranks print the same line, other pools and devices another
        elif lines.title == "TensorRT-LLM":
            found[name] = values[-1]  # the first is a small cache that the estimate runs with
        else:
            found[name] = min(values) if name in LEAST else max(values)
    return found


def _added(match: re.Match[str]) -> float:
    return sum(float(group.replace(",", "")) for group in match.groups())


def _said(text: str, lines: Lines) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name, (patterns, read) in lines.said.items():
        for pattern in patterns:
            match = re.search(pattern, text, re.MULTILINE)
            if match:
                settings[name] = read(match.group(1))
                break
    return settings
