"""A vLLM log read back: what it printed about memory, beside what the rules here predict, line by line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from calculator.engines.memory.fit import Fit, fit
from calculator.errors import WorkloadError, needs
from calculator.model import Model
from calculator.numbers.units import GIB

NUMBER = r"(-?\d[\d,]{0,24}(?:\.\d{1,24})?)"  # bounded: digits without end would be tried in every way
SHARE = r"(\d{1,9}(?:\.\d{1,24})?)"
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
    "concurrency": (rf"Maximum concurrency for [\d,]{{1,20}} tokens per request:\s*{NUMBER}x",),
    "graphs": (rf"Graph capturing finished in [\d.]{{1,20}} secs, took {NUMBER}\s*GiB",),
    "total": (
        rf"total_gpu_memory \({NUMBER}\s*GiB\)",
        rf"total_gpu_memory\s+{NUMBER}\s*GiB",
        rf"Free memory on device \(-?[\d.]{{1,20}}/{NUMBER}\s*GiB\)",
    ),
}
SAID: Mapping[str, tuple[tuple[str, ...], Callable[[str], Any]]] = {
    "version": (
        (
            r"vLLM API server version v?(\d{1,6}\.\d{1,6}(?:\.\d{1,6})?)",
            r"LLM engine \(v(\d{1,6}\.\d{1,6}(?:\.\d{1,6})?)",
        ),
        str,
    ),
    "model": (
        (r"config:? model='([^']{1,200})'", r"'model(?:_tag)?': '([^']{1,200})'", r"vllm serve ([\w./-]{1,200})"),
        str,
    ),
    "tp": (
        (
            r"tensor_parallel_size'?[=:]\s*(\d{1,12})",
            r"--tensor[-_]parallel[-_]size[= ](\d{1,12})",
            r"(?:^|\s)-tp[= ](\d{1,12})",
        ),
        int,
    ),
    "pp": ((r"pipeline_parallel_size'?[=:]\s*(\d{1,12})", r"--pipeline[-_]parallel[-_]size[= ](\d{1,12})"), int),
    "max_model_len": (
        (
            r"max_(?:seq|model)_len'?[=:]\s*(\d{1,12})",
            r"--max[-_]model[-_]len[= ](\d{1,12})",
            r"Maximum concurrency for (\d[\d,]{0,15}) tokens",
        ),
        lambda said: int(said.replace(",", "")),
    ),
    "gpu_memory_utilization": (
        (
            rf"gpu_memory_utilization'?[=:]\s*{SHARE}",
            rf"--gpu[-_]memory[-_]utilization[= ]{SHARE}",
            rf"gpu_memory_utilization \({SHARE}\)",
            rf"gpu_memory_utilization\s+{SHARE}",
        ),
        float,
    ),
    "max_num_seqs": ((r"max_num_seqs'?[=:]\s*(\d{1,12})", r"--max[-_]num[-_]seqs[= ](\d{1,12})"), int),
    "max_num_batched_tokens": (
        (r"max_num_batched_tokens'?[=:]\s*(\d{1,12})", r"--max[-_]num[-_]batched[-_]tokens[= ](\d{1,12})"),
        int,
    ),
    "block_size": ((r"'block_size':\s*(\d{1,12})", r"--block[-_]size[= ](\d{1,12})"), int),
    "kv_dtype": (
        (r"kv_cache_dtype'?[=:]\s*'?(fp8\w{0,20})", r"--kv[-_]cache[-_]dtype[= ](fp8\w{0,20})"),
        lambda _: "fp8",
    ),
    "decode_context_parallel_size": (
        (r"decode_context_parallel_size'?[=:]\s*(\d{1,12})", r"--decode-context-parallel-size[= ](\d{1,12})"),
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
    needs("read_log", text, str)
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
