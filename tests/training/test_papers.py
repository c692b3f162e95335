"""Published tables about training to their printed digits, through `calculator.train`."""

from __future__ import annotations

from typing import Any

import pytest

from calculator import Layout, Model, load_model, train
from calculator.training.stage import stages
from calculator.training.timeline import states

GIB = 2**30


def gpt(
    layers: int, hidden: int, heads: int, vocabulary: int = 51200, length: int = 2048, dropout: float = 0.1
) -> Model:
    config: dict[str, Any] = {
        "model_type": "gpt2",
        "torch_dtype": "bfloat16",
        "n_embd": hidden,
        "n_head": heads,
        "n_layer": layers,
        "n_positions": length,
        "vocab_size": vocabulary,
        "n_inner": 4 * hidden,
        "activation_function": "gelu",
        "tie_word_embeddings": True,
        **dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout),
    }
    return load_model(config)


KORTHIKANTI: dict[str, tuple[tuple[int, int, int], Layout, int, int, float]] = {
    "22B": ((48, 6144, 64), Layout(tp=8), 4, 1, 45.5625),
    "175B": ((96, 12288, 96), Layout(tp=8, pp=8, interleave=3), 1, 64, 45.5625),
    "530B": ((105, 20480, 128), Layout(tp=8, pp=35, interleave=3), 1, 280, 31.640625),
    "1T": ((128, 25600, 160), Layout(tp=8, pp=64), 1, 512, 32.958984375),
}
"""arXiv:2205.05198, figure 1 and table 3: shape, layout, micro-batch, micro-batches, GiB of states a device."""
PLAIN = {"precision": "bf16-master", "kernels": "fused", "attention": "eager"}


def stored(name: str, recompute: str, sequence: bool) -> float:
    """GiB that the layers of the first stage keep between the passes."""
    shape, layout, batch, count, _ = KORTHIKANTI[name]
    recipe = {**PLAIN, "recompute": recompute, "sequence_parallel": sequence}
    step = train(gpt(*shape), batch_size=batch, sequence_length=2048, layout=layout, micro_batches=count, **recipe)
    (beside,) = (each.beside for each in stages(step.model, step.training, step.layout, batch, 2048)[:1])
    moment = next(event for event in step.stages[0].events if event.name == "loss forward")
    return (moment.terms["activations"] - beside) / GIB


@pytest.mark.parametrize("name", KORTHIKANTI)
def test_states_of_megatron(name):
    """Eighteen bytes for each parameter of the layers; norms and biases, which the figure leaves out, are 0.1 %."""
    shape, layout, batch, _, printed = KORTHIKANTI[name]
    model = gpt(*shape)
    recipe = train(model, layout=layout, sequence_length=64, **PLAIN).training
    stage = stages(model, recipe, layout, batch, 2048)[0]
    stage.ends = 0.0
    held = states(stage, recipe, layout)
    assert (held.total + held.gradients) / GIB == pytest.approx(printed, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "none", "selective"),
    [
        ("22B", 59.25, 9.5625),
        ("175B", 66.84375, 12.3515625),
        ("530B", 114.0234375, 23.076171875),
        ("1T", 131.25, 26.5625),
    ],
)
def test_activations_of_megatron(name, none, selective):
    """Figure 1: all of them, and without scores and divided by tokens. The statistics of norms are beside them here."""
    assert stored(name, "none", False) == pytest.approx(none, rel=3e-4)
    assert stored(name, "selective", True) == pytest.approx(selective, rel=3e-4)


@pytest.mark.parametrize(
    ("name", "sequence", "selective", "both", "full"),
    [
        ("22B", 66.84, 49.42, 16.18, 7.64),
        ("175B", 62.04, 56.53, 18.49, 8.71),
        ("530B", 58.31, 62.04, 20.27, 9.42),
        ("1T", 58.31, 62.04, 20.27, 9.42),
    ],
)
def test_activations_in_percent_of_tensor_parallelism_alone(name, sequence, selective, both, full):
    """Figure 7, whose percentages are read off bars."""
    whole = stored(name, "none", False) / 100
    found = [stored(name, how, divided) / whole for how, divided in FIGURE_7]
    assert found == pytest.approx([sequence, selective, both, full], abs=0.15)


FIGURE_7 = (("none", True), ("selective", False), ("selective", True), ("full", False))


@pytest.mark.parametrize(
    ("name", "seconds", "mfu", "hfu"),
    [("22B", 1.10, 41.5, 43.7), ("175B", 13.75, 51.4, 52.8), ("530B", 37.83, 56.0, 57.0), ("1T", 71.49, 56.3, 57.0)],
)
def test_utilisation_in_table_5(name, seconds, mfu, hfu):
    shape, layout, batch, count, _ = KORTHIKANTI[name]
    step = train(
        gpt(*shape),
        batch_size=batch,
        sequence_length=2048,
        layout=layout,
        micro_batches=count,
        **{**PLAIN, "recompute": "selective", "sequence_parallel": True},
    )
    peak = 312e12 * layout.devices * seconds / 100
    assert step.flops_by("full") / peak == pytest.approx(mfu, abs=0.2)
    # The paper counts scores that are computed again as if their backward pass were, too: s/3h in place of s/6h.
    assert (step.flops_by("full") + step.full_attention) / peak == pytest.approx(hfu, abs=0.2)


@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "batch", "printed"),
    [
        (24, 2304, 24, 512, 1.5466830067924994e16),
        (30, 3072, 32, 512, 3.2655495344947204e16),
        (36, 4096, 32, 512, 6.7184558503624696e16),
        (40, 6144, 48, 1024, 3.2483971531014144e17),
        (48, 8192, 64, 1536, 1.0212263998783488e18),
        (60, 10240, 80, 1792, 2.3020474950746112e18),
        (80, 12288, 96, 2304, 5.641682123048877e18),
        (96, 16384, 128, 2160, 1.1194006936108399e19),
        (105, 20480, 128, 2520, 2.221594167685939e19),
        (128, 25600, 160, 3072, 5.139051377527358e19),
    ],
)
def test_hardware_flops_of_narayanan(layers, hidden, heads, batch, printed):
    """arXiv:2104.04473, table 1: 96·B·s·l·h²·(1 + s/6h + V/16lh), with everything computed again."""
    step = train(gpt(layers, hidden, heads), sequence_length=2048, recompute="full", attention="eager")
    assert step.flops_by("hardware") * batch == pytest.approx(printed, rel=1e-12)


@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "printed"),
    [
        (12, 768, 12, 2.25e20),
        (24, 1024, 16, 6.41e20),
        (24, 1536, 16, 1.37e21),
        (24, 2048, 16, 2.38e21),
        (32, 2560, 32, 4.77e21),
        (32, 4096, 32, 1.20e22),
        (40, 5120, 40, 2.31e22),
    ],
)
def test_flops_of_gpt_3(layers, hidden, heads, printed):
    """arXiv:2005.14165, appendix D: six FLOPs a parameter and token, 300 billion tokens, embedding included."""
    parameters = gpt(layers, hidden, heads, vocabulary=50257).parameters.total
    assert 6 * parameters * 300e9 == pytest.approx(printed, rel=6e-3)


@pytest.mark.parametrize(
    ("layers", "hidden", "inner", "heads", "size", "parameters", "ratio"),
    [
        (10, 640, 2560, 10, 64, 73_825_280, 1.0250),
        (20, 1024, 4096, 16, 64, 305_707_008, 1.1008),
        (24, 1280, 5120, 10, 128, 552_604_160, 1.0829),
        (26, 1792, 7168, 14, 128, 1_143_453_696, 1.0441),
        (28, 2048, 8192, 16, 128, 1_593_126_912, 1.0329),
        (40, 3584, 14336, 28, 128, 6_796_274_688, 0.9941),
    ],
)
def test_flops_of_chinchilla(layers, hidden, inner, heads, size, parameters, ratio):
    """arXiv:2203.15556, table A4: the count over 6·N·D, with three FLOPs for each score of the softmax and, as the
    table's own ratios have it, neither embedding nor head."""
    config = dict(gpt(layers, hidden, hidden // size, 32000).config)
    step = train(load_model({**config, "n_inner": inner, "n_head": heads}), sequence_length=2048)
    head = 3 * 2 * 2048 * hidden * 32000
    softmax = 3 * layers * 3 * heads * 2048**2
    assert (step.flops_by("full") - head + softmax) / (6 * parameters * 2048) == pytest.approx(ratio, abs=6e-4)


@pytest.mark.parametrize(
    ("layers", "hidden", "heads", "length", "rate", "mfu"),
    [
        (80, 8192, 64, 2048, 1007, 41.25),
        (48, 7168, 56, 2048, 2199, 41.85),
        (32, 4096, 32, 65536, 1956, 28.59),
        (32, 4096, 32, 2048, 9670, 42.20),
        (24, 2048, 16, 2048, 44402, 40.85),
    ],
)
def test_utilisation_of_llm_foundry(layers, hidden, heads, length, rate, mfu):
    """mosaicml/llm-foundry, scripts/train/benchmarking: (6·N + 12·L·d·S) a token on an H100 of 989.5 TFLOP/s, N with
    the embedding; the rate is tokens a second and device."""
    config = {
        "model_type": "mpt",
        "d_model": hidden,
        "n_heads": heads,
        "n_layers": layers,
        "max_seq_len": length,
        "vocab_size": 50368,
        "expansion_ratio": 4,
        "no_bias": True,
        "tie_word_embeddings": True,
        "attn_config": {"alibi": False},
        "torch_dtype": "bfloat16",
    }
    step = train(load_model(config), sequence_length=length)
    learned = length * hidden  # positions, which transformers' MPT has no table of
    flops = 6 * (step.model.parameters.total + learned) + step.full_attention / step.tokens
    assert 100 * flops * rate / 989.5e12 == pytest.approx(mfu, abs=0.02)


def test_flops_of_torchtitan_nanogpt_and_llama_3():
    """torchtitan: 6·(N − embedding) + 12·layers·heads·size·tokens; nanoGPT: three forward passes; Llama 3: 6·N·D."""
    llama = train(load_model("meta-llama/Llama-3.1-8B"), sequence_length=8192)
    assert llama.flops_by("palm") / 8192 == 57_914_449_920
    nano = train(gpt(12, 768, 12, 50257, 1024, 0.0), sequence_length=1024)
    assert nano.flops_by("full") == 874_944_921_600
    large = load_model("meta-llama/Llama-3.1-405B")
    assert 6 * large.parameters.total * 15.6e12 == pytest.approx(3.8e25, rel=1e-3)
