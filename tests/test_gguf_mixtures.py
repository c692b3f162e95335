"""GGUF mixtures by name: the types that llama.cpp's quantizer chooses, tensor by tensor, and the sizes that follow.

The types are those of ggml-org/llama.cpp, tests/snapshots/*.schema, which its own test holds the quantizer to. The
snapshots go through a file's tensors in the file's order; the quantizer itself goes layer by layer, so that where the
two differ (Gemma 3) the counts are compared.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from calculator import estimate, load_model
from calculator.errors import HubUnreachableError, WorkloadError
from calculator.formats.mixtures import BASES, Facts, Recipe, more_bits
from calculator.formats.named import Blocks
from calculator.passes.recipe import mixed_scheme
from calculator.record.run import weights_of

LLAMA_70B = "meta-llama/Llama-3.1-70B"
CODER = "Qwen/Qwen3-Next-80B-A3B-Instruct"  # of the shapes of Qwen3-Coder-Next, whose snapshot it is
NEMOTRON = "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16"
GEMMA = "google/gemma-3-4b-it"
DEEPSEEK = "deepseek-ai/DeepSeek-V3.1"


def types(name: str, mixture: str, importance: bool = False) -> Counter[tuple[str, str]]:
    """(tensor, what it is stored in) of matrices, by their names in the safetensors files without layers' numbers."""
    model = load_model(name)
    forms = {rule.what: rule.form for rule in mixed_scheme(model, mixture, importance=importance).rules}
    found: Counter[tuple[str, str]] = Counter()
    for i, layer in enumerate(model.text.layers):
        for weight in weights_of(layer.parts):
            form = forms[f"{model.text.path}.{i}.{weight.name.removesuffix('.weight')}"]
            if isinstance(form, Blocks) and int(weight.shape[-1]) % form.tile_columns and form.otherwise:
                form = form.otherwise
            if form is not None and form.quantized:
                stem = weight.name.removesuffix(".weight").replace("experts.*.", "experts.")
                found[stem.rpartition(".")[2] if "shared" not in stem else "shared", form.name] += 1
    return found


def numbers(name: str, mixture: str, tensor: str, form: str) -> list[int]:
    """The layers in which the tensor has that form."""
    rules = mixed_scheme(load_model(name), mixture, importance=False).rules
    found = [rule.what for rule in rules if re.search(rf"\.{tensor}$", rule.what) and rule.form.name == form]
    return [int(re.search(r"layers\.(\d+)", what)[1]) for what in found]


def test_more_bits_are_for_the_first_the_last_and_every_third() -> None:
    spent = [i for i in range(34) if more_bits(i, 34)]
    assert spent == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 29, 30, 31, 32, 33]


def test_seventy_billion_parameters_have_better_values() -> None:
    q2 = types(LLAMA_70B, "q2_k")
    assert (q2["v_proj", "q5_k"], q2["down_proj", "q3_k"], q2["o_proj", "q3_k"]) == (80, 80, 80)
    assert (q2["q_proj", "q2_k"], q2["gate_proj", "q2_k"]) == (80, 80)
    assert types(LLAMA_70B, "q3_k_s")["v_proj", "q5_k"] == 80
    assert numbers(LLAMA_70B, "q3_k_m", "down_proj", "q5_k") == [0, 1, 2, 3, 4]
    assert types(LLAMA_70B, "q3_k_m")["o_proj", "q4_k"] == 80


def test_experts_go_by_their_layer_and_delta_nets_count_as_values() -> None:
    q4 = mixed_scheme(load_model(CODER), "q4_k_s").rules
    forms = {rule.what: rule.form.name for rule in q4}
    assert numbers(CODER, "q4_k_s", "v_proj", "q5_k") == [3]
    assert numbers(CODER, "q4_k_s", r"experts\.\*\.down_proj", "q5_k") == [0, 1, 2, 3, 4, 5]
    assert numbers(CODER, "q4_k_s", r"shared_expert\.down_proj", "q5_k") == [0, 1, 2, 3, 4, 5]
    assert forms["lm_head"] == "q6_k"
    # attn_qkv of the first four tensors of values in Q5_K, attn_gate in Q4_K: 8192 and 4096 rows of 2048
    mixed = [rule.form for rule in q4 if rule.what.endswith("layers.0.linear_attn.in_proj_qkvz")]
    assert [form.name for form in mixed] == ["q4_k and q5_k"]
    assert [form.nbytes for form in mixed] == [8192 * 8 * 176 + 4096 * 8 * 144]


def test_rows_that_are_no_whole_blocks_of_a_hybrid() -> None:
    found = types(NEMOTRON, "q3_k_m")
    assert (found["v_proj", "q5_1"], found["v_proj", "q5_0"]) == (2, 4)
    assert (found["o_proj", "q4_k"], found["k_proj", "q4_0"], found["in_proj", "q4_0"]) == (6, 6, 23)
    assert (found["down_proj", "q5_1"], found["down_proj", "q5_0"]) == (1, 22)
    assert (found["up_proj", "q4_0"], found["out_proj", "q3_k"]) == (23, 23)


def test_an_embedding_that_is_the_head_too() -> None:
    scheme = mixed_scheme(load_model(GEMMA), "q4_k_m")
    forms = {rule.what: rule.form.name for rule in scheme.rules}
    assert {forms[n] for n in forms if n.endswith(("embed_tokens", "lm_head"))} == {"q6_k"}
    found = types(GEMMA, "q4_k_m")
    assert (found["v_proj", "q6_k"], found["down_proj", "q6_k"], found["o_proj", "q4_k"]) == (17, 17, 34)
    assert types(GEMMA, "iq2_xxs")["v_proj", "q2_k"] == 34
    assert numbers(GEMMA, "q2_k_s", "down_proj", "q4_k") == [0, 1, 2, 3]


def test_a_latent_attention_is_split_and_half_of_it_turned() -> None:
    """attn_k_b has rows of 128, which are no whole blocks of 256, attn_v_b rows of 512."""
    rules = mixed_scheme(load_model(DEEPSEEK), "q3_k_m").rules
    forms = {rule.what: rule.form for rule in rules}
    both = forms["model.layers.0.self_attn.kv_b_proj"]
    assert both.nbytes == 128 * 512 * 4 * 18 + 128 * 128 * 2 * 110
    assert numbers(DEEPSEEK, "q3_k_m", r"mlp\.down_proj", "q5_k") == [0, 1, 2]
    assert len(numbers(DEEPSEEK, "q3_k_m", r"experts\.\*\.down_proj", "q4_k")) == 58


def test_eight_experts() -> None:
    found = types("mistralai/Mixtral-8x22B-v0.1", "q4_k_m")
    assert (found["v_proj", "q8_0"], found["k_proj", "q8_0"], found["o_proj", "q5_k"]) == (56, 56, 56)


@pytest.mark.parametrize(
    ("mixture", "nbytes"),
    {
        "q8_0": 8_532_934_656,
        "q6_k": 6_588_170_240,
        "q5_k_m": 5_725_151_232,
        "q4_k_m": 4_912_898_048,
        "iq4_xs": 4_439_826_432,
        "q3_k_m": 4_011_081_728,
        "q2_k": 3_171_295_232,
        "iq2_xxs": 2_391_375_872,
    }.items(),
)
def test_bytes(mixture: str, nbytes: int) -> None:
    assert estimate(load_model("meta-llama/Llama-3.1-8B"), dtype=mixture).memory.weights == nbytes


@pytest.mark.parametrize(
    ("mixture", "published"),
    {"q6_k_l": 58.40, "q5_k_l": 50.60, "q4_k_l": 43.30, "q3_k_xl": 38.06, "q2_k_l": 27.40}.items(),
)
def test_embedding_and_output_in_q8_0(mixture: str, published: float) -> None:
    """The sizes on bartowski's cards of Llama 3.1 70B, in GB; a file has 8 MB of vocabulary beside its tensors."""
    size = estimate(load_model(LLAMA_70B), dtype=mixture).memory.weights
    assert published - 0.015 < size / 1e9 < published
    forms = {rule.what: rule.form.name for rule in mixed_scheme(load_model(LLAMA_70B), mixture).rules}
    assert (forms["model.embed_tokens"], forms["lm_head"]) == ("q8_0", "q8_0")


def test_first_falcon_has_rules_of_its_own() -> None:
    recipe = Recipe("q4_k_m", Facts(layers=32, groups=71, experts=0, values=32, falcon=True), importance=False)
    assert [recipe.choose(f"blk.{i}.ffn_down.weight", 18176, 256, False) for i in range(5)] == [
        "q6_k",
        "q6_k",
        "q5_k",
        "q5_k",
        "q4_k",
    ]
    assert recipe.choose("output.weight", 4544, 256, False) == "q8_0"


@pytest.mark.parametrize(
    "name", [LLAMA_70B, CODER, NEMOTRON, GEMMA, DEEPSEEK, "openai/gpt-oss-20b", "google/flan-t5-base"]
)
def test_every_mixture_prices_every_model(name: str) -> None:
    """From the smallest to the largest in the order of the bits of their types; all between one and sixteen bits."""
    model = load_model(name)
    sizes = {mixture: estimate(model, dtype=mixture).memory.weights for mixture in BASES}
    sixteen = 2 * model.parameters.total
    assert all(sixteen / 16 < size < sixteen * 0.8 for size in sizes.values())
    assert sizes["q2_k"] < sizes["q3_k_m"] < sizes["q4_k_m"] < sizes["q5_k_m"] < sizes["q6_k"] < sizes["q8_0"]
    assert sizes["q3_k_s"] <= sizes["q3_k_m"] <= sizes["q3_k_l"]


@pytest.mark.parametrize(
    ("text", "of", "nbytes"),
    [
        ("hf.co/Qwen/Qwen3-8B-GGUF:Q4_K_M", "Qwen/Qwen3-8B", 5_021_827_072),
        ("bartowski/Qwen_Qwen3-8B-GGUF:q4_k_m", "Qwen/Qwen3-8B", 5_021_827_072),
        ("Qwen/Qwen3-8B:Q4_K_M", "Qwen/Qwen3-8B", 5_021_827_072),
        ("bartowski/Qwen_Qwen3-8B-GGUF:Q4_K_L", "Qwen/Qwen3-8B", 5_483_712_512),
        ("hf://mradermacher/Qwen3-8B-i1-GGUF:Qwen3-8B.i1-Q4_K_M.gguf", "Qwen/Qwen3-8B", 5_021_827_072),
        ("qwen3:8b-q4_K_M", "Qwen/Qwen3-8B", 5_021_827_072),
        (
            "https://huggingface.co/bartowski/Meta-Llama-3.1-8B-Instruct-GGUF/blob/main/"
            "Meta-Llama-3.1-8B-Instruct-IQ4_XS.gguf",
            "meta-llama/Llama-3.1-8B-Instruct",
            4_439_826_432,
        ),
    ],
)
def test_a_mixture_in_an_address_of_a_bundled_model(monkeypatch, text: str, of: str, nbytes: int) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = load_model(text)
    assert estimate(model).memory.weights == nbytes
    assert model.parameters.total == load_model(of).parameters.total
    assert f"{text} was not read" in model.notes[-1]
    assert f"from {of}, tensor by tensor (derived)" in model.notes[-1]
    assert {row["where"] for row in estimate(model).rows("formats")} == {"llama.cpp's recipe"}


@pytest.mark.parametrize(
    "text", ["unsloth/Qwen3-8B-GGUF:UD-Q4_K_XL", "someone/unheard-of-GGUF:Q4_K_M", "Qwen/Qwen3-8B-GGUF@v2:Q4_K_M"]
)
def test_a_file_whose_types_nothing_tells(monkeypatch, text: str) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubUnreachableError):
        load_model(text)


def test_names_that_are_none() -> None:
    with pytest.raises(WorkloadError, match=r"choose one of q4_0, .*q4_k_m, .*q4_k"):
        estimate(load_model("gpt2"), dtype="q9_k_m")
    with pytest.raises(WorkloadError, match="Unsloth's dynamic mixtures"):
        estimate(load_model("gpt2"), dtype="ud-q4_k_xl")
