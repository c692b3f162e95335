"""What the numbers are: literal values of real models, and what must hold between the numbers of any model."""

from __future__ import annotations

import numpy as np
import pytest

import calculator
from calculator import Workload, estimate, load_model
from calculator.formats.named import FORMATS
from calculator.passes.totals import intensity_class
from calculator.record.options import MODES
from calculator.record.vocabulary import HELD, QUANTITIES
from calculator.report.why import explain
from calculator.sources import catalogue
from calculator.sources.load import model_from_config

MIXED = [
    "Qwen/Qwen2.5-7B",
    "deepseek-ai/DeepSeek-V3.1-Terminus",
    "openai/gpt-oss-20b",
    "Qwen/Qwen3-Next-80B-A3B-Instruct",
    "tiiuae/Falcon-H1-34B-Instruct",
    "state-spaces/mamba-370m-hf",
    "openai-community/gpt2",
    "google/gemma-2-9b",
    "Qwen/Qwen3-VL-8B-Instruct",
]
BUNDLED = [entry.id for entry in catalogue.entries()]


@pytest.mark.parametrize(
    ("name", "total", "active"),
    [
        ("openai/gpt-oss-120b", 116_829_156_672, 5_711_982_912),
        ("deepseek-ai/DeepSeek-V3.1-Terminus", 671_026_404_352, 37_552_282_624),
        ("Qwen/Qwen3-VL-235B-A22B-Thinking", 235_670_022_896, 22_767_151_856),
        ("tiiuae/Falcon-H1-34B-Instruct", 33_642_516_224, 33_642_516_224),
        ("Qwen/Qwen2.5-7B", 7_615_616_512, 7_615_616_512),
        ("mistralai/Mixtral-8x7B-v0.1", 46_702_792_704, 12_879_925_248),
        ("moonshotai/Kimi-K2-Instruct", 1_026_408_209_408, 32_861_477_888),
    ],
)
def test_parameters(name, total, active):
    p = load_model(name).parameters
    assert (p.total, p.active) == (total, active)
    assert sum(p.by_component.values()) == total


@pytest.mark.parametrize(
    ("name", "all_logits", "last_logit", "decode"),
    [  # torch's FlopCounterMode on transformers' models, eager attention
        ("meta-llama/Llama-2-7b-hf", 29_261_612_187_648, 28_725_003_419_648, 14_288_420_864),
        ("meta-llama/Meta-Llama-3-8B", 32_938_104_193_024, 30_787_376_250_880, 16_083_582_976),
        ("Qwen/Qwen2.5-7B", 30_643_517_915_136, 28_412_298_657_792, 14_963_056_640),
    ],
)
def test_matmul_flops(name, all_logits, last_logit, decode):
    model = load_model(name)
    assert estimate(model, sequence_length=2048, logits="all").flops.matmul == all_logits
    assert estimate(model, sequence_length=2048).flops.matmul == last_logit
    assert estimate(model, mode="decode", sequence_length=2048).flops.matmul == decode
    assert estimate(model, mode="pretraining", sequence_length=2048).flops.matmul == 3 * all_logits


def test_experts_flops():
    e = estimate(load_model("mistralai/Mixtral-8x7B-v0.1"), sequence_length=128, logits="all")
    assert e.flops.matmul == 3_272_228_208_640


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [
        ("meta-llama/Llama-2-7b-hf", 2048 * 2**20),
        ("meta-llama/Meta-Llama-3-8B", 512 * 2**20),
        ("Qwen/Qwen2.5-7B", 224 * 2**20),
        ("openai/gpt-oss-20b", 99 * 2**20),  # twelve full layers, twelve that stop at 128 tokens
        ("deepseek-ai/DeepSeek-V3", 70_272 * 4096),  # 61 layers × (512 + 64) × 2 bytes
    ],
)
@pytest.mark.parametrize("mode", ["prefill", "decode"])
def test_kv_cache(name, bytes_, mode):
    assert estimate(load_model(name), mode=mode, sequence_length=4096, kv_dtype="bf16").memory.kv_cache == bytes_


def test_a_window_stops_growing():
    model = load_model("mistralai/Mistral-7B-v0.1")
    held = [estimate(model, mode="decode", sequence_length=s).memory.kv_cache for s in (1024, 4096, 8192, 32768)]
    assert held == [2**27, 2**29, 2**29, 2**29]


def test_state_does_not_grow():
    model = load_model("state-spaces/mamba-370m-hf")
    held = {estimate(model, mode="decode", sequence_length=s).memory.kv_cache for s in (1, 1000, 100_000)}
    # 48 layers × 2048 channels × (16 states + 3 past inputs) × 4 bytes: the config says float32
    assert held == {48 * 2048 * (16 + 3) * 4}


@pytest.mark.parametrize(
    ("name", "bytes_"),
    [("openai/gpt-oss-20b", 13_761_264_768), ("openai/gpt-oss-120b", 65_248_815_744)],
)
def test_checkpoint_bytes(name, bytes_):
    """The published sizes of the checkpoints, MXFP4 experts and 16-bit rest."""
    assert estimate(load_model(name)).memory.weights == bytes_


def test_bits_per_weight():
    assert {name: round(f.bits_per_weight(), 3) for name, f in FORMATS.items() if f.quantized} == {
        "fp8": 8.0,
        "int8": 8.004,
        "int4": 4.156,
        "mxfp4": 4.25,
        "nvfp4": 4.5,
        "nf4": 4.127,
    }


def test_quantized_weights_leave_embedding_head_and_norms_in_16_bit():
    model = load_model("meta-llama/Meta-Llama-3-8B")
    matrices = 32 * (2 * 4096 * 4096 + 2 * 1024 * 4096 + 3 * 14336 * 4096)
    rest = model.parameters.total - matrices
    groups = matrices // 128
    assert (
        estimate(model, dtype="int4").memory.weights
        == matrices // 2 + groups * 2 + groups // 2 + rest * 2
        == 5_727_854_592
    )
    assert estimate(model, dtype="fp8").memory.weights == matrices + 32 * 7 * 4 + rest * 2


def test_quantization_config_of_deepseek():
    model = load_model("deepseek-ai/DeepSeek-V3")
    assert model.scheme.title == "FP8, one 32-bit scale per 128×128 block"
    e = estimate(model)
    q_a = next(op for op in e.operations if op.name == "self_attn.q_a_proj")
    assert q_a.weight_bytes == 1536 * 7168 + 12 * 56 * 4
    assert next(op for op in e.operations if op.name == "mlp.gate").weight_bytes == 256 * 7168 * 2


def test_weights_and_cache_precision_are_apart():
    model = load_model("Qwen/Qwen2.5-7B")
    base, small = estimate(model, mode="decode"), estimate(model, mode="decode", kv_dtype="fp8")
    assert small.memory.kv_cache * 2 == base.memory.kv_cache
    assert small.memory.weights == base.memory.weights
    assert estimate(model, dtype="float16").workload.dtype == "fp16"


@pytest.mark.parametrize("name", BUNDLED)
def test_every_bundled_model_in_every_mode(name):
    model = load_model(name)
    for mode in MODES:
        e = estimate(model, mode=mode)
        m = e.memory
        assert m.total == m.weights + m.kv_cache + m.activations + m.gradients + m.optimizer_states
        assert sum(sum(cells.values()) for cells in m.by_component.values()) == m.total
        assert sum(e.flops.by_component.values()) == sum(e.flops.by_kind.values()) == e.flops.total
        assert (
            sum(e.traffic.by_component.values())
            == e.traffic.total
            == e.traffic.weights + e.traffic.activations + e.traffic.cache
        )
        assert e.flops.matmul <= e.flops.total
        assert all(isinstance(n, int) for n in (m.total, e.flops.total, e.traffic.total))
        assert (
            sum(op.parameters * op.stored for op in e.operations) == model.parameters.total >= model.parameters.active
        )


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("mode", MODES)
def test_arrays_equal_scalars(name, mode):
    model = load_model(name)
    batch, length = np.array([1, 3, 64])[:, None], np.array([1, 100, 4096, 40_000])[None, :]
    for options in (
        {},
        {"attention": "eager", "attention_flops": "causal", "flash_block_size": 64},
        {"routing": "uniform"},
    ):
        grid = estimate(model, mode=mode, batch_size=batch, sequence_length=length, **options)
        m = grid.memory
        fields = (
            m.weights,
            m.kv_cache,
            m.activations,
            m.gradients,
            m.optimizer_states,
            m.total,
            grid.flops.total,
            grid.flops.matmul,
            grid.traffic.total,
            grid.intensity,
            *grid.flops.by_component.values(),
            grid.operations[0].parameters,
        )
        assert {field.shape for field in fields} == {(3, 4)}
        for i, b in enumerate(batch[:, 0].tolist()):
            for j, s in enumerate(length[0].tolist()):
                one = estimate(model, mode=mode, batch_size=b, sequence_length=s, **options)
                assert grid.memory.total[i, j] == one.memory.total
                assert grid.flops.total[i, j] == one.flops.total
                assert grid.flops.matmul[i, j] == one.flops.matmul
                assert grid.traffic.total[i, j] == pytest.approx(one.traffic.total, rel=1e-12 if options else 0)


def test_a_grid_too_large_for_int64_is_not_wrong():
    model = load_model("meta-llama/Meta-Llama-3.1-405B")
    grid = estimate(model, mode="pretraining", batch_size=np.array([1, 10**6]), sequence_length=10**6)
    one = estimate(model, mode="pretraining", batch_size=10**6, sequence_length=10**6)
    assert one.flops.total > 2**63
    assert grid.flops.total[1] == pytest.approx(one.flops.total, rel=1e-15)


@pytest.mark.parametrize("name", MIXED)
def test_generation_is_the_sum_of_its_steps(name):
    model = load_model(name)
    for start in (1, 100, 250, 5000):
        whole = estimate(model, mode="decode", batch_size=3, sequence_length=start, decode_length=12).generation
        steps = [estimate(model, mode="decode", batch_size=3, sequence_length=start + i) for i in range(12)]
        assert whole.flops.total == sum(e.flops.total for e in steps)
        assert whole.traffic.total == sum(e.traffic.total for e in steps)
        assert (
            whole.kv_cache == estimate(model, mode="decode", batch_size=3, sequence_length=start + 12).memory.kv_cache
        )


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("mode", MODES)
def test_formulas_are_the_numbers(name, mode):
    model = load_model(name)
    for attention in ("flash", "eager"):
        w = Workload(mode=mode, batch_size=3, sequence_length=1000, attention=attention, attention_flops="causal")
        explained = explain(model, w)
        assert [x.operation for x in explained] == estimate(model, w).operations
        for x in explained:
            for amount, formula in x.formulas.items():
                assert formula.value == getattr(x.operation, amount), (x.operation.name, amount, str(formula))


def test_a_formula_reads_well():
    explained = explain(load_model("Qwen/Qwen2.5-7B"), Workload(sequence_length=4096))
    gate = next(x for x in explained if x.operation.name == "mlp.gate_proj").formulas["flops"]
    assert str(gate) == "2·B·S·d·d_ff = 2·1·4096·3584·18944 = 556,198,264,832"
    attention = next(x for x in explained if x.operation.name == "self_attn.attention").formulas["flops"]
    assert str(attention) == "4·B·S²·n_h·d_h = 4·1·4096²·28·128 = 240,518,168,576"


def test_causal_counts_half_and_changes_nothing_else():
    model = load_model("Qwen/Qwen2.5-7B")
    full, causal = (estimate(model, attention_flops=f) for f in ("full", "causal"))
    kinds = [e.flops.by_kind["attention"] for e in (full, causal)]
    assert kinds[0] == 2 * kinds[1] == 28 * 4 * 4096 * 4096 * 3584
    assert full.flops.by_kind["matmul"] == causal.flops.by_kind["matmul"]
    assert full.memory.total == causal.memory.total


def test_flash_is_linear_and_eager_is_quadratic():
    model = load_model("Qwen/Qwen2.5-7B")
    flash = [estimate(model, sequence_length=s).memory.activations for s in (8192, 16384)]
    eager = [estimate(model, sequence_length=s, attention="eager").memory.activations for s in (8192, 16384)]
    assert flash[1] == 2 * flash[0]
    assert 3.9 < eager[1] / eager[0] < 4  # beside the scores there is the residual stream, which is linear
    assert estimate(model).flops.total == estimate(model, attention="eager").flops.total


def test_capacity_factor():
    model = load_model("mistralai/Mixtral-8x7B-v0.1")
    free, even, padded = (
        estimate(model, expert_capacity_factor=c).flops.by_component["experts"] for c in (None, 1, 1.25)
    )
    assert free == even
    assert padded * 4 == even * 5


def test_experts_touched():
    model = load_model("deepseek-ai/DeepSeek-V3")
    reads = {b: estimate(model, mode="decode", batch_size=b).traffic.by_component["experts"] for b in (1, 32, 64)}
    held = estimate(model).memory.by_component["experts"]["weights"]
    assert reads[1] < held / 30 < held < reads[32] < reads[64]  # 8 of 256 experts; from 32 tokens on all of them
    uniform = estimate(model, mode="decode", batch_size=32, routing="uniform").traffic.by_component["experts"]
    # 256·(1 − (1 − 8/256)^32) = 163.3 of 256 experts
    assert uniform / reads[32] == pytest.approx(163.3 / 256, abs=0.01)


def test_sharing_experts_is_a_what_if():
    model = load_model("mistralai/Mixtral-8x7B-v0.1")
    own, shared = (estimate(model, share_experts_across_layers=s).memory for s in (False, True))
    assert own.by_component["experts"]["weights"] == 32 * shared.by_component["experts"]["weights"]
    assert estimate(model).flops.total == estimate(model, share_experts_across_layers=True).flops.total


def test_adamw_takes_sixteen_bytes_a_parameter():
    model = load_model("Qwen/Qwen2.5-7B")
    m = estimate(model, mode="pretraining").memory
    assert m.weights + m.gradients + m.optimizer_states == 16 * model.parameters.total
    assert estimate(model, mode="pretraining", dtype="fp32").memory.optimizer_states == 8 * model.parameters.total


def test_what_backward_keeps_of_a_gpt():
    """Korthikanti et al., arXiv:2205.05198, equation 1: s·b·h·(34 + 5·a·s/h) a layer with dropout."""
    model = load_model("openai-community/gpt2")
    w = Workload(mode="pretraining", batch_size=2, sequence_length=512, attention="eager", dtype="bf16")
    saved = sum(op.saved * op.count for op in estimate(model, w).operations if op.layers)
    s, b, h, a = 512, 2, 768, 12
    assert saved == 12 * (s * b * h * 34 + 5 * a * s * s * b)


def test_lengths():
    model = load_model("openai-community/gpt2")
    assert estimate(model).sequence_length == 1024
    assert estimate(model, sequence_length="max").sequence_length == 1024
    assert any("1,024 tokens are taken" in note for note in estimate(model).notes)
    assert not estimate(model, sequence_length=1024).warnings
    assert "2,000 tokens are more than the 1,024" in estimate(model, sequence_length=2000).warnings[0]
    assert estimate(load_model("Qwen/Qwen2.5-7B")).sequence_length == 4096
    with pytest.raises(calculator.CalculatorError, match="states no longest context"):
        estimate(load_model("state-spaces/mamba-370m-hf"), sequence_length="max")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mode": "training"}, "mode 'training' is not known; choose one of pretraining, prefill, decode."),
        ({"batch_size": 0}, "batch_size must be a whole number from 1 to"),
        ({"batch_size": 1.5}, "batch_size must be a whole number from 1 to"),
        ({"batch_size": True}, "batch_size must be a whole number from 1 to"),
        ({"sequence_length": "long"}, "give a whole number of tokens, or max"),
        ({"sequence_length": np.array([1.0])}, "sequence_length must hold whole numbers"),
        ({"dtype": "int3"}, "Precision 'int3' is not known; choose one of auto, fp32"),
        ({"kv_dtype": "nf4"}, "The KV cache cannot be kept in 'nf4'"),
        ({"expert_capacity_factor": -1}, "expert_capacity_factor must be a positive number or None"),
        ({"decode_length": 0}, "decode_length must be a whole number"),
    ],
)
def test_bad_workloads_say_what_is_allowed(options, sentence):
    with pytest.raises(calculator.CalculatorError) as raised:
        Workload(**options)
    assert sentence in str(raised.value)


def test_intensity_classes():
    assert [intensity_class(x) for x in (9.99, 10, 100, 100.01)] == ["low", "medium", "medium", "high"]
    model = load_model("Qwen/Qwen2.5-7B")
    assert intensity_class(estimate(model, mode="decode").intensity) == "low"
    assert intensity_class(estimate(model).intensity) == "high"


def test_tables_are_the_numbers():
    e = estimate(load_model("deepseek-ai/DeepSeek-V3.1-Terminus"), mode="decode", batch_size=8)
    assert e.table("memory").total.sum() == e.memory.total
    assert e.table("flops").total.sum() == e.flops.total
    assert e.table("reuse").bytes.sum() == e.traffic.total
    table = e.table("operations")
    assert table.flops.sum() == e.flops.total
    assert table.parameters.sum() == e.parameters.total
    assert set(QUANTITIES) <= set(table.columns)
    assert set(QUANTITIES) > HELD


def test_names_are_unique_inside_a_layer():
    """Prices and explanations are looked up by name."""
    for name in BUNDLED:
        seen = set()
        for op in estimate(load_model(name)).operations:
            assert (op.layers, op.name) not in seen, (name, op.layers, op.name)
            seen.add((op.layers, op.name))


def test_gemma_4_as_transformers_saves_it():
    """save_pretrained writes the sizes of full-attention layers as overrides of single layers."""
    sizes = {"model_type": "gemma4_text", "hidden_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2, "head_dim": 16, "vocab_size": 128, "vocab_size_per_layer_input": 128}
    sizes |= {"intermediate_size": 96, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}
    sizes |= {"attention_k_eq_v": True}
    plain = model_from_config(sizes | {"global_head_dim": 24, "num_global_key_value_heads": 1})
    saved = model_from_config(sizes | {"per_layer_config": {"5": {"head_dim": 24, "num_key_value_heads": 1}}})
    assert list(saved.tensors()) == list(plain.tensors())
    assert ("model.layers.5.self_attn.k_proj.weight", (24, 64)) in saved.tensors()
