"""A prefill that goes on from tokens in the cache: chunks of a prompt, a shared prefix, drafted tokens to verify."""

from __future__ import annotations

import pytest

from calculator import CalculatorError, Workload, estimate, load_model

CHUNKS = (1000, 24, 2000, 1072)  # add up to 4,096; some end inside of windows, chunks and blocks
MODELS = (
    "Qwen/Qwen2.5-7B",  # grouped keys and values
    "openai/gpt-oss-20b",  # every second layer sees a window
    "google/gemma-2-9b",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct",  # chunks that do not slide
    "zai-org/GLM-5.1",  # an indexer picks among latents
    "Qwen/Qwen3-Next-80B-A3B-Instruct",  # states of linear attention
    "tiiuae/Falcon-H1-34B-Instruct",
    "deepseek-ai/DeepSeek-V4-Flash",  # a window and compressed entries
    "google-t5/t5-base",  # cross-attention
)


def passes(name: str, **options: object) -> tuple[list, object]:
    """The chunks one after the other, and the whole prompt at once."""
    model, past, chunks = load_model(name), 0, []
    for length in CHUNKS:
        chunks.append(estimate(model, mode="prefill", sequence_length=length, past_length=past, **options))
        past += length
    return chunks, estimate(model, mode="prefill", sequence_length=past, **options)


@pytest.mark.parametrize("name", MODELS)
def test_chunks_add_up_to_the_prompt(name: str) -> None:
    """Scores of new tokens with the past are what they add to the triangle, the band or the chunks."""
    chunks, whole = passes(name, batch_size=3, attention_flops="causal", encoder_length=64)

    def scores(e: object) -> int:
        return sum(op.flops * op.count for op in e.operations if op.kind == "attention" and ".EncDec" not in op.name)

    assert sum(scores(e) for e in chunks) == scores(whole)
    assert chunks[-1].memory.kv_cache == whole.memory.kv_cache


@pytest.mark.parametrize("name", [n for n in MODELS if "GLM-5" not in n])
def test_other_products_add_up_too(name: str) -> None:
    """All but a decoder's keys of the encoder, which the first chunk makes, and latents, which are expanded again."""
    chunks, whole = passes(name, attention_flops="causal", logits="all", encoder_length=64)
    assert sum(e.flops.by_kind["matmul"] for e in chunks) == whole.flops.by_kind["matmul"]


def test_literal_numbers_of_a_chunk() -> None:
    """28 layers of 4 key-value heads of 128 in 16 bit: 57,344 bytes a token; 2·28·28·(128 + 128) FLOPs a pair."""
    chunk = estimate(load_model("Qwen/Qwen2.5-7B"), mode="prefill", sequence_length=512, past_length=3584)
    assert chunk.memory.kv_cache == 4096 * 57_344
    assert sum(op.cache_reads * op.count for op in chunk.operations) == 3584 * 57_344
    assert sum(op.cache_writes * op.count for op in chunk.operations) == 512 * 57_344
    assert sum(op.flops * op.count for op in chunk.operations if op.kind == "attention") == (
        512 * 4096 * 28 * 28 * 2 * 256
    )


def test_verification_of_drafted_tokens_is_as_many_decode_steps() -> None:
    """Four tokens after 1,000, the logits of all: the arithmetic of four decode steps, the weights read once."""
    model = load_model("Qwen/Qwen2.5-7B")
    both = estimate(model, mode="prefill", sequence_length=4, past_length=1000, logits="all", attention_flops="causal")
    steps = [estimate(model, mode="decode", sequence_length=1000 + i) for i in range(4)]
    assert both.flops.by_kind["matmul"] == sum(e.flops.by_kind["matmul"] for e in steps)
    assert both.traffic.weights == steps[0].traffic.weights + 3 * model.hidden_size * 2  # three more embedding rows


def test_a_window_bounds_what_is_read() -> None:
    """gpt-oss: 12 layers see 128 tokens, of which 127 come before the new one; 12 see all. 2,048 bytes a token."""
    e = estimate(load_model("openai/gpt-oss-20b"), mode="prefill", sequence_length=64, past_length=1000)
    assert sum(op.cache_reads * op.count for op in e.operations) == 12 * 2048 * (1000 + 127)


def test_a_cached_latent_is_expanded_again() -> None:
    """DeepSeek-V3.1: kv_b_proj runs over 3,000 cached and 1,000 new tokens; 576 elements are read a token."""
    e = estimate(load_model("deepseek-ai/DeepSeek-V3.1"), mode="prefill", sequence_length=1000, past_length=3000)
    (expand, *_) = [op for op in e.operations if op.name.endswith("kv_b_proj")]
    assert expand.flops == 2 * 4000 * 512 * 128 * 256
    assert sum(op.cache_reads * op.count for op in e.operations) == 61 * 3000 * 576 * 2


def test_only_a_prefill_has_a_past() -> None:
    for mode in ("decode", "pretraining"):
        with pytest.raises(CalculatorError, match="past_length 7 is of prefill"):
            Workload(mode=mode, past_length=7)
    with pytest.raises(CalculatorError, match="past_length must be a whole number"):
        Workload(past_length=-1)
