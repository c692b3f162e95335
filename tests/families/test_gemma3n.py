"""Gemma 3n, whose vision tower transformers builds with timm, which the oracle's environment does not have:
MobileNet-V5 as timm 1.0.31 defines it, and the totals of the published safetensors files."""

import pytest

from calculator.sources.load import model_from_config

TEXT = {"hidden_size": 2048, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 256, "vocab_size": 262400}
SIZES = {
    "google/gemma-3n-E2B-it": (30, 10, 8192, 5_439_438_272),
    "google/gemma-3n-E4B-it": (35, 15, 16384, 7_849_978_192),
}


def gemma3n(layers: int, shared: int, inner: int, **vision):
    text = TEXT | {"num_hidden_layers": layers, "num_kv_shared_layers": shared, "intermediate_size": [inner] * layers}
    return model_from_config({"model_type": "gemma3n", "text_config": text, "vision_config": vision})


@pytest.mark.parametrize("name", SIZES)
def test_with_the_unused_projections_it_is_the_published_total(name):
    *shape, published = SIZES[name]
    parameters = gemma3n(*shape).parameters
    assert parameters.total + parameters.apart == published


def test_the_vision_tower_is_timms():
    shapes = {n: s for n, s in gemma3n(*SIZES["google/gemma-3n-E2B-it"][:3]).tensors() if ".timm_model." in n}
    assert len(shapes) == 548
    assert shapes["model.vision_tower.timm_model.blocks.2.9.attn.key.down_conv.weight"] == (640, 1, 3, 3)
    assert shapes["model.vision_tower.timm_model.blocks.3.38.pw_proj.conv.weight"] == (1280, 2560, 1, 1)


def test_another_tower_is_not_counted_and_the_reader_is_told():
    model = gemma3n(*SIZES["google/gemma-3n-E2B-it"][:3], architecture="mobilenetv5_base")
    assert any("mobilenetv5_base" in note for note in model.notes)
    assert not [n for n, _ in model.tensors() if ".timm_model." in n]
