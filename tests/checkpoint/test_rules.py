"""Rules of quantization: which tensors a config's rules name, for each library as it reads them, and the bytes that
follow, from public reports (huggingface.js, vLLM, Model-Optimizer, AutoRound, mlx-vlm) and siblings of them.

Bytes are summed over the shapes by the formats' definitions; the groups of compressed-tensors were compared with that
library's own matcher (0.20) on 400 random sets of rules.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from calculator import estimate, load_model
from calculator.errors import ConfigError
from calculator.formats.quantization import scheme_of
from calculator.formats.rules import Share
from calculator.formats.weight import Weight
from calculator.model import Model
from calculator.sources.load import model_from_config

LLAMA, MOE = "meta-llama/Llama-3.1-8B", "Qwen/Qwen3-30B-A3B"
DENSE, SEEING = "Qwen/Qwen3.5-27B", "Qwen/Qwen3-VL-8B-Instruct"
UNQUANTIZED = 16_060_522_496  # Llama-3.1-8B in 16 bit

INT4 = {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True}
INT8 = {"num_bits": 8, "type": "int", "strategy": "channel", "symmetric": True}
FP8 = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True, "dynamic": False}
NVFP4 = {"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "symmetric": True}


def changed(name: str, **fields: Any) -> Model:
    """A bundled model with other fields in its config, and without its own quantization."""
    config = {k: v for k, v in load_model(name).config.items() if k not in ("quantization_config", "expert_dtype")}
    return model_from_config(config | fields)


def compressed(*groups: dict[str, Any], form: str = "mixed-precision", **more: Any) -> dict[str, Any]:
    named = {f"group_{i}": group for i, group in enumerate(groups)}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": named, **more}


def group(weights: dict[str, Any], *targets: str, form: str, inputs: bool = False) -> dict[str, Any]:
    activations = {"input_activations": {**weights, "dynamic": True}} if inputs else {}
    return {"targets": list(targets), "weights": weights, "format": form, **activations}


def experts(layers: int, count: int, *projections: str) -> list[str]:
    found = projections or ("gate_proj", "up_proj", "down_proj")
    return [f"model.layers.{i}.mlp.experts.{e}.{p}" for i in range(layers) for e in range(count) for p in found]


NUMBERED = compressed(
    group(FP8, r"re:.*self_attn\.(q|k|v|o)_proj$", form="float-quantized", inputs=True),
    group(NVFP4, r"re:.*mlp\.experts\.\d+\.(gate|up|down)_proj$", form="nvfp4-pack-quantized", inputs=True),
    ignore=["lm_head", "re:.*mlp.gate$"],
)
SMALL_MOE = {"num_hidden_layers": 4, "num_experts": 8}
MIXED = {"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION"}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True}
HEAD8 = {"group_size": 64, "bits": 8}
MLX4 = {"group_size": 64, "bits": 4, "mode": "affine"}
ROUND = {"quant_method": "auto-round", "bits": 4, "group_size": 128, "data_type": "int"}
CACHE = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False}
LINEAR4 = group(INT4, "Linear", form="pack-quantized")
ATTENTION_FP8 = group(
    FP8,
    r"re:.*self_attn\.(q|k|v|o)_proj$",
    r"re:.*linear_attn\.(in_proj_qkv|in_proj_z|out_proj)$",
    "lm_head",
    form="float-quantized",
    inputs=True,
)
LAYERS = [f"model.layers.{i}" for i in range(32)]
ATTENTION = {f"{i}.self_attn.{p}_proj": {"quant_algo": "FP8"} for i in LAYERS for p in "qkvo"}
MLPS = {f"{i}.mlp.{p}_proj": {"quant_algo": "W4A16_NVFP4"} for i in LAYERS for p in ("gate", "up", "down")}
ALGORITHM = {"quant_method": "modelopt", "exclude_modules": ["lm_head"]}

WEIGHTS: dict[str, tuple[str, dict[str, Any], int]] = {
    # Rules that number experts
    "a regex with the expert's number": (MOE, {"quantization_config": NUMBERED}, 18_484_506_624),
    "every expert by name": (
        MOE,
        SMALL_MOE
        | {
            "quantization_config": MIXED
            | {"quantized_layers": {n: {"quant_algo": "NVFP4", "group_size": 16} for n in experts(4, 8)}}
        },
        1_480_760_064,
    ),
    "GPTQ leaves out experts by number": (
        MOE,
        {"quantization_config": GPTQ | {"dynamic": {r"-:.*mlp\.experts\.\d+\..*": {}}}},
        59_724_951_552,
    ),
    "GPTQ with a colon inside of a group": (
        MOE,
        {"quantization_config": GPTQ | {"dynamic": {r"-:.*mlp\.experts\.(?:\d+)\..*": {}}}},
        59_724_951_552,
    ),
    "AWQ leaves out the experts of a layer by name": (
        MOE,
        {"num_hidden_layers": 3, "num_experts": 8}
        | {"quantization_config": AWQ | {"modules_to_not_convert": ["lm_head", "mlp.gate", *experts(1, 8)]}},
        1_388_926_464,
    ),
    # Any tensor that a rule names
    "an embedding in 8 bit, and a head that is a Linear": (
        LLAMA,
        {
            "quantization_config": compressed(
                group(INT4 | {"num_bits": 8}, "re:.*embed_tokens$", form=""), LINEAR4, form="pack-quantized"
            )
        },
        4_403_670_560,
    ),
    "a head among the targets": (
        DENSE,
        {
            "quantization_config": compressed(
                ATTENTION_FP8,
                group(NVFP4, r"re:.*mlp\.(gate|up|down)_proj$", form="nvfp4-pack-quantized", inputs=True),
                ignore=["re:.*visual.*", "re:mtp.*"],
            )
        },
        21_631_448_032,
    ),
    # Spelling and precedence
    "AutoRound with a key that is a regex": (
        LLAMA,
        {"quantization_config": ROUND | {"extra_config": {".*mlp.down_proj": {"bits": 16}}}},
        8_509_726_720,
    ),
    "AutoRound with a key that is a part of a path": (
        LLAMA,
        {"quantization_config": ROUND | {"extra_config": {"mlp.down_proj": {"bits": 16}}}},
        8_509_726_720,
    ),
    "a regex goes before a class": (
        LLAMA,
        {
            "quantization_config": compressed(
                LINEAR4, group(INT8, "re:.*down_proj$", form="int-quantized"), ignore=["lm_head"]
            )
        },
        6_611_020_800,
    ),
    "an MLX entry stands alone": (
        LLAMA,
        {"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4", "lm_head": HEAD8, "model.embed_tokens": HEAD8}},
        4_824_637_440,
    ),
    "an MLX entry takes MLX's own group size": (
        LLAMA,
        {
            "quantization": {
                "group_size": 32,
                "bits": 4,
                "mode": "mxfp4",
                "lm_head": {"bits": 8},
                "model.embed_tokens": {"bits": 8},
            }
        },
        4_824_637_440,
    ),
    "NVFP4_AWQ by name": (LLAMA, {"quantization_config": ALGORITHM | {"quant_algo": "NVFP4_AWQ"}}, 6_030_239_488),
    "nvfp4_awq in small letters": (
        LLAMA,
        {"quantization_config": ALGORITHM | {"quant_algo": "nvfp4_awq"}},
        6_030_239_488,
    ),
    "W4A16_NVFP4 beside FP8": (
        LLAMA,
        {"quantization_config": MIXED | {"quantized_layers": ATTENTION | MLPS}},
        6_614_951_296,
    ),
    # State of the container
    "dense": (
        LLAMA,
        {
            "quantization_config": compressed(
                group(FP8, "Linear", form=""), form="dense", quantization_status="frozen", ignore=["lm_head"]
            )
        },
        UNQUANTIZED,
    ),
    "frozen without a format": (
        LLAMA,
        {"quantization_config": compressed(group(FP8, "Linear", form=""), form="", quantization_status="frozen")},
        UNQUANTIZED,
    ),
    "frozen beside a format that packs": (
        LLAMA,
        {
            "quantization_config": compressed(
                LINEAR4, form="pack-quantized", quantization_status="frozen", ignore=["lm_head"]
            )
        },
        5_700_595_200,
    ),
    "a cache only": (
        LLAMA,
        {"quantization_config": compressed(form="dense", kv_cache_scheme=CACHE)},
        UNQUANTIZED,
    ),
    "bitsandbytes with both flags off": (
        LLAMA,
        {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": False}},
        UNQUANTIZED,
    ),
    # Towers in MLX
    "MLX with a tower": (DENSE, {"quantization": MLX4}, 16_054_262_240),
    "MLX with another tower": (SEEING, {"quantization": MLX4}, 5_760_508_384),
}


@pytest.mark.parametrize(("name", "fields", "weights"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights_by_rules(name: str, fields: dict[str, Any], weights: int) -> None:
    e = estimate(changed(name, **fields), mode="decode", sequence_length=1024)
    assert e.memory.weights == weights
    assert sum(row["bytes"] for row in e.rows("formats")) == weights
    assert sum(row["parameters"] for row in e.rows("formats")) == sum(
        w.elements() for op in e.operations for w in op.weights for _ in range(op.stored)
    )


@pytest.mark.parametrize(
    ("scheme", "cache"),
    [
        (CACHE, 67_108_864),  # 32 layers × 2 × 8 heads × 128 × 1,024 tokens
        ({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16}, 37_748_736),  # 4.5 bit
        ({"num_bits": 8, "type": "int"}, 67_108_864),
        (None, 134_217_728),
    ],
)
def test_a_cache_scheme_alone(scheme: dict[str, Any] | None, cache: int) -> None:
    model = changed(LLAMA, quantization_config=compressed(form="dense", kv_cache_scheme=scheme))
    e = estimate(model, mode="decode", sequence_length=1024)
    assert (e.memory.weights, e.memory.kv_cache) == (UNQUANTIZED, cache)


# Where it stands

SIDE = {
    "producer": {"name": "modelopt"},
    "quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "group_size": 16}
    | {"exclude_modules": ["lm_head", "model.layers.*.mlp.gate"]},
}


def folder(path: Path, name: str, **files: dict[str, Any]) -> Path:
    plain = {k: v for k, v in load_model(name).config.items() if k != "quantization_config"}
    for file, content in {"config.json": plain, **files}.items():
        (path / file).write_text(json.dumps(content))
    return path


def test_modelopt_beside_the_config(tmp_path: Path) -> None:
    for source in (folder(tmp_path, MOE, **{"hf_quant_config.json": SIDE}), tmp_path / "config.json"):
        e = estimate(load_model(source), mode="decode", sequence_length=4096)
        assert (e.memory.weights, e.memory.kv_cache) == (18_087_458_304, 201_326_592)
        assert "hf_quant_config.json.exclude_modules" in {row["where"] for row in e.rows("formats")}


def test_gptq_beside_the_config(tmp_path: Path) -> None:
    said = {"bits": 4, "group_size": 128, "damp_percent": 0.01, "desc_act": True, "sym": True}
    model = load_model(folder(tmp_path, LLAMA, **{"quantize_config.json": said}))
    assert estimate(model).memory.weights == 5_732_835_328


def test_the_config_goes_before_the_files_beside_it(tmp_path: Path) -> None:
    path = folder(tmp_path, LLAMA, **{"hf_quant_config.json": SIDE})
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"quantization_config": AWQ}))
    assert estimate(load_model(path)).memory.weights == 5_727_854_592


@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
def test_a_block_in_the_language_models_own_config(key: str) -> None:
    """It is not about the tower; at the top it is."""
    config = dict(load_model(SEEING).config)
    block = compressed(LINEAR4, form="pack-quantized", ignore=["lm_head"])
    inner = model_from_config(config | {"text_config": config["text_config"] | {key: block}})
    outer = model_from_config(config | {key: block})
    assert estimate(inner).memory.weights == 7_224_127_904
    assert estimate(outer).memory.weights == 6_375_828_928
    towers = [row["format"] for row in estimate(inner).rows("formats") if row["component"] == "vision"]
    assert towers == ["bf16"]


@pytest.mark.parametrize("place", ["top", "block", "text_config"])
def test_experts_of_another_type(place: str) -> None:
    """DeepSeek-V4-Flash: experts in 4-bit floats with an 8-bit scale per 32, everything else FP8 but for
    the compressors and the weights of the indexer."""
    config = dict(load_model("deepseek-ai/DeepSeek-V4-Flash").config)
    config.pop("expert_dtype")
    said = {"expert_dtype": "fp4"}
    block = config["quantization_config"]
    assert estimate(model_from_config(config)).memory.weights == 285_855_462_062
    config |= {
        "top": said,
        "block": {"quantization_config": block | said},
        "text_config": {"text_config": said},
    }[place]
    assert estimate(model_from_config(config)).memory.weights == 155_932_177_070


# Experts


def shares(settings: dict[str, Any], name: str, shape: tuple[int, ...], copies: int = 1) -> list[Share]:
    scheme, _ = scheme_of({"quantization_config": settings})
    assert scheme is not None
    return scheme.shares(f"model.layers.3.{name.removesuffix('.weight')}", Weight(name, shape, "experts", copies))


def test_experts_of_one_layer_in_two_formats() -> None:
    rules = compressed(
        group(INT8, r"re:.*experts\.(?:[0-3]|1\d)\..*", form="int-quantized"), LINEAR4, form="pack-quantized"
    )
    found = shares(rules, "mlp.experts.*.up_proj.weight", (64, 128), 16)
    assert {s.numbers: s.rule.form.name for s in found if s.rule and s.rule.form} == {
        (0, 1, 2, 3, 10, 11, 12, 13, 14, 15): "int8",
        (4, 5, 6, 7, 8, 9): "int4",
    }


def test_packed_experts_are_asked_one_by_one() -> None:
    """A checkpoint that keeps all experts in one tensor, by the names they had when they were quantized."""
    rules = compressed(group(INT8, r"re:.*experts\.[01]\.gate_proj", form="int-quantized"), LINEAR4)
    found = shares(rules, "mlp.experts.gate_up_proj", (8, 128, 64))
    assert [(s.numbers, s.rule.form.name) for s in found if s.rule and s.rule.form] == [
        ((0, 1), "int8"),
        ((2, 3, 4, 5, 6, 7), "int4"),
    ]


def test_layers_and_experts_apart() -> None:
    """Experts 0 of even layers in 16 bit: 24 layers, 3 matrices of 768 × 2,048."""
    kept = [name for name in experts(48, 1) if int(name.split(".")[2]) % 2 == 0]
    rules = MIXED | {"quantized_layers": {n: {"quant_algo": "FP8"} for n in experts(48, 128) if n not in set(kept)}}
    model = changed(MOE, quantization_config=rules)
    whole = changed(
        MOE, quantization_config=MIXED | {"quantized_layers": {n: {"quant_algo": "FP8"} for n in experts(48, 128)}}
    )
    more = estimate(model).memory.weights - estimate(whole).memory.weights
    assert more == 24 * 3 * (768 * 2048 - 8)
    assert len(estimate(model).operations) < 2 * len(estimate(whole).operations)


def test_rules_of_deepseek_v4_in_the_words_of_others() -> None:
    model = load_model("deepseek-ai/DeepSeek-V4-Flash")
    config = {k: v for k, v in model.config.items() if k not in ("quantization_config", "expert_dtype")}
    rules = compressed(group(INT4, r"re:.*mlp\.experts\.\d+\..*", form="pack-quantized"), form="pack-quantized")
    other = compressed(group(INT4, r"re:.*ffn\.experts\.\d+\..*", form="pack-quantized"), form="pack-quantized")
    sizes = {estimate(model_from_config(config | {"quantization_config": r})).memory.weights for r in (rules, other)}
    assert len(sizes) == 1


# What is said


def test_names_that_nothing_matches_are_told() -> None:
    rules = compressed(LINEAR4, form="pack-quantized", ignore=["lm_head", "re:.*vision_tower.*", "model.layer.0"])
    model = changed(LLAMA, quantization_config=rules)
    assert model.notes == (
        "The quantization rules have 2 names or patterns that match no tensor here: '.*vision_tower.*' (ignore), "
        "'model.layer.0' (ignore).",
    )


def test_names_of_norms_biases_and_prediction_layers_are_known() -> None:
    model = load_model("Qwen/Qwen3-235B-A22B-FP8")
    assert not [note for note in model.notes if "quantization rules" in note]


@pytest.mark.parametrize("key", ["ignore", "targets", "dynamic", "extra_config"])
def test_a_pattern_of_a_stranger(key: str) -> None:
    """A 335-character link with this pattern stopped a server; it is answered, and what is not run is refused."""

    def settings(pattern: str) -> dict[str, Any]:
        return {
            "ignore": compressed(LINEAR4, form="pack-quantized", ignore=[f"re:{pattern}"]),
            "targets": compressed(group(INT4, f"re:{pattern}", form="pack-quantized")),
            "dynamic": GPTQ | {"dynamic": {f"-:{pattern}": {}}},
            "extra_config": ROUND | {"extra_config": {pattern: {"bits": 16}}},
        }[key]

    assert changed(LLAMA, quantization_config=settings("((.+))+Z")).parameters.total == 8_030_261_248
    with pytest.raises(ConfigError, match="which is not run here; allowed are characters"):
        changed(LLAMA, quantization_config=settings(r"(a+)\1"))


def test_more_experts_than_rules_are_asked_about() -> None:
    with pytest.raises(ConfigError, match="rules are asked about 65,536 at most"):
        changed(MOE, num_experts=10**9, quantization_config=GPTQ | {"dynamic": {r"-:.*\.7\..*": {}}})


def test_an_algorithm_that_is_not_known_is_said() -> None:
    model = changed(LLAMA, quantization_config=ALGORITHM | {"quant_algo": "NVFP4_SVD"})
    assert "'NVFP4_SVD' is not known here" in " ".join(model.notes)


# Published counts of stored elements: the tensors quantized are the right ones


@pytest.mark.parametrize(
    ("name", "published"),
    [("Qwen/Qwen3-235B-A22B-FP8", 235_107_904_512), ("Qwen/Qwen3-Coder-Next-FP8", 79_679_212_800)],
)
def test_the_hubs_count_of_an_fp8_repository(name: str, published: int) -> None:
    """It counts an element of 8 or 16 bit and a 32-bit scale as one each, so that bytes and parameters give it."""
    model = load_model(name)
    e = estimate(model)
    whole = {row["format"]: row for row in e.rows("formats")}
    assert set(whole) == {"fp8", "bf16"}
    eight = sum(row["parameters"] for row in e.rows("formats") if row["format"] == "fp8")
    scales = (e.memory.weights - eight - 2 * (model.parameters.total - eight)) // 4
    assert model.parameters.total + scales == published
