"""A vLLM log read back: what it printed about memory, beside what the rules here predict, line by line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from calculator.engines.memory.fit import Fit, fit
from calculator.errors import WorkloadError
from calculator.model import Model
from calculator.numbers.units import GIB

NUMBER = r"(-?[\d,]*\.?\d+)"
PRINTED: Mapping[str, tuple[str, ...]] = {
    "weights": (
        rf"[Mm]odel loading took {NUMBER}\s*Gi?B",
        rf"Loading model weights took {NUMBER}\s*Gi?B",
        rf"model weights take\s+{NUMBER}\s*GiB",
        rf"weights memory:\s*{NUMBER}\s*GiB",
    ),
    "activations": (
        rf"PyTorch activation peak memory(?: takes)?\s+{NUMBER}\s*GiB",
        rf"torch peak memory increase:\s*{NUMBER}\s*GiB",
    ),
    "non_torch": (
        rf"non_torch_memory(?: takes)?\s+{NUMBER}\s*GiB",
        rf"non-torch forward increase memory:\s*{NUMBER}\s*GiB",
    ),
    "pool": (
        rf"Available KV cache memory:\s*{NUMBER}\s*GiB",
        rf"reserved for KV Cache is\s+{NUMBER}\s*GiB",
        rf"available_kv_cache_memory\s+{NUMBER}\s*GiB",
    ),
    "tokens": (
        rf"GPU KV cache size:\s*{NUMBER}\s*tokens",
        rf"maximum number of tokens that can be stored in KV cache \({NUMBER}\)",
    ),
    "blocks": (rf"# (?:GPU|cuda) blocks:\s*{NUMBER}",),
    "concurrency": (rf"Maximum concurrency for [\d,]+ tokens per request:\s*{NUMBER}x",),
    "graphs": (rf"Graph capturing finished in [\d.]+ secs, took {NUMBER}\s*GiB",),
    "total": (
        rf"total_gpu_memory \({NUMBER}\s*GiB\)",
        rf"total_gpu_memory\s+{NUMBER}\s*GiB",
        rf"Free memory on device \(-?[\d.]+/{NUMBER}\s*GiB\)",
    ),
}
SAID: Mapping[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
    "version": ((r"vLLM API server version v?(\d+\.\d+(?:\.\d+)?)", r"LLM engine \(v(\d+\.\d+(?:\.\d+)?)"), str),
    "model": ((r"config:? model='([^']+)'", r"'model(?:_tag)?': '([^']+)'", r"vllm serve ([\w./-]+)"), str),
    "tp": (
        (r"tensor_parallel_size'?[=:]\s*(\d+)", r"--tensor[-_]parallel[-_]size[= ](\d+)", r"(?:^|\s)-tp[= ](\d+)"),
        int,
    ),
    "pp": ((r"pipeline_parallel_size'?[=:]\s*(\d+)", r"--pipeline[-_]parallel[-_]size[= ](\d+)"), int),
    "max_model_len": (
        (
            r"max_(?:seq|model)_len'?[=:]\s*(\d+)",
            r"--max[-_]model[-_]len[= ](\d+)",
            r"Maximum concurrency for ([\d,]+) tokens",
        ),
        lambda said: int(said.replace(",", "")),
    ),
    "gpu_memory_utilization": (
        (
            r"gpu_memory_utilization'?[=:]\s*([\d.]+)",
            r"--gpu[-_]memory[-_]utilization[= ]([\d.]+)",
            r"gpu_memory_utilization \(([\d.]+)\)",
            r"gpu_memory_utilization\s+([\d.]+)",
        ),
        float,
    ),
    "max_num_seqs": ((r"max_num_seqs'?[=:]\s*(\d+)", r"--max[-_]num[-_]seqs[= ](\d+)"), int),
    "max_num_batched_tokens": (
        (r"max_num_batched_tokens'?[=:]\s*(\d+)", r"--max[-_]num[-_]batched[-_]tokens[= ](\d+)"),
        int,
    ),
    "block_size": ((r"'block_size':\s*(\d+)", r"--block[-_]size[= ](\d+)"), int),
    "kv_dtype": ((r"kv_cache_dtype'?[=:]\s*'?(fp8\w*)", r"--kv[-_]cache[-_]dtype[= ](fp8\w*)"), lambda _: "fp8"),
    "decode_context_parallel_size": (
        (r"decode_context_parallel_size'?[=:]\s*(\d+)", r"--decode-context-parallel-size[= ](\d+)"),
        int,
    ),
}
TITLES = {
    "weights": "Model weights, GiB",
    "activations": "Activation peak of the profile run, GiB",
    "non_torch": "Memory outside torch, GiB",
    "pool": "Available KV cache memory, GiB",
    "tokens": "GPU KV cache size, tokens",
    "tokens_of_pool": "Tokens in the printed pool",
    "blocks": "GPU blocks",
    "concurrency": "Maximum concurrency",
    "graphs": "CUDA graphs, GiB",
    "total": "Memory that vLLM sees, GiB",
}


@dataclass(frozen=True)
class Reading:
    """What a vLLM log says.

    Attributes:
        printed: figure -> value, sizes in GiB as printed; of several ranks, the one with the least pool.
        settings: what it says about how vLLM was started, by the names of `calculator.fit`.
        model, tp, pp: as the log says, None where it does not.
    """

    printed: Mapping[str, float]
    settings: Mapping[str, Any] = field(default_factory=dict)
    model: str | None = None
    tp: int | None = None
    pp: int | None = None

    def predicted(self, model: Model, device: Any, **changes: Any) -> Fit:
        """What `calculator.fit` says about the same start of vLLM.

        Args:
            model: what `load_model` returned. device: a device, which vLLM's log does not name.
            changes: arguments of `calculator.fit` that the log leaves out.
        """
        from calculator.parallel import Layout

        layout = Layout(tp=self.tp or 1, pp=self.pp or 1)
        return fit(model, device, **{"layout": layout, **self.settings, **changes})

    def rows(self, found: Fit) -> list[dict[str, Any]]:
        """A row for each printed figure: printed, predicted and how far apart."""
        shares = {item.kind: item.size for item in found.budget.items if item.kind == "overhead"}
        values: dict[str, float | None] = {
            "total": _visible(found) / GIB,
            "weights": found.weights / GIB,
            "activations": found.activations / GIB,
            "non_torch": shares.get("overhead", 0) / GIB,
            "pool": found.cache_pool / GIB,
            "blocks": found.budget.cache.count(found.cache_pool),  # type: ignore[attr-defined]
            "tokens": found.cache_tokens,
            "concurrency": found.cache_pool / int(found.budget.cache.needed(found.max_model_len)),
            "graphs": None,
        }
        rows = []
        for name in values:
            if name in self.printed:
                rows.append(_row(name, self.printed[name], values[name]))
        if "pool" in self.printed and "tokens" in self.printed:
            tokens = found.budget.cache.tokens(round(self.printed["pool"] * GIB))
            rows.append(_row("tokens_of_pool", self.printed["tokens"], tokens))
        return rows


def _visible(found: Fit) -> int:
    from calculator.engines.memory.facts import visible_memory

    return visible_memory(found.device)[0]


def _row(name: str, printed: float, predicted: float | None) -> dict[str, Any]:
    error = None if predicted is None or not printed else predicted / printed - 1
    return {"figure": TITLES[name], "printed": printed, "predicted": predicted, "error": error}


def read_log(text: str) -> Reading:
    """The memory figures and settings in a vLLM log.

    Raises:
        WorkloadError: the text holds none of vLLM's memory lines.
    """
    found: dict[str, float] = {}
    for name, patterns in PRINTED.items():
        values = [float(v.replace(",", "")) for p in patterns for v in re.findall(p, text)]
        if values:
            found[name] = min(values) if name in ("pool", "tokens", "blocks", "concurrency") else max(values)
    if not {"weights", "pool", "tokens", "blocks"} & set(found):
        raise WorkloadError(
            "The text has none of vLLM's memory lines (“Model loading took … GiB”, “Available KV cache memory: …”, "
            "“GPU KV cache size: … tokens”); paste the log from the start of the engine on."
        )
    settings: dict[str, Any] = {}
    for name, (patterns, read) in SAID.items():
        for pattern in patterns:
            match = re.search(pattern, text, re.MULTILINE)
            if match:
                settings[name] = read(match.group(1))
                break
    return Reading(found, settings, settings.pop("model", None), settings.pop("tp", None), settings.pop("pp", None))
