"""Parameter totals of published models against literal numbers, where no transformers model can be built to compare
with, or builds another one. Each number has its source beside it."""

from __future__ import annotations

import pytest

from calculator import Workload, estimate
from calculator.sources.load import load_model, model_from_config

# ---------------------------------------------------------------------------------------- mixtures of experts


def test_identity_experts_hold_nothing():
    """LongCat-Flash-Chat: 560 billion parameters, 18.6 to 31.3 billion active with 27 on average (arXiv:2509.01322).
    transformers 5.23 builds 741,053,585,408: the 256 identity experts get projections."""
    model = model_from_config({"model_type": "longcat_flash"})
    assert model.parameters.total == 560_664_958_976
    embedding = 131_072 * 6144
    assert model.parameters.active - embedding == 27_149_490_176
    # 8 of the 12 choices compute: 12 * 512 / (512 + 256).
    routed = [
        op for op in estimate(model, Workload(mode="decode", sequence_length=64)).operations if "experts" in op.name
    ]
    assert routed[0].flops == 2 * 8 * 2 * 6144 * 2048


def test_grok_1():
    """xai-org/grok-1: 314 B by the announcement; counted from the published configuration and modelling code."""
    config = {
        "model_type": "grok-1",
        "hidden_size": 6144,
        "intermediate_size": 32768,
        "max_position_embeddings": 8192,
        "num_attention_heads": 48,
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 64,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
        "vocab_size": 131072,
    }
    model = model_from_config(config)
    assert model.parameters.total == 315_684_820_992
    assert model.parameters.active == 83_756_587_008
    names = dict(model.tensors())
    assert names["model.layers.63.moe_block.experts.7.linear_1.weight"] == (6144, 32768)


ERNIE_VL = {
    "model_type": "ernie4_5_moe_vl",
    "hidden_size": 2560,
    "intermediate_size": 12288,
    "max_position_embeddings": 131072,
    "moe_intermediate_size": [1536, 512],
    "moe_k": 6,
    "moe_layer_end_index": [29, 28],
    "moe_layer_interval": 1,
    "moe_layer_start_index": [1, 1],
    "moe_num_experts": [64, 64],
    "moe_num_shared_experts": 2,
    "num_attention_heads": 20,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "pixel_hidden_size": 1280,
    "spatial_conv_size": 2,
    "temporal_conv_size": 2,
    "vocab_size": 103424,
    "tie_word_embeddings": True,
    "use_bias": False,
    "vision_config": {
        "depth": 32,
        "embed_dim": 1280,
        "hidden_size": 1280,
        "in_channels": 3,
        "mlp_ratio": 4,
        "num_heads": 16,
        "patch_size": 14,
        "spatial_merge_size": 2,
    },
}


def test_ernie_vl_has_experts_for_text_and_for_images():
    """baidu/ERNIE-4.5-VL-28B-A3B-PT: 28 B and 3 B by its name. transformers 5.23 counts the same from its
    ernie4_5_vl_moe, tower (630,433,280) and resampler (144,225,280) included."""
    model = model_from_config(ERNIE_VL)
    assert model.parameters.total == 29_399_294_336
    assert model.parameters.by_component["vision"] == 630_433_280 + 144_225_280
    assert model.parameters.active == 3_352_151_936 + 630_433_280 + 144_225_280
    names = dict(model.tensors())
    assert names["model.layers.1.mlp.experts.63.up_proj.weight"] == (1536, 2560)
    assert names["model.layers.1.mlp.experts.64.up_proj.weight"] == (512, 2560)
    assert names["model.layers.27.mlp.experts.127.down_proj.weight"] == (2560, 512)
    assert "model.layers.27.mlp.experts.128.down_proj.weight" not in names


def test_aria_by_its_first_name():
    """The language model of rhymes-ai/Aria, counted by hand from its config."""
    text = {
        "model_type": "aria_moe_lm",
        "hidden_size": 2560,
        "intermediate_size": 13568,
        "moe_intermediate_size": 1664,
        "moe_num_experts": 64,
        "moe_topk": 6,
        "num_attention_heads": 20,
        "num_hidden_layers": 28,
        "num_key_value_heads": 20,
        "vocab_size": 100352,
    }
    model = model_from_config(text)
    assert model.parameters.total == 24_869_091_840


# ---------------------------------------------------------------------------------- multi-token-prediction layers

ONE = {"num_nextn_predict_layers": 1}
MIMO = ONE | {
    "model_type": "mimo",
    "attention_bias": True,
    "head_dim": 128,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "max_position_embeddings": 32768,
    "num_attention_heads": 32,
    "num_hidden_layers": 36,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "vocab_size": 151680,
}
NEMOTRON_SUPER = ONE | {
    "model_type": "nemotron_h",
    "conv_kernel": 4,
    "expand": 2,
    "head_dim": 128,
    "hidden_size": 4096,
    "hybrid_override_pattern": "MEMEMEM*" + "EMEMEMEM*" * 2 + "EMEMEMEMEM*" * 4 + "EMEMEMEM*" + "EMEMEMEME",
    "intermediate_size": 2688,
    "mamba_head_dim": 64,
    "mamba_num_heads": 128,
    "max_position_embeddings": 262144,
    "moe_intermediate_size": 2688,
    "moe_latent_size": 1024,
    "moe_shared_expert_intermediate_size": 5376,
    "mtp_hybrid_override_pattern": "*E",
    "n_groups": 8,
    "n_routed_experts": 512,
    "n_shared_experts": 1,
    "num_attention_heads": 32,
    "num_experts_per_tok": 22,
    "num_hidden_layers": 88,
    "num_key_value_heads": 2,
    "ssm_state_size": 128,
    "use_bias": False,
    "use_conv_bias": True,
    "vocab_size": 131072,
}
# Model, its parameters, those of its prediction layers, and of the total that the Hub shows (safetensors.total of its
# API) what is neither: score biases of the routers (in DeepSeek-V4 tables of experts by token, too), and scales of FP8
# blocks of 128 x 128: in DeepSeek-V3 41,540,496, in MiMo 18,668,736 and 48,000, in DeepSeek-V4-Pro-Base 95,831,104 and
# 1,576,896. The last 576 of MiMo are as many as sinks of its nine full layers would be, which the config denies.
PREDICTION = {
    "DeepSeek-V3": ("deepseek-ai/DeepSeek-V3", 671_026_404_352, 13_463_426_048, 684_531_386_000, 15_104 + 41_540_496),
    "DeepSeek-V3.2": ({"model_type": "deepseek_v32"} | ONE, 671_877_929_216, 13_477_385_472, 685_355_329_792, 15_104),
    "GLM-4.5": ("zai-org/GLM-4.5", 352_797_814_784, 5_539_962_112, 358_337_791_296, 14_400),
    "GLM-4.5-Air": ("zai-org/GLM-4.5-Air", 106_852_245_504, 3_616_573_440, 110_468_824_832, 5_888),
    "GLM-5.1": ("zai-org/GLM-5.1", 743_911_199_232, 9_952_920_320, 753_864_139_008, 19_456),
    "Hy3": ({"model_type": "hy_v3"} | ONE, 295_033_528_320, 3_752_612_096, 298_786_155_776, 15_360),
    "LongCat-Flash": ({"model_type": "longcat_flash"} | ONE, 560_664_958_976, 1_197_899_776, 561_862_880_256, 21_504),
    "Nemotron-3-Super": (NEMOTRON_SUPER, 120_668_687_360, 2_942_324_736, 123_611_012_096, 0),
    "Qwen3-Next": ({"model_type": "qwen3_next"} | ONE, 79_674_391_296, 1_650_471_424, 81_324_862_720, 0),
    "Qwen3.5-27B": ("Qwen/Qwen3.5-27B", 27_356_728_560, 424_699_392, 27_781_427_952, 0),
    "Qwen3.5-35B-A3B": ("Qwen/Qwen3.5-35B-A3B", 35_107_181_936, 844_640_768, 35_951_822_704, 0),
    "MiMo-V2-Flash": (
        "XiaomiMiMo/MiMo-V2-Flash",
        308_778_768_832,
        987_820_224,
        309_785_318_400,
        18_668_736 + 48_000 + 12_032 + 576,
    ),
    "DeepSeek-V4-Pro-Base": (
        "deepseek-ai/DeepSeek-V4-Pro-Base",
        1_572_997_179_491,
        27_693_503_675,
        1_600_790_440_862,
        95_831_104 + 1_576_896 + 2_349_312 + 384,
    ),
    "Qwen3.5-122B-A10B": ("Qwen/Qwen3.5-122B-A10B", 122_562_817_776, 2_523_679_232, 125_086_497_008, 0),
}


@pytest.mark.parametrize("name", PREDICTION)
def test_prediction_layers_close_the_published_total(name):
    source, total, apart, published, other = PREDICTION[name]
    model = load_model(source)
    assert model.parameters.total == total
    assert model.parameters.apart == apart
    assert total + apart + other == published
    (note,) = [n for n in model.notes if "multi-token-prediction" in n]
    assert f"{apart:,}" in note


def test_prediction_layers_have_the_checkpoints_names():
    def names(source) -> set[str]:
        model = load_model(source)
        return {n for n, _ in model.tensors(apart=True)} - {n for n, _ in model.tensors()}

    deepseek = names("deepseek-ai/DeepSeek-V3")
    assert {f"model.layers.61.{n}.weight" for n in ("enorm", "hnorm", "eh_proj", "shared_head.norm")} < deepseek
    assert {f"model.layers.61.{n}.weight" for n in ("embed_tokens", "shared_head.head")} < deepseek
    assert "model.layers.61.mlp.experts.255.down_proj.weight" in deepseek
    glm = names("zai-org/GLM-5.1")
    assert "model.layers.78.self_attn.indexer.wq_b.weight" in glm
    assert "model.layers.78.embed_tokens.weight" not in glm
    qwen = names("Qwen/Qwen3.5-27B")
    assert {f"mtp.{n}.weight" for n in ("fc", "norm", "pre_fc_norm_hidden", "layers.0.mlp.up_proj")} < qwen
    nemotron = names(NEMOTRON_SUPER)
    assert {f"mtp.layers.{n}.weight" for n in ("0.eh_proj", "1.mixer.gate", "1.final_layernorm")} < nemotron
    longcat = names({"model_type": "longcat_flash"} | ONE)
    assert {"model.mtp.embed_tokens.weight", "model.mtp.layers.0.transformer_layer.mlp.up_proj.weight"} < longcat


def test_mimo_s_own_code_builds_its_prediction_layer():
    """XiaomiMiMo/MiMo-7B-Base shows 7,833,409,536 on the Hub, which is what its modelling code builds and does not run
    all of."""
    model = model_from_config(MIMO)
    assert model.parameters.total == 7_833_409_536
    assert model.parameters.active == 7_622_619_136
    assert model.parameters.apart == 0
    assert "model.mtp_layers.0.input_proj.weight" in dict(model.tensors())


def test_what_a_checkpoint_does_not_hold_is_not_said_to_be_in_it():
    """MiniMax-M2 states use_mtp and three modules; its 228,689,764,864 elements are the model and its score biases."""
    model = model_from_config({"model_type": "minimax_m2", "use_mtp": True, "num_mtp_modules": 3})
    assert model.parameters.total + 62 * 256 == 228_689_764_864
    assert model.parameters.apart == 0
    assert not [n for n in model.notes if "prediction" in n]
