"""Configs that are not transformers': params.json, mamba_ssm's, Megatron's, and types as their authors spell them."""

from __future__ import annotations

import json
import struct

import pytest

from calculator import CalculatorError, estimate, load_model

NEMO = {"dim": 5120, "n_layers": 40, "head_dim": 128, "hidden_dim": 14336, "n_heads": 32, "n_kv_heads": 8,
        "norm_eps": 1e-05, "vocab_size": 131072, "rope_theta": 1000000.0}  # fmt: skip
SMALL_3 = NEMO | {"hidden_dim": 32768}
PIXTRAL = {"hidden_size": 1024, "num_channels": 3, "patch_size": 14, "rope_theta": 10000.0, "intermediate_size": 4096,
           "num_hidden_layers": 24, "num_attention_heads": 16}  # fmt: skip
LLAMA_32 = {"n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 256, "norm_eps": 1e-5, "use_scaled_rope": True}
LLAMA_3 = {"dim": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024,
           "ffn_dim_multiplier": 1.3, "norm_eps": 1e-05}  # fmt: skip
MEGATRON = {"num_layers": 32, "hidden_size": 4096, "ffn_hidden_size": 14336, "num_attention_heads": 32,
            "num_query_groups": 8, "padded_vocab_size": 128256, "swiglu": True, "normalization": "RMSNorm",
            "position_embedding_type": "rope", "add_bias_linear": False,
            "untie_embeddings_and_output_weights": True, "max_position_embeddings": 8192}  # fmt: skip
GPT = {"num_layers": 24, "hidden_size": 1024, "ffn_hidden_size": 4096, "num_attention_heads": 16, "vocab_size": 50257,
       "max_position_embeddings": 1024, "make_vocab_size_divisible_by": 128}  # fmt: skip
LLAVA = {"model_type": "llava", "architectures": ["LlavaLlamaForCausalLM"], "hidden_size": 5120,
         "intermediate_size": 13824, "num_hidden_layers": 40, "num_attention_heads": 40, "num_key_value_heads": 40,
         "vocab_size": 32000, "mm_vision_tower": "openai/clip-vit-large-patch14-336",
         "mm_projector_type": "mlp2x_gelu", "mm_hidden_size": 1024}  # fmt: skip
OLMO = {"model_type": "hf_olmo", "architectures": ["OLMoForCausalLM"], "d_model": 4096, "n_heads": 32,
        "n_kv_heads": None, "n_layers": 32, "mlp_hidden_size": 22016, "vocab_size": 50280, "embedding_size": 50304,
        "weight_tying": False, "include_bias": False, "block_type": "sequential", "layer_norm_type": "default",
        "layer_norm_with_affine": False, "activation_type": "swiglu", "rope": True}  # fmt: skip
LLADA = {"model_type": "llada", "architectures": ["LLaDAModelLM"], "d_model": 4096, "n_heads": 32, "n_kv_heads": 32,
         "n_layers": 32, "mlp_hidden_size": 12288, "vocab_size": 126464, "embedding_size": 126464,
         "weight_tying": False, "include_bias": False, "block_type": "llama", "layer_norm_type": "rms",
         "layer_norm_with_affine": True, "activation_type": "silu", "rope": True}  # fmt: skip
DREAM = {"model_type": "Dream", "architectures": ["DreamModel"], "hidden_size": 3584, "intermediate_size": 18944,
         "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4, "vocab_size": 152064,
         "tie_word_embeddings": False}  # fmt: skip


@pytest.mark.parametrize(
    ("raw", "parameters"),
    [
        (LLAMA_32 | {"dim": 2048, "n_layers": 16, "n_heads": 32, "ffn_dim_multiplier": 1.5}, 1235814400),
        (LLAMA_32 | {"dim": 3072, "n_layers": 28, "n_heads": 24, "ffn_dim_multiplier": 1.0}, 3212749824),
        (  # Falcon's own code, before transformers had it
            {"model_type": "RefinedWebModel", "architectures": ["RWForCausalLM"], "n_layer": 32, "n_head": 71}
            | {"hidden_size": 4544, "multi_query": True, "parallel_attn": True, "bias": False, "vocab_size": 65024},
            6921720704,
        ),
        (
            {"model_type": "RefinedWeb", "architectures": ["RWForCausalLM"], "n_layer": 60, "n_head": 128}
            | {"n_head_kv": 8, "hidden_size": 8192, "parallel_attn": True, "bias": False, "vocab_size": 65024},
            41303293952,
        ),
        (NEMO, 12_247_782_400),  # Mistral Nemo, transformers 5.24 on the meta device
        # Mixtral 8x7B
        (NEMO | {"dim": 4096, "n_layers": 32, "vocab_size": 32000, "moe": {"num_experts": 8, "num_experts_per_tok": 2}},
         46_702_792_704),
        # Mistral Small 3.1, whose merger has no biases
        (SMALL_3 | {"vision_encoder": PIXTRAL | {"image_size": 1540, "mm_projector_id": "patch_merge",
                                                 "spatial_merge_size": 2, "adapter_bias": False}}, 24_011_361_280),
        (LLAMA_3, 8_030_261_248),
        (LLAMA_3 | {"vocab_size": 32000, "multiple_of": 256, "ffn_dim_multiplier": None, "n_kv_heads": None},
         6_738_415_616),
        # mamba_ssm: mamba2-2.7b and mamba-130m
        ({"d_model": 2560, "n_layer": 64, "vocab_size": 50277, "ssm_cfg": {"layer": "Mamba2"}, "tie_embeddings": True,
          "pad_vocab_size_multiple": 16}, 2_702_599_680),
        ({"d_model": 768, "n_layer": 24, "vocab_size": 50277, "ssm_cfg": {}, "pad_vocab_size_multiple": 8},
         129_135_360),
        # Codestral Mamba: 7,285,403,648 on the Hub
        ({"dim": 4096, "n_layers": 64, "vocab_size": 32768, "n_groups": 8, "pad_vocab_size_multiple": 1,
          "tie_embeddings": False, "model_type": "mamba"}, 7_285_403_648),
        (MEGATRON, 8_030_261_248),
        ({"model": MEGATRON}, 8_030_261_248),
        (GPT, 354_823_168),  # GPT-2 medium
        (LLAVA, 13_350_839_296),  # decoder on the meta device, CLIP-L and two layers by hand (haotian-liu/LLaVA#1378)
        (LLAVA | {"mm_vision_tower": "me/unknown"}, 13_047_331_840),
        (LLAVA | {"mm_projector_type": "linear", "mm_vision_tower": "me/unknown"}, 13_047_331_840 - 5120 * 5121),
        (LLAVA | {"model_type": "llava_llama", "mm_patch_merge_type": "spatial_unpad"}, 13_350_839_296 + 5120),
        (OLMO, 6_888_095_744),  # allenai/OLMo-7B on the Hub
        (OLMO | {"model_type": "olmo"}, 6_888_095_744),
        (OLMO | {"d_model": 2048, "n_heads": 16, "n_layers": 16, "mlp_hidden_size": 16384, "weight_tying": True},
         1_176_764_416),  # OLMo-1B
        (LLADA, 8_015_581_184),  # GSAI-ML/LLaDA-8B on the Hub
        (DREAM, 7_615_616_512),  # Qwen 2.5 7B's
    ],
)  # fmt: skip
def test_parameters(raw, parameters):
    assert load_model(raw).parameters.total == parameters


def test_params_json_alone_gives_the_cache(tmp_path):
    (tmp_path / "params.json").write_text(json.dumps(NEMO))
    for source in (tmp_path, tmp_path / "params.json"):
        model = load_model(source)
        assert model.name == tmp_path.name
        assert model.parameters.total == 12_247_782_400
        assert estimate(model, mode="decode", sequence_length=1024).memory.kv_cache == 167_772_160


def test_params_json_beside_mistrals_own_file(tmp_path):
    small = {"dim": 256, "n_layers": 2, "head_dim": 64, "hidden_dim": 512, "n_heads": 4, "n_kv_heads": 2,
             "norm_eps": 1e-05, "vocab_size": 1024}  # fmt: skip
    (tmp_path / "params.json").write_text(json.dumps(small))
    header = {"norm.weight": {"dtype": "BF16", "shape": [256], "data_offsets": [0, 512]}}
    text = json.dumps(header).encode()
    (tmp_path / "consolidated.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(512))
    model = load_model(tmp_path)
    assert model.parameters.total == 1_705_216
    assert estimate(model, mode="decode", sequence_length=4096).memory.kv_cache == 4_194_304


def test_windows_and_latent_attention_of_mistrals_params():
    windowed = load_model(NEMO | {"sliding_window": [None, 32768, 32768, 32768]})
    assert [layer.kind.split()[0] for layer in windowed.text.layers[:5]] == ["full", *["sliding"] * 3, "full"]
    large = load_model(
        {"dim": 7168, "n_layers": 61, "head_dim": 128, "hidden_dim": 16384, "n_heads": 128, "n_kv_heads": 128,
         "vocab_size": 131072, "q_lora_rank": 1536, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128,
         "kv_lora_rank": 512, "v_head_dim": 128,
         "moe": {"num_experts": 128, "num_experts_per_tok": 4, "num_shared_experts": 1, "expert_hidden_dim": 4096,
                 "first_k_dense_replace": 3, "route_every_n": 1}}
    )  # fmt: skip
    # Mistral Large 3: "a granular MoE language model of 673B parameters, 39B active"
    assert round(large.parameters.total / 1e9) == 673
    assert round(large.parameters.touched / 1e9) == 39
    assert large.parameters.apart == 0


def test_diffusion_models_say_what_their_decode_step_is():
    for raw in (LLADA, DREAM):
        assert any(note.startswith("A diffusion model") for note in load_model(raw).notes)


@pytest.mark.parametrize(
    ("file", "owner"),
    [("model.nemo", "NeMo"), ("model_config.yaml", "NeMo"), ("latest_checkpointed_iteration.txt", "Megatron-LM")],
)
def test_a_folder_of_another_form_is_named(tmp_path, file, owner):
    (tmp_path / file).write_text("1")
    with pytest.raises(CalculatorError, match=f"holds a checkpoint of {owner} .{file}"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (LLAMA_3 | {"moe_args": {"num_experts": 16}}, "has moe_args, so that it describes more"),
        (LLAMA_3 | {"vision_chunk_size": 448}, "has vision_chunk_size, so that"),
        (LLAMA_3 | {"quantization_args": {"group_size": 256}}, "has quantization_args"),
        ({"dim": 4096, "n_layers": 32}, "The params.json states no n_heads, hidden_dim, vocab_size"),
        (
            {"model_type": "RefinedWeb", "n_layer": 60, "hidden_size": 8192, "vocab_size": 65024},
            "Falcon's own code states no n_head",
        ),
        ({k: v for k, v in NEMO.items() if k != "n_heads"}, "The params.json states no n_heads"),
        (LLAMA_3 | {"vocab_size": -1}, "vocab_size -1: Meta's code takes it from the tokenizer"),
        (NEMO | {"multimodal": {"whisper_model_args": {"encoder_args": {}}}}, "an audio encoder"),
        ({k: v for k, v in MEGATRON.items() if k != "padded_vocab_size"}, "states no padded_vocab_size or vocab_size"),
        (GPT | {"num_moe_experts": 8}, "a mixture or latent attention"),
        (MEGATRON | {"add_bias_linear": True}, "neither Llama's nor GPT-2's"),
        ({"d_model": 64, "n_layer": 2, "vocab_size": 10, "ssm_cfg": {}, "attn_layer_idx": [1]}, "attention or MLPs"),
        (LLAVA | {"architectures": ["LlavaFooForCausalLM"]}, "The language model of LlavaFooForCausalLM is not known"),
        (LLAVA | {"mm_projector_type": "resampler"}, "mm_projector_type in config.json is 'resampler'"),
        (OLMO | {"block_type": "other"}, "block_type in config.json is 'other'"),
        (OLMO | {"layer_norm_type": "amd_compatible"}, "layer_norm_type in config.json is 'amd_compatible'"),
        (NEMO | {"moe": 5}, "a field of the wrong kind"),
    ],
)
def test_what_is_missing_is_said(raw, words):
    with pytest.raises(CalculatorError, match=words):
        load_model(raw)


@pytest.mark.parametrize(
    ("file", "kind"),
    {
        "pytorch_model.bin": "a checkpoint of torch",
        "consolidated.00.pth": "a checkpoint of torch",
        "model.onnx": "a graph of ONNX",
        "gemma.litertlm": "a model of LiteRT",
        "weights.npz": "arrays of NumPy",
    }.items(),
)
def test_weights_that_are_not_opened_are_named(tmp_path, file, kind):
    (tmp_path / file).write_bytes(b"PK")
    for path in (tmp_path / file, tmp_path):
        with pytest.raises(CalculatorError, match=f"{file}' is {kind}.* is not opened here; give the config.json"):
            load_model(path)
