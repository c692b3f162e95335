"""The earlier calculator's names: its README's snippets as they stand, but for the import, and exact results."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

import calculator
from calculator.compatibility import FlopsComponents, MemoryComponents, TransformerCalculator
from calculator.errors import ConfigError, WorkloadError
from calculator.sources.manual import DataType, ModelConfig, ModelType, OperationMode, manual_model

IMPORT = "from calculator import TransformerCalculator, ModelConfig, ModelType, OperationMode\n"

SNIPPETS = {
    "Python API": """
# Create configuration
config = ModelConfig(
    num_layers=24,
    hidden_size=2048,
    num_attention_heads=16,
    sequence_length=2048,
    batch_size=4,
    model_type=ModelType.DENSE
)

# Create calculator and analyze
calculator = TransformerCalculator(config)
print(calculator.generate_table(OperationMode.PREFILL, "all"))
""",
    "MoE Configuration": """
config = ModelConfig(
    model_type=ModelType.MOE,
    num_experts=8,                # Number of experts
    top_k=2,                     # Top-k expert selection
    expert_capacity_factor=1.0,   # Capacity factor
    moe_intermediate_size=8192,   # Expert MLP dimension
)
""",
    "Custom Configuration": """
# Advanced MoE configuration
config = ModelConfig(
    num_layers=32,
    hidden_size=4096,
    model_type=ModelType.MOE,
    num_experts=8,
    top_k=2,
    use_flash_attention=True,
    use_flash_decode=True,
    flash_attention_block_size=4096,
    flash_decode_block_size=1024,
)
""",
    "Example 1": """
# Compare different model sizes
models = [
    ("Qwen/Qwen2.5-7B", "7B Dense"),
    ("Qwen/Qwen2.5-14B", "14B Dense"),
    ("Qwen/Qwen2.5-72B", "72B Dense"),
    ("deepseek-ai/DeepSeek-V3.1-Terminus", "685B MoE")
]

for model_path, description in models:
    print(f"\\n=== {description} ===")
    # Run analysis...
""",
    "Example 2": """
# Analyze memory vs sequence length
sequence_lengths = [512, 1024, 2048, 4096, 8192]

for seq_len in sequence_lengths:
    config = ModelConfig(
        num_layers=12,
        hidden_size=1024,
        sequence_length=seq_len,
        batch_size=1
    )
    
    calculator = TransformerCalculator(config)
    memory = calculator.calculate_memory(OperationMode.PREFILL)
    print(f"Seq Length: {seq_len}, Memory: {memory.total / (1024**2):.2f} MB")
""",
    "Example 3": """
# Analyze MoE model efficiency
config = ModelConfig(
    num_layers=32,
    hidden_size=4096,
    model_type=ModelType.MOE,
    num_experts=8,
    top_k=2,
    sequence_length=2048,
    batch_size=4
)

calculator = TransformerCalculator(config)
reuse = calculator.calculate_reuse(OperationMode.PREFILL)
print(f"Total Arithmetic Intensity: {reuse.total:.2f} FLOPS/B")
""",
}

PRINTED = {
    "MoE Configuration": "",
    "Custom Configuration": "",
    "Example 1": "\n=== 7B Dense ===\n\n=== 14B Dense ===\n\n=== 72B Dense ===\n\n=== 685B MoE ===\n",
    "Example 2": "Seq Length: 512, Memory: 452.30 MB\nSeq Length: 1024, Memory: 485.55 MB\n"
    "Seq Length: 2048, Memory: 552.05 MB\nSeq Length: 4096, Memory: 685.05 MB\nSeq Length: 8192, Memory: 951.05 MB\n",
    "Example 3": "Total Arithmetic Intensity: 842.83 FLOPS/B\n",
}

PLACES = ("attention", "projections", "mlp", "embeddings", "layer_norm")
KINDS = ("weights", "kv_cache", "activations", "gradients", "optimizer_states")
SMALL = {"num_layers": 2, "hidden_size": 256, "vocab_size": 1000, "sequence_length": 64}
MODES = list(OperationMode)


def execute(snippet: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(IMPORT + snippet, "README", "exec"), names)
    return names


@pytest.mark.parametrize("name", PRINTED)
def test_readme_snippet_prints(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    execute(SNIPPETS[name])
    assert capsys.readouterr().out == PRINTED[name]


def test_readme_api_snippet_prints_the_three_tables(capsys: pytest.CaptureFixture[str]) -> None:
    names = execute(SNIPPETS["Python API"])
    out = capsys.readouterr().out
    assert [line for line in out.splitlines() if line.startswith("TRANSFORMER")] == [
        "TRANSFORMER MEMORY ANALYSIS - PREFILL",
        "TRANSFORMER FLOPS ANALYSIS - PREFILL",
        "TRANSFORMER ARITHMETIC INTENSITY ANALYSIS - PREFILL",
    ]
    # 24·(4·2048² + 3·2048·5632 + 2·2048) + 2048 + 2·32000·2048
    assert names["calculator"].model.parameters.total == 1_364_297_728


def test_moe_snippet_is_priced() -> None:
    config = execute(SNIPPETS["MoE Configuration"])["config"]
    # 32·(4·4096² + 8·3·4096·8192 + 8·4096 + 2·4096) + 4096 + 2·32000·4096
    assert manual_model(config).parameters.total == 28_180_746_240
    assert manual_model(config).experts.top_k == 2


def test_package_offers_the_names() -> None:
    for name in ("DataType", "ModelConfig", "ModelType", "OperationMode", "TransformerCalculator"):
        assert getattr(calculator, name) is globals()[name]


# Models


def test_the_defaults_are_llama_2_7b() -> None:
    ours, bundled = manual_model(ModelConfig()), calculator.load_model("meta-llama/Llama-2-7b-hf")
    assert ours.parameters.total == 6_738_415_616
    assert ours.parameters == bundled.parameters
    assert ours.text.layers == bundled.text.layers
    assert (ours.context_length, ours.stated_dtype, ours.notes) == (None, "bf16", ())


def test_typed_numbers_give_mixtral() -> None:
    config = ModelConfig(
        num_key_value_heads=8, model_type=ModelType.MOE, num_experts=8, top_k=2, moe_intermediate_size=14336
    )
    assert manual_model(config).parameters.total == 46_702_792_704
    assert manual_model(config).parameters.active == 12_879_925_248


def test_shared_experts_are_those_of_qwen1_5_moe() -> None:
    config = ModelConfig(
        num_layers=24,
        hidden_size=2048,
        num_attention_heads=16,
        vocab_size=151936,
        model_type="moe",
        num_experts=60,
        top_k=4,
        moe_intermediate_size=1408,
        num_shared_experts=4,
    )
    # Qwen1.5-MoE-A2.7B, published with 14,315,784,192, but for its biases of q, k and v: 24·3·2048.
    assert manual_model(config).parameters.total == 14_315_784_192 - 147_456


@pytest.mark.parametrize(
    ("hidden", "heads", "head_dim", "intermediate"),
    [(4096, 32, 128, 11008), (5120, 40, 128, 13824), (2048, 16, 128, 5632), (1024, 16, 64, 2816), (48, 1, 48, 256)],
)
def test_sizes_left_out(hidden: int, heads: int, head_dim: int, intermediate: int) -> None:
    read = manual_model(ModelConfig(num_layers=1, hidden_size=hidden)).config
    assert (read["num_attention_heads"], read["num_key_value_heads"], read["head_dim"]) == (heads, heads, head_dim)
    assert read["intermediate_size"] == intermediate


def test_sizes_left_out_follow_a_changed_config() -> None:
    config = ModelConfig(num_layers=1)
    config.hidden_size = 5120
    assert manual_model(config).config["num_attention_heads"] == 40
    assert manual_model(dataclasses.replace(config, hidden_size=1024)).config["num_attention_heads"] == 16


def test_tied_head_is_counted_once() -> None:
    tied = manual_model(ModelConfig(tie_word_embeddings=True)).parameters.total
    assert tied == 6_738_415_616 - 32000 * 4096


def test_wider_heads_than_the_hidden_size() -> None:
    read = manual_model(ModelConfig(num_layers=1, hidden_size=1024, num_attention_heads=16, head_dim=128))
    assert read.parameters.by_component["attention"] == 4 * 1024 * 16 * 128


# Results


def test_prefill_memory_of_llama_2_7b() -> None:
    assert TransformerCalculator(ModelConfig()).calculate_memory(OperationMode.PREFILL) == MemoryComponents(
        attention=1_073_741_824,  # the cache: 2·2048·4096·32 elements of 2 bytes
        projections=4_294_967_296,  # 32·4·4096² weights
        mlp=8_657_043_456 + 152_043_520,  # 32·3·4096·11008 weights, and the activations' peak
        embeddings=524_288_000,  # embedding and head
        layer_norm=532_480,
        weights=13_476_831_232,
        kv_cache=1_073_741_824,
        activations=152_043_520,  # gate, up and their product, and the residual stream
        gradients=0,
        optimizer_states=0,
        total=14_702_616_576,
    )


def test_prefill_flops_of_llama_2_7b() -> None:
    assert TransformerCalculator(ModelConfig()).calculate_flops(OperationMode.PREFILL) == FlopsComponents(
        attention=2_199_023_255_552 + 21_474_836_480 + 1_610_612_736,  # 4·S²·d, softmax 5·S²·n_h, rotary 3·S·2·d
        projections=8_796_093_022_208,  # 2·S·4·d²
        mlp=17_729_624_997_888 + 4_328_521_728,  # 2·S·3·d·d_ff, activation 6·S·d_ff
        embeddings=262_144_000,  # the last position's logits
        layer_norm=2_717_908_992,
        optimizer=0,
        total=28_755_135_299_584,
    )


def test_pretraining_holds_gradients_and_optimizer_states() -> None:
    memory = TransformerCalculator(ModelConfig()).calculate_memory(OperationMode.PRETRAINING)
    assert memory.gradients == 6_738_415_616 * 2
    assert memory.optimizer_states == 6_738_415_616 * 12
    assert memory.kv_cache == 0
    assert TransformerCalculator(ModelConfig()).calculate_flops("pretraining").optimizer == 6_738_415_616 * 16


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("dtype", list(DataType))
@pytest.mark.parametrize("experts", [{}, {"model_type": ModelType.MOE}, {"model_type": "moe", "num_shared_experts": 1}])
def test_both_views_add_up_to_the_total(
    mode: OperationMode, flash: bool, dtype: DataType, experts: dict[str, Any]
) -> None:
    config = ModelConfig(**SMALL, dtype=dtype, use_flash_attention=flash, **experts)
    counted = TransformerCalculator(config)
    memory, flops = counted.calculate_memory(mode), counted.calculate_flops(mode)
    assert sum(getattr(memory, place) for place in PLACES) == memory.total
    assert sum(getattr(memory, kind) for kind in KINDS) == memory.total
    assert sum(getattr(flops, place) for place in (*PLACES, "optimizer")) == flops.total
    assert {type(v) for v in (*vars(memory).values(), *vars(flops).values())} == {int}
    assert {type(v) for v in vars(counted.calculate_reuse(mode)).values()} == {float}


def test_results_are_the_engine_s() -> None:
    config = ModelConfig(dtype=DataType.INT4, batch_size=3)
    workload = calculator.Workload(mode="decode", batch_size=3, sequence_length=2048, dtype="int4")
    engine = calculator.estimate(manual_model(config), workload)
    ours = TransformerCalculator(config)
    assert ours.calculate_memory(OperationMode.DECODE).total == engine.memory.total
    assert ours.calculate_flops(OperationMode.DECODE).total == engine.flops.total
    assert ours.calculate_reuse(OperationMode.DECODE).total == engine.intensity


def test_fp32_doubles_the_weights_and_int8_nearly_halves_them() -> None:
    def weights(dtype: DataType) -> int:
        return TransformerCalculator(ModelConfig(dtype=dtype)).calculate_memory(OperationMode.DECODE).weights

    assert weights(DataType.AUTO) == weights(DataType.BF16) == weights(DataType.FP16) == 6_738_415_616 * 2
    assert weights(DataType.FP32) == 6_738_415_616 * 4
    # 32·(4·4096² + 3·4096·11008) bytes with a 16-bit scale a row; embedding, head and norms stay in 16 bit.
    assert weights(DataType.INT8) == 7_003_545_600


def test_sharing_experts_holds_one_layer_s_experts() -> None:
    apart, shared = (
        TransformerCalculator(ModelConfig(model_type=ModelType.MOE, share_experts_across_layers=share))
        for share in (False, True)
    )
    one_layer = 8 * 3 * 4096 * 11008 * 2
    difference = apart.calculate_memory("decode").weights - shared.calculate_memory("decode").weights
    assert difference == 31 * one_layer


def test_capacity_pads_the_experts_of_a_decode_step() -> None:
    free, padded = (
        TransformerCalculator(ModelConfig(**SMALL, model_type="moe", expert_capacity_factor=factor))
        for factor in (None, 1.0)
    )
    # One token visits 2 of 8 experts; a capacity of one token each computes all 8.
    expert = 2 * (2 * 3 * 256 * 768 + 6 * 768) + 2 * (2 * 256)  # of 2 layers: matrices, activation, combination
    assert padded.calculate_flops("decode").mlp - free.calculate_flops("decode").mlp == 6 * expert


# Tables


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("table", ["memory", "flops", "reuse"])
def test_table_columns_are_aligned(mode: OperationMode, table: str) -> None:
    lines = TransformerCalculator(ModelConfig()).generate_table(mode, table).splitlines()
    rows = [line for line in lines if line.startswith(("Component", "Kind", "Attention", "MLP", "Weights", "TOTAL"))]
    assert {len(line) for line in rows} == {54}
    assert {line[20] + line[41] for line in rows} == {"  "}
    assert max(map(len, lines)) <= 100


def test_memory_table() -> None:
    lines = TransformerCalculator(ModelConfig()).generate_table(OperationMode.PREFILL, "memory").splitlines()
    assert lines[1] == "TRANSFORMER MEMORY ANALYSIS - PREFILL"
    assert lines[3] == "Custom DENSE model: 32 layers, hidden size 4,096, 6,738,415,616 parameters"
    assert "Attention            1.00 GiB                   7.30 %" in lines
    assert "KV Cache             1.00 GiB                   7.30 %" in lines
    assert "TOTAL                13.69 GiB                100.00 %" in lines


def test_reuse_table_names_the_class() -> None:
    text = TransformerCalculator(ModelConfig()).generate_table(OperationMode.DECODE, "reuse")
    assert text.splitlines()[-2].split() == ["TOTAL", "1.00", "FLOP/B", "low"]


def test_all_is_the_three_tables_in_order() -> None:
    counted = TransformerCalculator(ModelConfig(**SMALL))
    parts = [counted.generate_table(OperationMode.DECODE, table) for table in ("memory", "flops", "reuse")]
    assert counted.generate_table(OperationMode.DECODE, "all") == "\n".join(parts)


def test_a_doubtful_result_carries_its_warning() -> None:
    text = TransformerCalculator(ModelConfig(**SMALL, dtype=DataType.INT4)).generate_table("pretraining", "flops")
    assert "Weights in int4 cannot be pretrained; what is priced is their storage." in text


# Errors


@pytest.mark.parametrize(
    ("fields", "error", "sentence"),
    [
        ({"num_layers": 0}, ConfigError, "num_layers must be a whole number from 1 to 10,000, not 0."),
        ({"num_layers": None}, ConfigError, "num_layers must be a whole number from 1 to 10,000, not None."),
        ({"hidden_size": 64.5}, ConfigError, "hidden_size must be a whole number from 1 to 1,000,000,000, not 64.5."),
        ({"hidden_size": True}, ConfigError, "hidden_size must be a whole number from 1 to 1,000,000,000, not True."),
        ({"vocab_size": "x"}, ConfigError, "vocab_size must be a whole number from 1 to 1,000,000,000, not 'x'."),
        (
            {"num_attention_heads": 33},
            ConfigError,
            "num_attention_heads is 33, which does not divide hidden_size, 4096; give a divisor of 4096, or head_dim.",
        ),
        (
            {"num_key_value_heads": 5},
            ConfigError,
            "num_key_value_heads is 5, which does not divide num_attention_heads, 32; give a divisor of 32.",
        ),
        (
            {"num_experts": 8},
            ConfigError,
            "num_experts and num_shared_experts need model_type=ModelType.MOE, but this model is DENSE; change one.",
        ),
        (
            {"model_type": "moe", "num_experts": 2, "top_k": 3},
            ConfigError,
            "top_k is 3, more than the 2 experts; give 2 or less.",
        ),
        ({"batch_size": 0}, WorkloadError, "batch_size must be a whole number from 1 to 1,000,000,000,000, not 0."),
        (
            {"sequence_length": "max"},
            WorkloadError,
            "sequence_length must be a whole number from 1 to 1,000,000,000,000, not 'max'.",
        ),
        (
            {"flash_decode_block_size": 0},
            WorkloadError,
            "flash_decode_block_size must be a whole number from 1 to 1,000,000,000,000, not 0.",
        ),
        (
            {"model_type": "dens"},
            WorkloadError,
            "model_type 'dens' is not known; choose one of ModelType.DENSE, ModelType.MOE. Did you mean "
            "ModelType.DENSE?",
        ),
        (
            {"model_type": "moe", "expert_capacity_factor": 0},
            WorkloadError,
            "expert_capacity_factor must be a positive number or None, not 0.",
        ),
    ],
)
def test_a_bad_field_is_named(fields: dict[str, Any], error: type[Exception], sentence: str) -> None:
    with pytest.raises(error) as raised:
        ModelConfig(**fields)
    assert str(raised.value) == sentence


def test_a_field_spoilt_later_is_named_too() -> None:
    config = ModelConfig()
    config.num_key_value_heads = 3
    with pytest.raises(ConfigError, match="num_key_value_heads is 3"):
        TransformerCalculator(config).calculate_memory(OperationMode.DECODE)


def test_unknown_mode_and_table() -> None:
    counted = TransformerCalculator(ModelConfig())
    with pytest.raises(WorkloadError, match="mode 'training' is not known; choose one of OperationMode"):
        counted.calculate_memory("training")
    with pytest.raises(WorkloadError, match="Table 'cost' is not known; choose one of memory, flops, reuse, all"):
        counted.generate_table(OperationMode.DECODE, "cost")


def test_numpy_integers_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    config = ModelConfig(**{**SMALL, "sequence_length": numpy.int64(64), "hidden_size": numpy.int32(256)})
    same = ModelConfig(**SMALL)
    results = [TransformerCalculator(c).calculate_memory(OperationMode.PREFILL) for c in (config, same)]
    assert results[0] == results[1]
    with pytest.raises(WorkloadError, match="sequence_length must be a whole number"):
        ModelConfig(sequence_length=numpy.array([1, 2]))
