"""Encoders before decoders: what an encoder reads, keeps and costs in each mode, and which class is counted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calculator import Workload, estimate, load_model
from calculator.cli import main
from calculator.model import Model
from calculator.record.operation import Operation
from calculator.report.why import explain
from calculator.sources.load import model_from_config
from calculator.whatif import as_mixture

T5, BART, WHISPER = "google-t5/t5-base", "facebook/bart-large", "openai/whisper-large-v3"
GOLDEN = Path(__file__).parent / "data" / "golden" / "seq2seq.json"
CASES = json.loads(GOLDEN.read_text(encoding="utf-8"))
HEARING = [case for case in CASES if any("convolution" in entry for entry in case.get("flops", ()))]
SMALL = list({case["model_type"]: case for case in CASES if case.get("decode")}.values())


def named(model: Model, ending: str, **workload) -> list[Operation]:
    return [op for op in estimate(model, **workload).operations if op.name.endswith(ending)]


@pytest.mark.parametrize("case", HEARING, ids=lambda c: f"{c['model_type']}-{c['name']}")
def test_convolutions_over_sound_are_exact(case):
    model = model_from_config(case["config"])
    for mode, key in (("prefill", "flops"), ("pretraining", "train_flops")):
        for entry in case[key]:
            lengths = {"sequence_length": entry["seq"], "encoder_length": entry["encoder"]}
            found = estimate(model, mode=mode, batch_size=entry["batch"], **lengths)
            assert found.flops.by_kind["convolution"] == entry["convolution"]


def test_enough_convolutions_are_recorded():
    assert {case["model_type"] for case in HEARING} == {"whisper", "speech_to_text", "moonshine"}


# Which class


def test_a_bare_config_is_the_decoder_alone_and_says_so():
    model = model_from_config({"model_type": "bart"})
    assert model.encoder is None
    assert model.parameters.total == 254_084_096
    assert (
        "The config names no architectures; BartForCausalLM, the decoder alone, is counted; add "
        '"architectures": ["BartForConditionalGeneration"] for encoder and decoder.' in model.notes
    )
    whole = model_from_config({"model_type": "bart", "architectures": ["BartForConditionalGeneration"]})
    assert whole.parameters.total == 406_291_456
    assert not any("architectures" in note for note in whole.notes)


def test_an_unknown_class_is_named_in_the_note():
    notes = model_from_config({"model_type": "marian", "architectures": ["OurTranslator"]}).notes
    assert any(n.startswith("The class OurTranslator is not known here; MarianForCausalLM") for n in notes)
    assert any('add "architectures": ["MarianMTModel"]' in n for n in notes)


def test_t5_has_an_encoder_without_being_asked():
    assert model_from_config({"model_type": "t5"}).parameters.total == 60_506_624
    alone = model_from_config({"model_type": "t5", "architectures": ["T5EncoderModel"]})
    assert alone.parameters.total == 35_330_816
    assert alone.encoder is None
    assert not alone.text.causal


def test_the_classifier_of_bart_large_mnli():
    """406,291,456 of BART, 1024 x 1024 + 1024 of the projection, 3 x 1024 + 3 of the labels."""
    model = model_from_config({"model_type": "bart", "architectures": ["BartForSequenceClassification"]})
    assert model.parameters.total == 407_344_131
    flops = [op.flops for op in named(model, "out_proj", batch_size=5) if op.component == "head"]
    assert flops == [2 * 5 * 1024 * 3]


def test_the_head_of_t5_1_1_is_its_own():
    """flan-t5-small, whose checkpoint holds 76,961,152 elements; the embedding is one for both sides."""
    config = {
        "model_type": "t5",
        "architectures": ["T5ForConditionalGeneration"],
        "d_model": 512,
        "d_ff": 1024,
        "d_kv": 64,
        "num_heads": 6,
        "num_layers": 8,
        "feed_forward_proj": "gated-gelu",
        "tie_word_embeddings": False,
    }
    model = model_from_config(config)
    assert model.parameters.total == 76_961_152
    assert [name for name, shape in model.tensors() if 32128 in shape] == ["shared.weight", "lm_head.weight"]


# Lengths


def test_what_the_encoder_reads():
    assert estimate(load_model(T5), sequence_length=77).encoder_length == 77
    assert estimate(load_model(T5), sequence_length=77, encoder_length=9).encoder_length == 9
    assert estimate(load_model(WHISPER), sequence_length=77).encoder_length == 1500
    assert estimate(load_model("openai-community/gpt2")).encoder_length is None
    (warning,) = estimate(load_model(WHISPER), sequence_length=77, encoder_length=9).warnings
    assert warning.startswith("The encoder of openai/whisper-large-v3 always reads 1,500 tokens")


def test_the_caches_of_prompt_and_encoder():
    """Keys and values of 12 layers, 16 heads of 64, in 16 bit: of 100 tokens, and of the 30 the encoder reads."""
    model, token = load_model(BART), 12 * 2 * 16 * 64 * 2
    for mode in ("prefill", "decode"):
        e = estimate(model, mode=mode, batch_size=3, sequence_length=100, encoder_length=30)
        assert e.memory.kv_cache == 3 * 130 * token
        assert e.cache_growth == token
    assert e.generation.kv_cache == 3 * (130 + 64) * token


@pytest.mark.parametrize("model", [T5, WHISPER])
def test_the_encoder_s_cache_does_not_grow(model):
    e = estimate(load_model(model), mode="decode", sequence_length=100)
    later = estimate(load_model(model), mode="decode", sequence_length=101, encoder_length=e.encoder_length)
    assert e.cache_growth == later.memory.kv_cache - e.memory.kv_cache


@pytest.mark.parametrize("model", [T5, WHISPER, "google/switch-base-8"])
def test_a_generation_is_the_sum_of_its_steps(model):
    options = {"mode": "decode", "batch_size": 2, "encoder_length": 30, "decode_length": 5}
    whole = estimate(load_model(model), sequence_length=50, **options).generation
    steps = [estimate(load_model(model), sequence_length=50 + i, **options) for i in range(5)]
    assert whole.flops.total == sum(e.flops.total for e in steps)
    assert whole.traffic.total == sum(e.traffic.total for e in steps)


def test_arrays_give_what_numbers_give():
    model = load_model(T5)
    for mode in ("prefill", "decode", "pretraining"):
        grid = estimate(model, mode=mode, batch_size=np.array([1, 4]), sequence_length=np.array([[7], [300]]))
        one = estimate(model, mode=mode, batch_size=4, sequence_length=300)
        assert grid.flops.total[1, 1] == one.flops.total
        assert grid.memory.total[1, 1] == one.memory.total
        assert grid.encoder_length[1, 1] == one.encoder_length == 300


@pytest.mark.parametrize("case", SMALL, ids=lambda c: c["model_type"])
def test_formulas_arrays_and_sums_agree_for_every_type(case):
    model = model_from_config(case["config"])
    for mode in ("prefill", "decode", "pretraining"):
        w = Workload(mode=mode, batch_size=2, sequence_length=50, attention="eager", decode_length=3)
        e = estimate(model, w)
        for explained, op in zip(explain(model, w), e.operations, strict=True):
            assert all(f.value == getattr(op, name) for name, f in explained.formulas.items())
        grid = estimate(model, w.with_(batch_size=np.array([2]), sequence_length=np.array([[7], [50]])))
        assert grid.flops.total[1, 0] == e.flops.total
        assert grid.traffic.total[1, 0] == e.traffic.total
        if mode == "decode":
            fixed = w.with_(encoder_length=e.encoder_length)
            steps = [estimate(model, fixed.with_(sequence_length=50 + i)) for i in range(3)]
            assert e.generation.flops.total == sum(step.flops.total for step in steps)
            assert e.generation.traffic.total == sum(step.traffic.total for step in steps)


# What runs


def test_decode_reads_the_encoder_s_keys_and_runs_no_encoder():
    listed = estimate(load_model(T5), mode="decode", sequence_length=10, encoder_length=30).operations
    assert all(not op.traffic and not op.flops for op in listed if op.layers.startswith("encoder"))
    keys = [op for op in listed if op.name.endswith("EncDecAttention.k")]
    assert all(op.parameters and not op.traffic and not op.flops for op in keys)
    across = [op for op in listed if op.name.endswith("EncDecAttention.attention")]
    assert {op.cache_reads for op in across} == {30 * 2 * 12 * 64 * 2}
    assert {op.cache_writes for op in across} == {0}


def test_the_encoder_s_output_is_kept_once_for_the_backward_pass():
    output, gradient = named(load_model(T5), "encoder_output", mode="pretraining", batch_size=2, encoder_length=30)
    assert (output.phase, gradient.phase, gradient.saved) == ("forward", "backward", 0)
    assert output.saved == 2 * 30 * 768 * 2
    assert output.count == 1
    keys = named(load_model(T5), "EncDecAttention.k", mode="pretraining", batch_size=2, encoder_length=30)
    assert {op.saved for op in keys} == {0}


def test_a_decoder_alone_holds_its_cross_attention_and_does_not_run_it():
    model = model_from_config({"model_type": "whisper", "architectures": ["WhisperForCausalLM"]})
    held = [op for op in estimate(model, mode="prefill").operations if op.name.startswith("encoder_attn")]
    assert sum(op.parameters for op in held) == 4 * 384 * 384 + 3 * 384 + 2 * 384
    assert all(not op.flops and not op.traffic and not op.cache_bytes for op in held)


def test_experts_replace_the_mlps_of_both_sides():
    mixed = as_mixture(load_model(T5), 4, 1, 3072)
    assert mixed.parameters.by_component["experts"] == 4 * 24 * 2 * 768 * 3072
    assert "mlp" not in mixed.parameters.by_component


# The command line


def printed(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("mode", ["prefill", "decode", "pretraining"])
def test_text_names_both_sides(mode, capsys):
    said = printed(capsys, T5, "--mode", mode, "--seq-len", "64", "--encoder-len", "99")
    assert "12 encoder layers and 12 decoder layers" in said
    assert ", 99 in the encoder" in said


def test_json_and_csv_hold_the_encoder_s_length(capsys):
    found = json.loads(printed(capsys, WHISPER, "--format", "json"))
    assert found["workload"]["encoder_length"] == 1500
    assert found["model"]["encoder_layers"] == found["model"]["layers"] == 32
    header, first, *_ = printed(capsys, "gpt2", T5, "--format", "csv", "--table", "flops").splitlines()
    assert header.endswith(",encoder_length")
    assert first.endswith(",")


def test_explain_knows_the_encoder_s_tokens(capsys):
    said = printed(capsys, T5, "--explain", "layer.1.EncDecAttention.k", "--encoder-len", "99")
    assert "2·B·S_x·n_kv·d_h·d_x = 2·1·99·12·64·768 = 116,785,152" in said
    assert "S_x = 99 (tokens the encoder reads)" in said
    assert "d_x = 768 (width of the encoder's output)" in said
