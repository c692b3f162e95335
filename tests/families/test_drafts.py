"""Draft heads for speculative decoding: what their files hold, and the budget with their targets."""

from __future__ import annotations

import json

import pytest

from calculator import CalculatorError, estimate, load_model, own_draft, speculate
from calculator.cli import main

LLAMA_LAYER = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "num_hidden_layers": 1,
    "vocab_size": 128256,
    "torch_dtype": "float16",
}
EAGLE3 = LLAMA_LAYER | {"architectures": ["LlamaForCausalLMEagle3"], "draft_vocab_size": 32000}
EAGLE3_SIZE = 424_689_664  # fc 3h x h, q, k, v over 2h, o, the MLP, a head of 32,000 rows, four norms
EMBEDDING = 128256 * 4096
SPECULATORS = {
    "architectures": ["Eagle3Speculator"],
    "speculators_model_type": "eagle3",
    "draft_vocab_size": 32000,
    "transformer_layer_config": {k: v for k, v in LLAMA_LAYER.items() if k != "torch_dtype"},
    "torch_dtype": "bfloat16",
}
LAYER = 4096 * 128 * (32 + 8 + 8 + 32) + 3 * 4096 * 14336  # the matrices of a layer of Llama 3.1 8B


def total(raw: dict) -> int:
    return load_model(raw).parameters.total


def test_eagle3_of_llama():
    """The published .bin of Llama-3.1-8B's head has 850 MB in fp16 (SafeAILab/EAGLE, vllm-project/vllm#26164)."""
    model = load_model(EAGLE3)
    e = estimate(model, mode="decode", sequence_length=1024)
    assert model.parameters.total == EAGLE3_SIZE
    assert e.memory.weights == 2 * EAGLE3_SIZE
    assert e.memory.kv_cache == 2 * 8 * 128 * 2 * 1024
    assert "draft head (EAGLE-3)" in model.notes[0]


@pytest.mark.parametrize(
    ("change", "parameters"),
    [
        ({"architectures": ["Eagle3LlamaForCausalLM"]}, EAGLE3_SIZE),
        ({"architectures": ["Eagle3Qwen2_5vlForCausalLM"]}, EAGLE3_SIZE),
        # a class that is its target's, as the first published heads have, one that is new, and none
        ({"architectures": ["LlamaForCausalLM"]}, EAGLE3_SIZE),
        ({"architectures": ["HassModel"]}, EAGLE3_SIZE),
        ({"architectures": None}, EAGLE3_SIZE),
        # without a vocabulary of its own the head has all rows
        ({"draft_vocab_size": None}, EAGLE3_SIZE + (128256 - 32000) * 4096),
        # norms on q and k of Qwen 3's layers
        ({"model_type": "qwen3", "head_dim": 128}, EAGLE3_SIZE + 2 * 128),
        # a target of another width: fc reads 3 of its states, and the embedding cannot be shared
        ({"target_hidden_size": 2048}, EAGLE3_SIZE - 3 * 2048 * 4096 + EMBEDDING),
        ({"eagle_config": {"eagle_aux_hidden_state_layer_ids": [1, 2]}}, EAGLE3_SIZE - 4096 * 4096),
        # a second layer reads one vector a token
        ({"num_hidden_layers": 2}, EAGLE3_SIZE + LAYER + 2 * 4096),
    ],
)
def test_eagle3s_variants(change, parameters):
    assert total(EAGLE3 | change) == parameters


def test_a_model_of_one_layer_may_be_an_eagle_head():
    """SafeAILab's heads before EAGLE-3 state the class of their target and nothing that tells them from it."""
    plain = EAGLE3 | {"architectures": ["LlamaForCausalLM"], "draft_vocab_size": None}
    notes = " ".join(load_model(plain).notes)
    assert "EagleLlamaForCausalLM" in notes
    assert "one layer" not in " ".join(load_model(plain | {"num_hidden_layers": 2}).notes)
    assert total(plain | {"architectures": ["EagleLlamaForCausalLM"]}) == LAYER + EMBEDDING + 2 * 4096 * 4096 + 2 * 4096


def test_speculators_save_the_embedding_too():
    assert total(SPECULATORS) == EAGLE3_SIZE + EMBEDDING
    peagle = SPECULATORS | {"speculators_model_type": "peagle", "architectures": ["PEagleSpeculator"]}
    assert total(peagle) == EAGLE3_SIZE + EMBEDDING


@pytest.mark.parametrize("name", ["LlamaForCausalLMEagle", "EagleLlamaForCausalLM"])
def test_eagle_has_no_first_norm_and_no_head(name):
    # embedding, fc with a bias, the layer and one of its norms
    expected = EMBEDDING + (2 * 4096 + 1) * 4096 + LAYER + 4096
    assert total(LLAMA_LAYER | {"architectures": [name]}) == expected
    assert total(LLAMA_LAYER | {"architectures": [name], "bias": False}) == expected - 4096
    assert total(LLAMA_LAYER | {"architectures": [name], "add_para_norm": True}) == expected + 2 * 4096


def test_eagle3_over_latent_attention():
    model = {
        "model_type": "deepseek_v3",
        "architectures": ["Eagle3DeepseekV2ForCausalLM"],
        "num_hidden_layers": 1,
        "first_k_dense_replace": 1,
        "draft_vocab_size": 32000,
    }
    d = 7168
    attention = 2 * d * 1536 + 1536 * 128 * 192 + 2 * d * 576 + 512 * 128 * 256 + 128 * 128 * d
    norms = 4 * d + 1536 + 512
    assert total(model) == 3 * d * d + attention + 3 * d * 18432 + norms + 32000 * d


def test_dflash_reads_the_listed_layers_and_shares_both_tables():
    """z-lab/Qwen3-8B-DFlash: five layers of Qwen 3, fc over five hidden states, three norms beside the layers'."""
    raw = {
        "architectures": ["DFlashDraftModel"],
        "model_type": "qwen3",
        "dflash_config": {"target_layer_ids": [1, 9, 17, 25, 33]},
        "hidden_size": 4096,
        "intermediate_size": 12288,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "num_hidden_layers": 5,
        "vocab_size": 151936,
    }
    layer = 4096 * 128 * 80 + 3 * 4096 * 12288 + 2 * 4096 + 2 * 128
    assert total(raw) == 5 * layer + 5 * 4096 * 4096 + 2 * 4096


@pytest.mark.parametrize(
    ("raw", "parameters"),
    [
        # FasterDecoding/Medusa: a residual layer with a bias and a head each; sizes of the bundled base model
        (
            {"medusa_num_heads": 5, "medusa_num_layers": 1, "base_model_name_or_path": "meta-llama/Llama-2-7b-hf"},
            5 * (4096 * 4097 + 32000 * 4096),
        ),
        # vLLM's form
        (
            {"model_type": "medusa", "architectures": ["MedusaModel"], "hidden_size": 4096, "vocab_size": 32000,
             "num_heads": 3, "num_hidden_layers": 2},
            3 * (2 * 4096 * 4096 + 32000 * 4096),
        ),
        # ibm-ai-platform/llama3-8b-accelerator
        (
            {"model_type": "mlp_speculator", "architectures": ["MLPSpeculatorPreTrainedModel"], "emb_dim": 4096,
             "inner_dim": 3072, "n_predict": 4, "vocab_size": 128256, "tie_weights": False},
            4 * 2 * 128256 * 3072 + 4096 * 3072 + 3 * 3072 * 3072 + 4 * 2 * 3072,
        ),
        (
            {"model_type": "mlp_speculator", "architectures": ["MLPSpeculatorPreTrainedModel"], "emb_dim": 4096,
             "inner_dim": 3072, "n_predict": 4, "vocab_size": 128256, "tie_weights": True},
            2 * 128256 * 3072 + 4096 * 3072 + 3072 * 3072 + 2 * 3072,
        ),
    ],
)  # fmt: skip
def test_drafts_without_attention(raw, parameters):
    model = load_model(raw)
    assert model.parameters.total == parameters
    assert estimate(model, mode="decode").memory.kv_cache == 0


@pytest.mark.parametrize(
    ("name", "kind", "classes", "parameters"),
    [
        # the Hub counts 13,504,981,648 beyond the model, scales and correction biases among them
        ("deepseek-ai/DeepSeek-V3", "deepseek_mtp", ("DeepSeekMTPModel", "DeepseekV3ForCausalLMNextN"), 13_463_426_048),
        # 81,324,862,720 on the Hub, 79,674,391,296 in the model
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", "qwen3_next_mtp", ("Qwen3NextMTP",), 1_650_471_424),
        ("zai-org/GLM-4.5-Air", "glm4_moe_mtp", ("Glm4MoeMTPModel", "Glm4MoeForCausalLMNextN"), 3_616_573_440),
    ],
)
def test_prediction_layers_as_a_draft_are_what_the_checkpoint_holds_beside(name, kind, classes, parameters):
    target = load_model(name)
    raw = {**target.config.raw, "num_nextn_predict_layers": 1}
    for class_ in classes:
        for model_type in (kind, target.model_type):
            draft = load_model(raw | {"architectures": [class_], "model_type": model_type})
            assert draft.parameters.total == parameters
            assert estimate(draft, mode="decode", sequence_length=1000).memory.kv_cache > 0
    assert own_draft(target).parameters.total == parameters


def test_mimos_prediction_layer():
    """XiaomiMiMo/MiMo-7B: 7,833,409,536 on the Hub, 7,622,619,136 of them in the model."""
    raw = {
        "model_type": "mimo", "architectures": ["MiMoMTPModel"], "hidden_size": 4096, "intermediate_size": 11008,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "num_hidden_layers": 36,
        "vocab_size": 151680, "num_nextn_predict_layers": 1, "attention_bias": True,
    }  # fmt: skip
    assert total(raw) == 210_790_400


@pytest.mark.parametrize(
    ("text", "outside", "ordered", "parameters"),
    [(4, 1536, True, 77_731_328), (4, 2560, False, 77_993_472), (0, 2560, False, 77_993_472)],
)
def test_gemma4s_assistant(text, outside, ordered, parameters):
    """Gemma4AssistantForCausalLM, transformers 5.24 on the meta device."""
    inner = {
        "model_type": "gemma4_text", "hidden_size": 256, "intermediate_size": 2048, "num_hidden_layers": 4,
        "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "global_head_dim": 512,
        "vocab_size": 262144, "hidden_size_per_layer_input": 0, "vocab_size_per_layer_input": 0,
        "layer_types": ["sliding_attention"] * 3 + ["full_attention"], "num_kv_shared_layers": text,
    }  # fmt: skip
    raw = {"model_type": "gemma4_assistant", "architectures": ["Gemma4AssistantForCausalLM"], "text_config": inner}
    model = load_model(raw | {"backbone_hidden_size": outside, "use_ordered_embeddings": ordered})
    assert model.parameters.total == parameters
    assert estimate(model, mode="decode").memory.kv_cache == 0  # the target's


@pytest.mark.parametrize(
    ("change", "parameters"),
    [({}, 2_555_985_152), ({"num_hidden_layers": 3, "target_layer_ids": [1, 2]}, 1_489_294_080)],
)
def test_muse_glimmers_assistant(change, parameters):
    """MuseGlimmerAssistantModel, transformers 5.24 on the meta device."""
    assert total({"model_type": "muse_glimmer_assistant"} | change) == parameters


@pytest.mark.parametrize(
    "raw",
    [
        LLAMA_LAYER | {"architectures": ["HydraModel"]},
        {"speculators_model_type": "dspark", "transformer_layer_config": LLAMA_LAYER},
        {"model_type": "medusa", "medusa_num_heads": 3, "base_model_name_or_path": "lmsys/vicuna-7b-v1.3"},
        LLAMA_LAYER | {"architectures": ["LlamaMTP"]},
    ],
)
def test_drafts_that_are_not_known_are_refused_as_drafts(raw):
    with pytest.raises(CalculatorError, match="draft"):
        load_model(raw)


def test_a_vision_model_called_eagle_is_no_draft():
    with pytest.raises(CalculatorError, match="Model type 'eagle_2_5_vl' is not known here"):
        load_model(
            LLAMA_LAYER | {"model_type": "eagle_2_5_vl", "architectures": ["Eagle2_5_VLForConditionalGeneration"]}
        )


# One budget


def test_target_and_draft_in_one_budget():
    target, draft = load_model("meta-llama/Llama-3.1-8B"), load_model(EAGLE3)
    both = speculate(target, draft, mode="decode", sequence_length=8192)
    assert both.weights == 16_060_522_496 + 2 * EAGLE3_SIZE
    assert both.kv_cache == 8192 * 2 * 8 * 128 * 2 * (32 + 1)
    assert both.activations == max(both.target.memory.activations, both.draft.memory.activations)
    assert both.total == both.weights + both.kv_cache + both.activations
    assert [row["part"] for row in both.rows()] == ["target", "draft", "both"]


def test_pretraining_has_no_draft():
    with pytest.raises(CalculatorError, match="choose decode or prefill"):
        speculate(load_model("meta-llama/Llama-3.1-8B"), load_model(EAGLE3), mode="pretraining")


@pytest.mark.parametrize("form", ["text", "json", "csv", "markdown"])
def test_the_command_line_shows_both(form, tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps(EAGLE3))
    arguments = ["meta-llama/Llama-3.1-8B", "--draft", str(tmp_path), "--mode", "decode", "--format", form]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    weights = 16_060_522_496 + 2 * EAGLE3_SIZE
    assert {"text": "15.75 GiB", "markdown": "15.75 GiB"}.get(form, str(weights)) in said


def test_the_command_line_takes_a_models_own_prediction_layers(capsys):
    assert main(["deepseek-ai/DeepSeek-V3", "--draft", "mtp", "--mode", "decode", "--format", "csv"]) == 0
    assert ",draft,13463426048," in capsys.readouterr().out
    assert main(["Qwen/Qwen3-8B", "--draft", "mtp", "--mode", "decode"]) == 2
