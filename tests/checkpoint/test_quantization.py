"""Every quantization method: what the engine prices from the config alone against what the quantizer's own layout puts
into the header, tensor by tensor; and published sizes of real checkpoints."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from layouts import METHODS, MLX, Layout
from writers import Tensors, write_safetensors

from calculator import compare, estimate, load_checkpoint, load_model
from calculator.errors import WorkloadError
from calculator.formats.named import FORMATS, GGML_FORMATS
from calculator.formats.quantization import READERS, UNPRICED
from calculator.sources.checkpoint import model_from_checkpoint
from calculator.sources.load import model_from_config

SMALL: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 256,
    "intermediate_size": 640,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}


def stored(config: dict[str, Any], layout: Layout, converted: str = r".*_proj\.weight") -> Tensors:
    """The tensors of the model, those whose names match as the layout stores them."""
    found: Tensors = {}
    plain = {key: value for key, value in config.items() if not key.startswith("quantization")}
    for name, shape in model_from_config(plain).tensors():
        if re.fullmatch(converted, name):
            found |= layout(name.removesuffix(".weight"), *shape)
        else:
            found[name] = ("BF16", shape)
    return found


def folder(path: Path, config: dict[str, Any], tensors: Tensors) -> Path:
    write_safetensors(path / "model.safetensors", tensors)
    (path / "config.json").write_text(json.dumps(config))
    return path


@pytest.mark.parametrize(("settings", "layout"), METHODS.values(), ids=METHODS)
def test_a_method_is_priced_as_it_is_stored(tmp_path: Path, settings: dict[str, Any], layout: Layout) -> None:
    config = SMALL | {"quantization_config": settings}
    model = load_model(folder(tmp_path, config, stored(config, layout)))
    found = compare(model, load_checkpoint(tmp_path))
    assert {row.reason for row in found.rows} <= {
        "packed quantized weight",
        "scale or zero point of a quantized weight",
    }
    assert found.formula.parameters == found.stored.parameters == model.parameters.total
    assert found.formula.nbytes == found.stored.nbytes == found.file_bytes == estimate(model).memory.weights
    assert found.equal
    assert not [n for n in model.notes if "quantized" in n]


@pytest.mark.parametrize(("settings", "layout"), MLX.values(), ids=MLX)
def test_mlx_converts_embedding_and_head_too(tmp_path: Path, settings: dict[str, Any], layout: Layout) -> None:
    config = SMALL | {"quantization": settings}
    tensors = stored(config, layout, r".*(?:_proj|embed_tokens|lm_head)\.weight")
    model = load_model(folder(tmp_path, config, tensors))
    found = compare(model, load_checkpoint(tmp_path))
    assert found.equal
    assert found.file_bytes == estimate(model).memory.weights


@pytest.mark.parametrize(("settings", "layout"), [*METHODS.values(), *MLX.values()], ids=[*METHODS, *MLX])
def test_headers_alone_tell_parameters_and_bytes(tmp_path: Path, settings: dict[str, Any], layout: Layout) -> None:
    key = "quantization_config" if "quant_method" in settings else "quantization"
    config = SMALL | {key: settings, "model_type": "brand_new"}
    known = model_from_config(SMALL)
    tensors = stored(config | {"model_type": "llama"}, layout)
    model = load_model(folder(tmp_path, config, tensors))
    assert model.certainty["parameters"] == model.certainty["weight_bytes"] == "exact"
    assert model.parameters.total == known.parameters.total
    assert estimate(model).memory.weights == load_checkpoint(tmp_path).nbytes
    assert estimate(model, sequence_length=64).flops.matmul == estimate(known, sequence_length=64).flops.matmul


def test_modules_that_are_left_out(tmp_path: Path) -> None:
    settings = METHODS["fp8, blocks"][0] | {"modules_to_not_convert": ["lm_head", "model.layers.0.mlp", "o_proj"]}
    config = SMALL | {"quantization_config": settings}
    tensors = stored(config, METHODS["fp8, blocks"][1], r".*\.(?:1\.mlp\..*|[qkv])_proj\.weight")
    model = load_model(folder(tmp_path, config, tensors))
    assert compare(model, load_checkpoint(tmp_path)).equal


def test_gptq_rules_for_single_modules(tmp_path: Path) -> None:
    rules = {r"-:.*\.0\.mlp\.down_proj": {}, r"+:.*\.1\..*": {"bits": 8}}
    settings = METHODS["gptq"][0] | {"dynamic": rules}
    config = SMALL | {"quantization_config": settings}
    eight = METHODS["gptq, 8 bit"][1]
    assert eight("x", 8, 64)["x.qweight"] == ("I32", (16, 8))

    def layout(name: str, rows: int, columns: int) -> Tensors:
        from layouts import gptq

        if name.endswith("0.mlp.down_proj"):
            return {f"{name}.weight": ("BF16", (rows, columns))}
        return gptq(8 if ".1." in name else 4, 128)(name, rows, columns)

    model = load_model(folder(tmp_path, config, stored(config, layout)))
    assert compare(model, load_checkpoint(tmp_path)).equal


def test_modelopt_layers_with_formats_of_their_own(tmp_path: Path) -> None:
    layers = {"model.layers.0.mlp": {"quant_algo": "NVFP4"}, "model.layers.1": {"quant_algo": "FP8"}}
    config = SMALL | {
        "quantization_config": {
            "quant_method": "modelopt",
            "quant_algo": "MIXED_PRECISION",
            "quantized_layers": layers,
        }
    }

    def layout(name: str, rows: int, columns: int) -> Tensors:
        if ".1." in name:
            return METHODS["modelopt fp8"][1](name, rows, columns)
        if ".mlp." in name:
            return METHODS["modelopt nvfp4"][1](name, rows, columns)
        return {f"{name}.weight": ("BF16", (rows, columns))}

    model = load_model(folder(tmp_path, config, stored(config, layout)))
    assert compare(model, load_checkpoint(tmp_path)).equal


@pytest.mark.parametrize("method", [*UNPRICED, "something-new", "intel/auto-mystery"])
def test_what_is_not_known_is_said(method: str) -> None:
    model = model_from_config(SMALL | {"quantization_config": {"quant_method": method}})
    note = next(n for n in model.notes if "quantized" in n)
    assert method.rpartition("/")[2] in note
    assert "priced unquantized" in note
    assert method not in READERS


def test_experts_of_deepseek_v4_are_in_4_bit() -> None:
    """expert_dtype beside FP8 for everything else: 4-bit floats with an 8-bit scale per 32."""
    config = {"expert_dtype": "fp4", "quantization_config": METHODS["fp8, blocks"][0]}
    from calculator.formats.quantization import scheme_of

    scheme, _ = scheme_of(config)
    assert scheme is not None
    assert scheme.pick("model.layers.0.mlp.experts.*.down_proj", "experts", False) == FORMATS["mxfp4"]
    form = scheme.pick("model.layers.0.self_attn.o_proj", "linear", False)
    assert form is not None
    assert (form.bits, form.tile_rows) == (8, 128)


def test_experts_as_mlx_names_them() -> None:
    from calculator.formats.quantization import scheme_of

    settings = {"bits": 4, "group_size": 64}
    settings |= {"model.layers.0.mlp.switch_mlp.down_proj": {"bits": 4, "group_size": 32, "mode": "mxfp4"}}
    scheme, _ = scheme_of({"quantization": settings})
    assert scheme is not None
    for name in ("model.layers.0.mlp.experts.*.w2", "model.layers.0.mlp.experts.down_proj"):
        form = scheme.pick(name, "experts", False)
        assert form is not None
        assert (form.name, form.scale_bits, form.tile_columns) == ("mxfp4", 8, 32)
    form = scheme.pick("model.layers.0.mlp.experts.*.w1", "experts", False)
    assert form is not None
    assert form.name == "int4"


# Published sizes


def test_llama_3_8b_awq_takes_5_73_gb() -> None:
    """casperhansen/llama-3-8b-instruct-awq: two files of 5.73 GB together."""
    config = dict(load_model("meta-llama/Meta-Llama-3-8B").config)
    model = model_from_config(config | {"quantization_config": METHODS["awq"][0]})
    assert estimate(model).memory.weights == 5_727_854_592


def test_llama_405b_fp8_takes_57_75_gib_a_gpu() -> None:
    """meta-llama/Llama-3.1-405B-FP8 as first published, with 16 key-value heads, on 8 GPUs with vLLM: attention and the
    first and last layer in 16 bit. Every GPU holds all norms, row scales of the down projections, and the rotary table
    of 131,072 positions."""
    layers = range(126)
    kept = [f"model.layers.{i}.self_attn.{p}_proj" for i in layers for p in "qkvo"]
    kept += [f"model.layers.{i}.mlp.{p}_proj" for i in (0, 125) for p in ("gate", "up", "down")]
    settings = {
        "quant_method": "fbgemm_fp8",
        "activation_scale_ub": 1200.0,
        "modules_to_not_convert": ["lm_head", *kept],
    }
    sizes = {"hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126, "num_attention_heads": 128}
    sizes |= {"num_key_value_heads": 16, "vocab_size": 128256, "max_position_embeddings": 131072}
    model = model_from_config(SMALL | sizes | {"quantization_config": settings})
    weights = estimate(model).memory.weights
    assert weights == 495_684_976_640
    norms, scales, rotary = 253 * 16384 * 2, 124 * 16384 * 4, 131072 * 128 * 2
    assert round(((weights - norms - scales) / 8 + norms + scales + rotary) / 2**30, 2) == 57.75


@pytest.mark.parametrize(
    ("sizes", "kind", "gib"),
    [
        # ggml-org/llama.cpp, tools/quantize/README.md (Llama 3.1 8B); its bits a weight are 8.5008
        ({}, "q8_0", 7.95),
        # ggml-org/llama.cpp, the first README's table (LLaMA 2 7B)
        ({"intermediate_size": 11008, "num_key_value_heads": 32, "vocab_size": 32000}, "q4_0", 3.56),
        ({"intermediate_size": 11008, "num_key_value_heads": 32, "vocab_size": 32000}, "q8_0", 6.67),
        # ollama/ollama issue 6279: "model size = 37.22 GiB (4.53 BPW)"
        (
            {"hidden_size": 8192, "intermediate_size": 28672, "num_attention_heads": 64, "num_hidden_layers": 80},
            "q4_0",
            37.22,
        ),
    ],
)
def test_gguf_types_by_name(sizes: dict[str, int], kind: str, gib: float) -> None:
    llama = {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32, "num_key_value_heads": 8}
    llama |= {"num_hidden_layers": 32, "vocab_size": 128256}
    model = model_from_config(SMALL | llama | sizes)
    assert round(estimate(model, dtype=kind).memory.weights / 2**30, 2) == gib


def test_gguf_rows_that_are_no_whole_blocks() -> None:
    """llama.cpp falls back to blocks of 32, and to 16 bit where these do not fit either."""
    from calculator.formats.weight import Weight

    q4 = GGML_FORMATS["q4_k"]
    assert q4.size(Weight("", (2, 512), "linear")) == 2 * 2 * 144
    assert q4.size(Weight("", (2, 96), "linear")) == 2 * 3 * 22  # Q5_0
    assert q4.size(Weight("", (2, 40), "linear")) == 2 * 40 * 2


def test_bits_of_gguf_types_as_precisions() -> None:
    found = {name: form.bits_per_weight() for name, form in GGML_FORMATS.items()}
    assert (found["q4_k"], found["q5_k"], found["q6_k"], found["q8_0"], found["iq4_xs"]) == (
        4.5,
        5.5,
        6.5625,
        8.5,
        4.25,
    )
    with pytest.raises(WorkloadError, match="is no mixture or type of"):
        estimate(model_from_config(SMALL), dtype="Q4_K_Q")


def test_a_checkpoint_without_a_config_keeps_its_bytes(tmp_path: Path) -> None:
    """Packed along an axis that only the config tells: the elements are unknown, the bytes are not."""
    tensors = stored(SMALL, METHODS["int4 packed"][1])
    headers = load_checkpoint(write_safetensors(tmp_path / "x.safetensors", tensors))
    model = model_from_checkpoint(headers)
    assert model.certainty["parameters"] == model.certainty["linear_flops"] == "unknown"
    assert estimate(model).memory.weights == headers.nbytes
    assert any("packed in a way" in note for note in model.notes)
