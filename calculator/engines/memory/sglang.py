"""SGLang: what a fraction of the device leaves beside the weights is the cache's pool."""

from __future__ import annotations

from calculator.engines.engine import Layers, Settings
from calculator.engines.memory.ask import Ask, Budget, Item, tightest
from calculator.engines.memory.facts import facts
from calculator.engines.memory.pages import Ruled
from calculator.engines.memory.shares import Stage
from calculator.engines.sglang import MAMBA_SHARE, page_of, slot_bytes, slots
from calculator.numbers.units import GIB, MIB
from calculator.record.caches import State


def budget(ask: Ask) -> Budget:
    """The stage whose pool holds the fewest tokens."""
    return tightest(_of_stage(ask, stage) for stage in ask.stages)


def _of_stage(ask: Ask, stage: Stage) -> Budget:
    rules = facts()["sglang"]
    context, context_source = rules["context_mib"]
    talk, talk_source = _communication(ask)
    free = ask.visible - context * MIB - talk
    fraction, said = static_fraction(ask)
    reserve = free - round(free * fraction)
    weights = ask.weights(stage)
    items: tuple[Item, ...] = (
        Item("weights", "Weights", weights, "the checkpoint's tensors, divided over the tensor group", "exact"),
        Item("activations", "Left for activations and CUDA graphs", reserve, f"{rules['source']}: {said}"),
        Item("overhead", "CUDA context", context * MIB, context_source, "logged"),
    )
    if talk:
        items = (*items, Item("overhead", "Communication (NCCL, all-reduce buffers)", talk, talk_source, "logged"))
    cache = _cache(tuple(ask.kept(stage)), Settings(block_size=ask.get("page_size"), cache=ask.kv_dtype))
    pool = ask.get("cache_pool") or round(free * fraction) - weights
    if ask.get("max_total_tokens") and cache.row:
        pool = min(pool, cache.holding(ask.get("max_total_tokens")))
    note = f"SGLang 0.5: mem_fraction_static {fraction:.3f}. {said}"
    defaults = {"mem_fraction_static": fraction, "chunked_prefill_size": chunk(ask), "cuda_graph_max_bs": graphs(ask)}
    return Budget(ask.visible, items, pool, cache, ask.get("max_running_requests"), (note,), defaults=defaults)


def _communication(ask: Ask) -> tuple[int, str]:
    """Bytes that the devices of a group hold to talk to one another before the weights are loaded."""
    rule = facts()["sglang"]["communication_gib"]
    if ask.layout.tp * ask.layout.pp == 1:
        return 0, ""
    link = ask.device.link_type or ""
    kind = "other" if "bridge" in link else next((k for k in ("NVLink", "xGMI") if link.startswith(k)), "other")
    return round(rule[kind] * GIB), str(rule["source"])


def _cache(kinds: tuple[Layers, ...], settings: Settings) -> Ruled:
    """Slots; states have whole slots of their own of a fixed part of the pool, tokens have the rest."""
    row = slot_bytes(kinds, settings)
    state = sum(int(k.kept.widened) * k.count for k in kinds if isinstance(k.kept, State)) if row else 0
    return Ruled(kinds, slots, settings, row, page_of(kinds, settings), MAMBA_SHARE, state)


def _tier(ask: Ask) -> tuple[int, int, int, int]:
    tiers = facts()["sglang"]["tiers"]
    found = next(tier for tier in tiers if ask.visible < tier[0] * GIB)
    return (found[0], found[1], found[2], found[3])


def chunk(ask: Ask) -> int:
    """--chunked-prefill-size."""
    return int(ask.get("chunked_prefill_size", "max_num_batched_tokens", default=_tier(ask)[1]))


def graphs(ask: Ask) -> int:
    """--cuda-graph-max-bs."""
    tier = _tier(ask)
    return int(ask.get("cuda_graph_max_bs", default=tier[2] if ask.layout.tp < 4 else tier[3]))


def static_fraction(ask: Ask) -> tuple[float, str]:
    """--mem-fraction-static, or SGLang's default: what its reserve leaves of the device."""
    given = ask.get("mem_fraction_static", "gpu_memory_utilization")
    if given:
        return float(given), "as given"
    reserve = 512 + max(chunk(ask), 2048) * 1.5 + graphs(ask) * 2 + ask.layout.tp * ask.layout.pp / 8 * 1024
    words = f"512 + 1.5 × {chunk(ask):,} tokens + 2 × {graphs(ask)} sequences + 128 a device"
    if ask.layout.attention_dp > 1:
        reserve += graphs(ask) * ask.layout.attention_dp * (3 if graphs(ask) <= 300 else 4.5)
        words += " + the attention groups'"
    total = ask.visible / MIB
    if total > 60 * 1024:
        reserve = max(reserve, 10 * 1024)
    return round((total - reserve) / total, 3), f"{words} = {reserve:,.0f} MiB are reserved"
