"""vLLM: gpu_memory_utilization of the device, less the weights and what a profile run needs, is the cache's pool
(vllm/v1/worker/gpu_worker.py, determine_available_memory; before 0.8 vllm/worker/worker.py)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from math import floor

from calculator.engines.engine import Settings, up
from calculator.engines.memory.allocator import rounding
from calculator.engines.memory.ask import Ask, Budget, Item
from calculator.engines.memory.facts import facts, hopper_or_later, large_card
from calculator.engines.memory.shares import Stage, replica_share, weights_listed
from calculator.engines.paged import Blocks, blocks
from calculator.engines.vllm import full_pages, packed, page_of
from calculator.engines.vllm_compressed import Tuples, tuples
from calculator.numbers.units import GIB, MIB
from calculator.record.caches import Compressed
from calculator.record.operation import Operation

LATEST = (0, 11)
BY_SEQUENCES = (0, 21)  # the tokens of a pool are counted by sequences of max_model_len, and graphs are estimated
CACHED_STATES = 2  # vllm/v1/kv_cache_interface.py, MambaSpec.max_memory_usage_bytes, mamba_cache_mode "align"
SINCE_BASELINE = (0, 6, 5)  # memory outside torch is counted from where the engine starts (#10511), no CUDA context
CHUNKED_ABOVE = 32768  # tokens of max_model_len above which vLLM before 0.8 prefills in chunks


def budget(ask: Ask) -> Budget:
    """The stage whose pool holds the fewest tokens."""
    found = [_of_stage(ask, stage) for stage in ask.stages]
    return min(found, key=lambda b: b.cache.tokens(b.pool))


def _of_stage(ask: Ask, stage: Stage) -> Budget:
    one = (ask.version or LATEST) >= (0, 8)
    capacity = floor(ask.visible * ask.get("gpu_memory_utilization", default=_fraction(ask)))
    batched, sequences = batched_tokens(ask), ask.get("max_num_seqs", default=_sequences(ask))
    cache = _cache(ask, stage, batched)
    non_torch, source = _non_torch(ask, one)
    items = (
        *_weights(ask, stage),
        _activations(ask, stage, batched, sequences),
        Item("overhead", "Outside torch (NCCL, kernels)", non_torch, source, "logged"),
    )
    pool = capacity - sum(item.size for item in items)
    if ask.get("kv_cache_memory_bytes", "cache_pool"):
        pool = ask.get("kv_cache_memory_bytes", "cache_pool")
    if ask.get("num_gpu_blocks_override"):
        pool = ask.get("num_gpu_blocks_override") * cache.size
    notes = [
        f"Rules of vLLM {'.'.join(map(str, min(ask.version or LATEST, LATEST)))}: a profile run of {batched:,} tokens "
        f"that samples for {min(sequences, batched):,} sequences."
    ]
    if (ask.version or LATEST) >= BY_SEQUENCES:
        notes.append(
            "Since 0.21 vLLM takes an estimate of the CUDA graphs from the pool as well; it is not counted here."
        )
    elif not ask.get("enforce_eager", default=False):
        low, high = facts()["vllm"]["cuda_graphs_gib"]["interval"]
        notes.append(
            f"Capturing CUDA graphs changes the free memory by {low} to {high} GiB in the logs, outside what "
            "gpu_memory_utilization counts; leave as much of the device free."
        )
    defaults = {"max_num_batched_tokens": batched, "max_num_seqs": sequences, "block_size": cache.block}
    return Budget(capacity, items, pool, cache, sequences, tuple(notes), defaults=defaults)


def _fraction(ask: Ask) -> float:
    """The default of --gpu-memory-utilization (vllm/config/cache.py)."""
    return 0.92 if (ask.version or LATEST) >= (0, 25) else 0.9


def batched_tokens(ask: Ask) -> int:
    """--max-num-batched-tokens, or the server's default (vllm/engine/arg_utils.py)."""
    given = ask.get("max_num_batched_tokens")
    if given:
        return int(given)
    if (ask.version or LATEST) < (0, 8):
        return 2048 if ask.longest > CHUNKED_ABOVE else max(ask.longest, 2048)
    return 8192 if large_card(ask.device) else 2048


def _sequences(ask: Ask) -> int:
    return 1024 if (ask.version or LATEST) >= (0, 8) and large_card(ask.device) else 256


def _cache(ask: Ask, stage: Stage, batched: int) -> Blocks | Tuples:
    kinds = ask.kept(stage)
    hybrid = not ask.get("disable_hybrid_kv_cache_manager", default=False)
    block = ask.get("block_size")
    if hybrid and any(isinstance(k.kept, Compressed) for k in kinds):
        return tuples(kinds, Settings(block_size=block, cache=ask.kv_dtype), batched, ask.longest)
    if not hybrid:
        full_pages(kinds, 1, Settings(cache=ask.kv_dtype))  # says where vLLM cannot do without it
    kinds, _ = packed(kinds, Settings(cache=ask.kv_dtype))
    found = blocks(
        kinds,
        block or page_of(kinds),
        batched,
        hybrid=hybrid,
        ranks=ask.get("decode_context_parallel_size", default=1),
    )
    if ask.get("enable_prefix_caching", default=False):
        found = replace(found, groups=tuple(replace(group, states=CACHED_STATES) for group in found.groups))
    return replace(found, longest=ask.longest) if (ask.version or LATEST) >= BY_SEQUENCES else found


def _weights(ask: Ask, stage: Stage) -> list[Item]:
    listed = weights_listed(ask.model, ask.dtype, ask.kv_dtype)
    found = [
        Item(
            "weights",
            "Weights",
            ask.weights(stage, replica_share),
            "the checkpoint's tensors, divided as vLLM does",
            "exact",
        )
    ]
    key = ("rounding", stage, ask.layout)
    rounded = listed.once(key, lambda ops: rounding(ops, stage, ask.layout, ask.path, ask.width))
    if rounded:
        source = "c10/cuda/CUDACachingAllocator.cpp: tensors of 10 MiB and more get whole 2 MiB"
        found.append(Item("weights", "Rounding of torch's allocator", rounded, source))
    table = rotary_table(ask, listed)
    if table:
        source = "vllm/model_executor/layers/rotary_embedding: cosines and sines of every position, once"
        found.append(Item("weights", "Rotary table", table, source))
    absorbed = _absorbed(ask, stage, listed)
    if absorbed:
        source = "vllm/v1/attention/backends/mla/common.py: the latent's projections once more, in 16 bit"
        found.append(Item("weights", "Absorbed latent projections", absorbed, source))
    padding, source = _padding(ask, stage, listed)
    if padding:
        found.append(Item("weights", "Padding of mxfp4 experts", padding, source, "logged"))
    return found


def rotary_table(ask: Ask, listed: Iterable[Operation]) -> int:
    """Bytes of the table of cosines and sines: positions × rotated features × element."""
    if not any(op.name.endswith(".rotary") for op in listed):
        return 0
    stated = ask.model.stated
    width = stated("qk_rope_head_dim") or stated("head_dim")
    if width is None:
        width = ask.model.hidden_size // int(stated("num_attention_heads") or 1)
    share = min(stated("partial_rotary_factor", "rotary_pct") or 1, 1)
    return int((ask.model.context_length or 0) * int(width * share) * ask.width)


def _absorbed(ask: Ask, stage: Stage, listed: Iterable[Operation]) -> int:
    """The up-projection of a latent as two matrices that queries and outputs are multiplied with."""
    devices = ask.layout.tp // ask.layout.attention_dp
    return sum(
        round(op.parameters * op.split.share(devices) * 2) * sum(stage.start <= i < stage.stop for i in op.span.layers)
        for op in listed
        if op.name.endswith("kv_b_proj") and op.span.stack == ask.path
    )


def _padding(ask: Ask, stage: Stage, listed: Iterable[Operation]) -> tuple[int, str]:
    rules = facts()["vllm"]["mxfp4"]
    triton = (ask.version or LATEST) >= (0, 11) and hopper_or_later(ask.device)
    total = 0.0
    for op in listed:
        if op.component != "experts" or op.step.format != "mxfp4" or not op.weights:
            continue
        held = op.weight_bytes * op.stored / op.count * sum(stage.start <= i < stage.stop for i in op.span.layers)
        held /= max(ask.layout.tp, ask.layout.ep)
        hidden = ask.model.hidden_size
        inner = int(op.weights[0].shape[-1]) if op.name.endswith("down_proj") else int(op.weights[0].shape[-2]) // 2
        part = up(inner, max(1, ask.layout.tp // ask.layout.ep))
        if triton:
            multiple = rules["triton_multiple"][0]
            total += held * 16 / 17 * (up(hidden, multiple) * multiple / hidden - 1)
        else:
            wide, deep = rules["marlin_multiple"][0]
            total += held * (up(part, wide) * wide * up(hidden, deep) * deep / (part * hidden) - 1)
    return round(total), rules["triton_multiple" if triton else "marlin_multiple"][1]


def _activations(ask: Ask, stage: Stage, batched: int, sequences: int) -> Item:
    rules = facts()["vllm"]
    workspace = rules["cublas_workspace_mib"]["hopper" if hopper_or_later(ask.device) else "other"] * MIB
    layers = ask.peak(batched) + rules["caller_copies"][0] * ask.hidden(batched)
    asked = min(sequences, batched)
    sampling = 0
    if stage.last and ask.model.text.causal:
        sampling = asked * ask.model.vocabulary_size * rules["sampler_bytes"][0] + ask.hidden(batched + asked)
    size = max(layers, sampling) + workspace
    if sampling > layers:
        named = f"Profile run: sampling {asked:,} of {ask.model.vocabulary_size:,} logits"
        return Item("activations", named, size, rules["sampler_bytes"][1])
    return Item("activations", f"Profile run: {batched:,} tokens through a layer", size, rules["caller_copies"][1])


def _non_torch(ask: Ask, one: bool) -> tuple[int, str]:
    version = ask.version or LATEST
    since = "v0" if version >= (0, 7) else "v0 of 0.6.5" if version >= SINCE_BASELINE else "v0 before 0.6.5"
    rule = facts()["vllm"]["non_torch_gib"]["v1" if one else since]
    return round(rule["1" if ask.layout.tp * ask.layout.pp == 1 else "2"] * GIB), rule["source"]
