"""Parameter totals of published models against literal numbers, where no transformers model can be built to compare
with, or builds another one. Each number has its source beside it."""

from __future__ import annotations

from calculator import Workload, estimate
from calculator.sources import model_from_config

# ---------------------------------------------------------------------------------------- mixtures of experts


def test_identity_experts_hold_nothing():
    """LongCat-Flash-Chat: "560 billion total parameters", 18.6 to 31.3 billion active with 27 on average
    (arXiv:2509.01322). transformers 5.23 builds 741,053,585,408: the 256 identity experts get projections."""
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
    """rhymes-ai/Aria: 24.9 B of language model (arXiv:2410.05993), 3.5 B of them active a text token."""
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
