"""Sizes that a config does not state, and sizes under names that its type does not read."""

from __future__ import annotations

import pytest

from calculator import CalculatorError, load_model
from calculator.families import FAMILIES

QWEN = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
FULL = {"model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
        "intermediate_size": 11008, "vocab_size": 32000}  # fmt: skip


def said(raw: dict) -> str:
    return " ".join(load_model(raw).notes)


def test_a_config_of_nothing_but_a_type_says_that_its_sizes_are_defaults():
    model = load_model({"model_type": "llama"})
    assert model.parameters.total == 6_738_415_616
    assert (
        "The config does not state all sizes: the defaults of its type are taken (num_hidden_layers 32, hidden_size "
        "4,096, num_attention_heads 32, intermediate_size 11,008, vocab_size 32,000)." in model.notes
    )


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({**FULL, "vocab_size": 32000} | {"model_type": "qwen2", "num_hidden_layers": 24}, None),
        ({k: v for k, v in FULL.items() if k != "vocab_size"}, "(vocab_size 32,000)"),
        ({"model_type": "mamba"}, "(num_hidden_layers 32, hidden_size 768, vocab_size 50,280)"),
        ({"model_type": "bert"}, "num_hidden_layers 12, hidden_size 768, num_attention_heads 12"),
        ({"model_type": "t5"}, "(num_layers 6, d_model 512, num_heads 8, d_ff 2,048, vocab_size 32,128)"),
        ({"model_type": "llava", "text_config": {"model_type": "llama", "vocab_size": 32064}},
         "Text_config of the config does not state all sizes"),
        ({"model_type": "gpt2", "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16},
         "(vocab_size 50,257)"),
    ],
)  # fmt: skip
def test_only_the_sizes_that_are_not_stated_are_told(raw, words):
    assert (words in said(raw)) if words else ("does not state" not in said(raw))


def test_no_type_is_priced_from_nothing_in_silence():
    for kind in FAMILIES:
        try:
            notes = load_model({"model_type": kind}).notes
        except CalculatorError:
            continue
        assert any("does not state all sizes" in note for note in notes), kind


def test_a_drafts_sizes_are_told_too():
    notes = load_model({"model_type": "llama", "architectures": ["LlamaForCausalLMEagle3"]}).notes
    assert any(note.startswith("The draft's config does not state all sizes") for note in notes)


def test_no_bundled_model_leans_on_a_default():
    from calculator.sources import catalogue

    for entry in catalogue.entries():
        assert not any("does not state all sizes" in note for note in load_model(entry.id).notes), entry.id


@pytest.mark.parametrize(
    ("raw", "stated", "right"),
    [
        ({"model_type": "llama", "n_layer": 40, "n_embd": 5120, "n_head": 40}, "n_layer 40", "num_hidden_layers"),
        ({**FULL, "num_kv_heads": 8}, "num_kv_heads 8", "num_key_value_heads"),
        ({**FULL, "kv_channels": 64}, "kv_channels 64", "head_dim"),
        ({"model_type": "gpt_neox", "d_model": 1024, "n_layers": 24}, "n_layers 24", "num_hidden_layers"),
        ({**QWEN, "model_type": "mixtral", "n_routed_experts": 16}, "n_routed_experts 16", "num_local_experts"),
        ({"model_type": "mamba", "n_layer": 48}, "n_layer 48", "num_hidden_layers"),
        ({"model_type": "gemma3", "text_config": {"n_layer": 20}}, "n_layer 20", "num_hidden_layers"),
        ({"model_type": "falcon", "ffn_dim": 9000, "n_layers": 60}, "n_layers 60", "num_hidden_layers"),
    ],
)
def test_sizes_under_other_names_are_refused_with_the_right_one(raw, stated, right):
    with pytest.raises(CalculatorError, match=f"states {stated}, which .* does not read, and no {right}"):
        load_model(raw)


@pytest.mark.parametrize("change", [{"num_kv_heads": 32}, {"kv_channels": 128}, {"n_layer": 32}])
def test_other_names_that_say_the_same_are_no_fault(change):
    assert load_model(FULL | change).parameters.total == 6_738_415_616


def test_sizes_in_a_section_that_the_type_does_not_have():
    with pytest.raises(CalculatorError, match=r"The sizes of this config stand in text_config, .* num_hidden_layers"):
        load_model({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "text_config": QWEN})


@pytest.mark.parametrize("kind", ["qwen3_vl", "gemma3", "mistral3"])
def test_sizes_at_the_top_of_a_type_that_reads_a_section(kind):
    with pytest.raises(CalculatorError, match=f"at the top, but a model of type '{kind}' reads .* in text_config"):
        load_model({**QWEN, "model_type": kind})
