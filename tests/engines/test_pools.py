"""The pool of `fit` and the table of engines are one arithmetic, for every bundled model and engine."""

from __future__ import annotations

import numpy as np
import pytest

import calculator
from calculator import Layout, Workload, estimate, fit
from calculator.engines.memory.allocator import unsplit
from calculator.engines.memory.pages import Ruled
from calculator.engines.reserved import reserved
from calculator.errors import WorkloadError
from calculator.families import FAMILIES
from calculator.sources import catalogue

GIB, MIB = 2**30, 2**20
H200, B300 = "h200-sxm-141gb", "b300-sxm-288gb"
FLASH = "deepseek-ai/DeepSeek-V4-Flash"
NAMES = [entry.id for entry in catalogue.entries() if entry.config.get("model_type") in FAMILIES]
ACROSS = {"t5", "mt5", "switch_transformers", "bart", "whisper"}


@pytest.mark.parametrize("name", NAMES)
def test_a_sequence_takes_of_the_pool_what_the_table_of_engines_says(name: str) -> None:
    model = calculator.load_model(name)
    length = min(4000, (model.context_length or 4096) - 3)
    found = {r.engine: r for r in reserved(model, Workload(mode="decode", sequence_length=length))}
    for engine in ("vllm", "sglang", "tensorrt-llm", "llama.cpp"):
        if found[engine].bytes is None:
            with pytest.raises(WorkloadError, match=r"'s cache of .* is not known: How"):
                fit(model, H200, engine, max_model_len=length)
            continue
        assert fit(model, H200, engine, max_model_len=length).needed == found[engine].bytes
    kept = estimate(model, mode="decode", sequence_length=length).memory.kv_cache
    assert fit(model, H200, "transformers", max_model_len=length).needed == kept


def test_only_sglang_and_an_encoder_s_keys_and_values_have_no_rule() -> None:
    without = set()
    for entry in catalogue.entries():
        if entry.config.get("model_type") in FAMILIES:
            model = calculator.load_model(entry.id)
            for r in reserved(model, Workload(mode="decode", sequence_length=256)):
                if r.bytes is None and r.engine in ("vllm", "sglang", "tensorrt-llm", "llama.cpp"):
                    without.add((r.engine, entry.config["model_type"]))
    assert without == {("sglang", kind) for kind in ACROSS}


def test_vllm_refuses_and_fits_deepseek_v4_where_the_log_does() -> None:
    """vllm-project/vllm#44376: 0.22 on two GH200 of 96 GB, LLM class (16,384 tokens a step), fp8, blocks of 256. 30,000
    tokens need 6.66 GiB, and 13,528 are the most that 5.44 GiB hold."""
    model = calculator.load_model(FLASH)
    options = {"kv_dtype": "fp8", "block_size": 256, "max_num_batched_tokens": 16384}
    found = fit(model, H200, layout=Layout(tp=2), max_model_len=30000, cache_pool=round(5.44 * GIB), **options)
    assert found.needed == 6800 * 22 * 47808
    assert round(found.needed / GIB, 2) == 6.66
    assert not found.fits
    assert found.short_by == found.needed - round(5.44 * GIB)
    printed = found.again(max_model_len=13528)
    assert round(printed.needed / GIB, 2) == 5.44
    assert found.again(max_model_len=13569).needed > 5.445 * GIB


def test_vllm_counts_the_tokens_of_deepseek_v4_by_the_longest_sequence() -> None:
    model = calculator.load_model(FLASH)
    found = fit(model, B300, layout=Layout(tp=8), max_model_len=2**20, kv_dtype="fp8", cache_pool=100 * GIB)
    pages = 4096 + 2 * 131 + 2051 + 1041
    assert found.budget.defaults["block_size"] == 256
    assert found.cache_tokens == 100 * GIB // (22 * 47808) * 2**20 // pages
    assert found.sequences == 100 * GIB // (22 * 47808 * pages)
    lengths = np.array([[1000, 2**20], [30000, 1000]])
    needed = found.budget.cache.needed(lengths)
    assert needed.tolist() == [[int(found.budget.cache.needed(int(n))) for n in row] for row in lengths]


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm", "llama.cpp", "transformers"])
@pytest.mark.parametrize("pp", [1, 2, 43])
def test_every_engine_has_a_pool_for_deepseek_v4(engine: str, pp: int) -> None:
    found = fit(calculator.load_model(FLASH), B300, engine, Layout(pp=pp), max_model_len=65536)
    assert found.fits
    assert found.cache_tokens > 65536
    assert found.sequences_at(np.array([1000, 65536]))[1] == found.sequences
    assert found.budget.cache.needed(found.longest_context) <= found.cache_pool


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"block_size": 64}, "in pages of whole multiples of 128 tokens, not of 64"),
        ({"disable_hybrid_kv_cache_manager": True}, "compressed entries without its hybrid cache manager is not known"),
    ],
)
def test_what_vllm_cannot_do_with_a_compressed_past_is_said(setting: dict[str, object], said: str) -> None:
    with pytest.raises(WorkloadError, match=f"vLLM's cache of {FLASH} is not known: .*{said}"):
        fit(calculator.load_model(FLASH), B300, max_model_len=4096, **setting)


@pytest.mark.parametrize(("kv_dtype", "row", "index"), [("fp16", 1024, 256), ("q8_0", 544, 136)])
def test_llama_cpp_s_cells_of_a_compressed_past(kv_dtype: str, row: int, index: int) -> None:
    """43 windows of 128 and a micro-batch; 2,048 entries of 21 layers and their indexers, 64 (padded to 256) of 20; of
    states 8 tokens × 2 × 2 vectors, and 128 × 2, in 32 bit (llama-kv-cache-dsv4.cpp)."""
    model = calculator.load_model(FLASH)
    states = 21 * 8 * 4 * (512 + 128) * 4 + 20 * 128 * 2 * 512 * 4
    entries = 21 * 2048 * (row + index) + 20 * 256 * row
    found = fit(model, H200, "llama.cpp", max_model_len=8000, kv_dtype=kv_dtype)
    assert found.needed == 43 * 768 * row + entries + states


@pytest.mark.parametrize(("name", "layers"), [("deepseek-ai/DeepSeek-V3.2", 61), ("zai-org/GLM-5.2", 78)])
def test_llama_cpp_keeps_an_indexer_s_keys_in_every_layer(name: str, layers: int) -> None:
    """llama-kv-cache-dsa.cpp: a second cache of as many cells, 128 elements in the type of the keys."""
    found = fit(calculator.load_model(name), H200, "llama.cpp", max_model_len=4096)
    assert found.needed == layers * 4096 * 2 * (576 + 128)


def test_an_encoder_that_reads_any_number_of_tokens_reads_the_longest() -> None:
    """T5-small: 6 layers of 2 × 512 elements in 16 bit, for the decoder's tokens and again for the encoder's."""
    model = calculator.load_model("google-t5/t5-small")
    both = 6 * 2 * 512 * 2
    assert fit(model, H200, "transformers", max_model_len=400).needed == 2 * 400 * both
    assert fit(model, H200, "tensorrt-llm", max_model_len=400).needed == 2 * 416 * both
    assert fit(model, H200, "llama.cpp", max_model_len=400, dtype="fp16").needed == 512 * both


def test_sglang_gives_states_nine_nineteenths_of_the_pool() -> None:
    """--mamba-full-memory-ratio 0.9: what states have, against what tokens have."""
    model = calculator.load_model("Qwen/Qwen3-Next-80B-A3B-Instruct")
    found = fit(model, H200, "sglang", Layout(tp=2), max_model_len=4096, cache_pool=19 * 10**9)
    slot = 36 * (16 * 128 * 128 * 4 + 3 * 4096 * 2)
    assert found.cache_tokens == (19 * 10**9 - 9 * 10**9 // slot * slot) // (12 * 1024)
    assert fit(model, H200, "sglang", Layout(tp=2), max_model_len=4096, max_total_tokens=54321).cache_tokens == 54321


@pytest.mark.parametrize(
    ("name", "slot", "slots", "tokens", "row"),
    [
        # sgl-project/sglang#18040: "max_mamba_cache_size: 38, conv_state size: 0.03GB, ssm_state size: 2.74GB",
        # "#tokens: 399740"; and with a slot for padding more.
        ("ibm-granite/granite-4.0-h-micro-base", 72.90, 38, 399740, 8192),
        # SGLang 0.5.18, Qwen3.8-27B of the same shapes: "mamba_cache_per_req=146.81 MB", 124 slots and one for padding.
        ("Qwen/Qwen3.5-27B", 146.81, 125, 330323, 65536),
    ],
)
def test_sglang_s_states_are_32_bit_in_whole_slots(name: str, slot: float, slots: int, tokens: int, row: int) -> None:
    model = calculator.load_model(name)
    cache = fit(model, B300, "sglang", max_model_len=4096).budget.cache
    assert isinstance(cache, Ruled)
    assert round(cache.slot / MIB, 2) == slot
    pool = tokens * row + slots * cache.slot
    assert cache.tokens(cache.holding(tokens)) == tokens
    assert fit(model, B300, "sglang", max_model_len=4096, cache_pool=pool).cache_tokens == tokens


@pytest.mark.parametrize(
    ("size", "counted"),
    [
        (35 * MIB, MIB),  # query, keys and values of Qwen2.5-14B on two devices
        (67 * MIB + MIB // 2, MIB // 2),
        (129 * MIB, MIB),
        (135 * MIB - 1, 0),  # 1 MiB and a byte are split off
        (50 * MIB, 0),
        (9 * MIB, 0),  # shares a buffer of 20 MiB with others
    ],
)
def test_what_torch_counts_beyond_a_tensor(size: int, counted: int) -> None:
    assert unsplit(size) == counted


@pytest.mark.parametrize(
    ("name", "tp", "layer", "layers", "once"),
    [
        # Halves of query, keys and values 35 MiB, output 25, gate and up 135, down 67.5; of the embedding 742.5.
        ("Qwen/Qwen2.5-14B", 2, 3.5, 48, 0),
        # 15.75, 12.25, 129.5 and 64.75 MiB; 519.75 of the embedding and of the head.
        ("Qwen/Qwen2-7B-Instruct", 2, 0.75, 28, 0.5),
        # 50, 40, 250 and 125 MiB; 741.875 of the embedding and of the head.
        ("Qwen/Qwen3-32B", 2, 1, 64, 0.25),
        ("meta-llama/Llama-3.1-8B", 1, 0, 32, 0),
    ],
)
def test_vllm_s_weights_are_rounded_as_torch_does(name: str, tp: int, layer: float, layers: int, once: float) -> None:
    found = fit(calculator.load_model(name), H200, layout=Layout(tp=tp))
    rounded = [item.size for item in found.budget.items if item.name == "Rounding of torch's allocator"]
    assert sum(rounded) == (layer * layers + once) * MIB


def test_a_state_takes_two_pages_with_prefix_caching() -> None:
    """noonghunna/club-3090#612, vLLM 0.24: 299 blocks; 63 pages of the past and two of each of three groups."""
    model = calculator.load_model("Qwen/Qwen3.5-35B-A3B")
    options = {"max_model_len": 131072, "kv_dtype": "fp8", "version": "0.24", "cache_pool": 299 * 10 * 2096 * 1024}
    assert fit(model, "rtx-5090", enable_prefix_caching=True, **options).cache_tokens == 567978
    assert fit(model, "rtx-5090", **options).cache_tokens == 299 * 131072 // 66


def test_sglang_s_tensor_group_talks_through_memory_of_its_own() -> None:
    model = calculator.load_model("Qwen/Qwen3-8B")
    one, two = (fit(model, "h100-sxm-80gb", "sglang", Layout(tp=tp)) for tp in (1, 2))
    pcie = fit(model, "rtx-4090", "sglang", Layout(tp=2))
    assert two.overhead - one.overhead == round(1.25 * GIB)
    assert pcie.overhead - fit(model, "rtx-4090", "sglang", max_model_len=4096).overhead == round(0.05 * GIB)
    assert two.weights + two.activations + two.overhead + two.cache_pool == two.capacity


def test_vllm_s_replicas_hold_all_but_the_experts_whole() -> None:
    """A log of Qwen3-30B-A3B, --data-parallel-size 2 --enable-expert-parallel, prints 29.88 GiB a device."""
    model = calculator.load_model("Qwen/Qwen3-30B-A3B")
    layout = Layout(tp=2, attention_dp=2, ep=2)
    experts = 128 * 48 * 3 * 768 * 2048 * 2
    one, two = fit(model, "h100-sxm-80gb", max_model_len=4096), fit(model, "h100-sxm-80gb", "vllm", layout)
    assert stored(two) == stored(one) - experts // 2
    assert abs(two.weights / GIB - 29.88) < 0.005
    assert stored(fit(model, "h100-sxm-80gb", "sglang", layout)) < stored(two)


def stored(found: calculator.Fit) -> int:
    return sum(item.size for item in found.budget.items if item.name == "Weights")


@pytest.mark.parametrize(
    ("version", "fraction", "outside"),
    [
        ("0.6.4", 0.9, 0.35),
        ("0.6.4.post1", 0.9, 0.35),
        ("0.6.6", 0.9, 0.11),
        ("v0.7.3", 0.9, 0.05),
        ("0.26", 0.92, 0.135),
    ],
)
def test_what_vllm_s_versions_changed(version: str, fraction: float, outside: float) -> None:
    found = fit(calculator.load_model("Qwen/Qwen3-8B"), "rtx-4090", version=version, max_model_len=4096)
    whole = fit(calculator.load_model("Qwen/Qwen3-8B"), "rtx-4090", max_model_len=4096, gpu_memory_utilization=1.0)
    assert found.capacity == int(whole.capacity * fraction)
    assert found.overhead == round(outside * GIB)
