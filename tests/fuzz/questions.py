"""What people bring beside a model: devices of their own, logs of vLLM, and adapters."""

from __future__ import annotations

import copy
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from calculator.engines.memory import read_log
from calculator.engines.memory.fit import fit
from calculator.estimation import estimate
from calculator.hardware import device
from calculator.model import Model
from calculator.record.workload import Workload
from calculator.search.fewest import fewest
from calculator.search.map import map_rows
from calculator.serving.serve import serve
from calculator.sources.adapters.build import adapted
from calculator.sources.load import load_model
from calculator.training import train

from .configs import STRANGE, mutated

NUMBERS: tuple[Any, ...] = (
    0,
    -1,
    1,
    0.5,
    1e-9,
    80,
    1e9,
    1e12,
    1e308,
    math.inf,
    math.nan,
    10**400,
    True,
    None,
    "80",
    [],
    {},
    "\x1b[2J",
)
BASES = ("Qwen/Qwen2.5-7B", "openai/gpt-oss-20b", "state-spaces/mamba-370m-hf", "openai-community/gpt2")


@cache
def base(name: str) -> Model:
    return load_model(name)


def own_devices(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Descriptions of devices, with one to three fields of any kind."""
    rng = random.Random(seed)
    whole: dict[str, Any] = {"name": "mine", "memory_gib": 80, "bandwidth_gb_s": 3350, "peak_tflops": {"bf16": 989}}
    more = ("link_gb_s", "domain", "node", "network_gbit_s", "host_link_gb_s", "units", "watts", "price", "id")
    for _ in range(count):
        made = copy.deepcopy(whole) | {name: rng.choice(NUMBERS) for name in rng.sample(more, rng.randint(0, 3))}
        for _ in range(rng.randint(0, 2)):
            name = rng.choice(list(whole))
            if name == "peak_tflops" and rng.random() < 0.7:
                made[name] = {rng.choice(("bf16", "fp8", "fp4", "int8", "fp32", "x", "")): rng.choice(NUMBERS)}
            elif rng.random() < 0.1:
                made.pop(name, None)
            else:
                made[name] = rng.choice(NUMBERS)
        yield made


def run_device(described: Mapping[str, Any]) -> None:
    """All that is asked of a device; its numbers have sense."""
    card, model = device(described), base(BASES[len(json.dumps(described, default=str)) % 2])
    found = fit(model, card, max_model_len=4096)
    assert found.short_by >= 0
    map_rows(found)
    fewest(model, card, max_model_len=4096)
    s = serve(model, device=card, prompt_length=512, output_length=64)
    t = train(model, device=card, sequence_length=512)
    for amount in (
        s.ttft.expected,
        s.tpot.lower_bound,
        s.per_user,
        t.peak,
        t.step_time.expected if t.step_time else None,
    ):
        assert amount is None or (math.isfinite(amount) and amount >= 0), amount
    for cost in (s.cost_per_million_tokens, t.cost(1e9)):
        assert cost is None or cost >= 0, cost


LINES = (
    "vLLM API server version {}", "non-default args: {{'model': '{}', 'block_size': {}}}", "tensor_parallel_size={}",
    "pipeline_parallel_size={}, max_seq_len={}", "gpu_memory_utilization={}", "max_num_seqs={}", "-tp {}",
    "Model loading took {} GiB", "Loading model weights took {} GB", "PyTorch activation peak memory takes {} GiB",
    "non_torch_memory takes {} GiB", "Available KV cache memory: {} GiB", "GPU KV cache size: {} tokens",
    "# GPU blocks: {}, # CPU blocks: {}", "Maximum concurrency for {} tokens per request: {}x",
    "Graph capturing finished in {} secs, took {} GiB", "total_gpu_memory ({}GiB)", "kv_cache_dtype=fp8{}",
    "Free memory on device ({}/{} GiB)", "decode_context_parallel_size={}", "--max-num-batched-tokens {}",
)  # fmt: skip
PRINTED: tuple[str, ...] = (
    "0",
    "1",
    "-1",
    "4",
    "14.25",
    "0.9",
    "131,072",
    "0.11.0",
    ",",
    ".",
    "",
    "1.2.3",
    "1e400",
    "nan",
    "9" * 400,
)
PRINTED += ("9" * 100_000, "," * 10_000, "1," * 10_000, "x" * 10_000, "\x1b[2J", "é", "'")


def logs(count: int, seed: int) -> Iterator[str]:
    """Lines that vLLM prints, with anything where the numbers stand."""
    rng = random.Random(seed)
    for _ in range(count):
        lines = [rng.choice(LINES) for _ in range(rng.randint(1, 8))]
        if rng.random() < 0.8:
            lines.append("Model loading took {} GiB")
        likely = PRINTED[:8] if rng.random() < 0.6 else PRINTED
        yield "\n".join(line.format(*(rng.choice(likely) for _ in range(2))) for line in lines)


def run_log(text: str) -> None:
    """The log beside what is predicted."""
    reading = read_log(text)
    name = BASES[len(text) % len(BASES)]
    rows = reading.rows(reading.predicted(base(name), "h100-sxm-80gb"))
    for row in rows:
        assert row["error"] is None or isinstance(row["error"], float), row


PATTERNS = (r"((.|\w))+Z", "(.?){30}", "(a*)*b", "(", "[", "\\", "(?<=x)", r"\1", "x" * 3000, ".*", "", "q_proj", "é")


def adapters(count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Settings of adapters, with fields of any kind and patterns of any length."""
    rng = random.Random(seed)
    fields: tuple[str, ...] = (
        "r",
        "target_modules",
        "rank_pattern",
        "exclude_modules",
        "modules_to_save",
        "layers_to_transform",
    )
    fields += ("layers_pattern", "use_dora", "bias", "num_virtual_tokens", "init_r", "target_parameters", "peft_type")
    fields += ("feedforward_modules", "token_dim", "num_layers", "prefix_projection", "trainable_token_indices")
    for _ in range(count):
        kind = rng.choice(("LORA", "LORA", "LORA", "IA3", "PROMPT_TUNING", "PREFIX_TUNING", "ADALORA", "LOHA"))
        made: dict[str, Any] = {"peft_type": kind, "r": 8, "num_virtual_tokens": 20}
        made["target_modules"] = rng.choice((["q_proj", "v_proj"], "all-linear", ["c_attn"], ["in_proj"], None))
        for _ in range(rng.randint(0, 3)):
            name, pattern = rng.choice(fields), rng.choice(PATTERNS)
            made[name] = rng.choice((pattern, [pattern], {pattern: 4}, {"q_proj": rng.choice(NUMBERS)}))
            if rng.random() < 0.4:
                made[name] = mutated(rng, made[name]) if rng.random() < 0.5 else copy.deepcopy(rng.choice(STRANGE))
        yield made


def run_adapter(raw: Mapping[str, Any]) -> None:
    """The adapter beside its base, and what both take."""
    from calculator.sources.adapters.settings import is_adapter

    if not is_adapter(raw):
        return
    under = base(BASES[len(json.dumps(raw, default=str)) % len(BASES)])
    both = adapted(under, raw)
    assert both.parameters.total >= under.parameters.total
    for mode in ("prefill", "decode", "pretraining"):
        assert estimate(both, Workload(mode=mode)).memory.total > 0


KINDS: Mapping[str, tuple[Callable[[int, int], Iterator[Any]], Callable[[Any], None]]] = {
    "devices": (own_devices, run_device),
    "logs": (logs, run_log),
    "adapters": (adapters, run_adapter),
}
