"""What the class in `architectures` builds: models without a head, score and reward heads, and classes not known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from calculator import CalculatorError, estimate, load_model

DATA = Path(__file__).parents[1] / "data"
RECORDED = json.loads((DATA / "classes.json").read_text(encoding="utf-8"))["classes"]
LABELS = {"id2label": {"0": "a", "1": "b", "2": "c"}}
FIRST: dict[str, dict] = {}
for file in sorted((DATA / "golden").glob("*.json")):
    for case in json.loads(file.read_text(encoding="utf-8")):
        FIRST.setdefault(case["model_type"], case["config"])

MISTRAL = {
    "model_type": "mistral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "sliding_window": 4096,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 32000,
}
QWEN2 = {
    "model_type": "qwen2",
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "vocab_size": 152064,
}
QWEN2_BODY = 7_070_619_136  # Qwen2Model of Qwen2.5-7B's sizes, transformers 5.24 on the meta device


@pytest.mark.parametrize(("kind", "name", "parameters"), RECORDED, ids=[f"{k}-{n}" for k, n, _ in RECORDED])
def test_parameters_of_the_class_as_transformers_builds_it(kind, name, parameters):
    raw = {k: v for k, v in FIRST[kind].items() if k != "num_labels"} | {"architectures": [name]}
    raw |= LABELS if name.endswith("Classification") else {}
    assert load_model(raw).parameters.total == parameters


def test_the_recording_covers_what_it_claims():
    assert len(RECORDED) >= 530
    assert len({kind for kind, _, _ in RECORDED}) >= 250


def test_an_embedding_model_on_a_decoder_has_no_head():
    """intfloat/e5-mistral-7b-instruct: its files have 9.94 and 4.28 GB (vllm-project/vllm#3734)."""
    model = load_model(MISTRAL | {"architectures": ["MistralModel"]})
    e = estimate(model, mode="prefill", sequence_length=512)
    assert model.parameters.total == 7_110_660_096
    assert e.memory.weights == 14_221_320_192
    assert "head" not in e.flops.by_component
    assert any("MistralModel has no head" in note for note in model.notes)


def test_a_pipeline_of_sentence_transformers_has_no_head(tmp_path):
    """Qwen/Qwen3-Embedding-8B: 7,567,295,488 on the Hub; its config names the class of the language model."""
    raw = {
        "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "hidden_size": 4096, "intermediate_size": 12288,
        "num_hidden_layers": 36, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128,
        "vocab_size": 151665, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert load_model(tmp_path).parameters.total == 7_567_295_488 + 151665 * 4096
    modules = [{"type": f"sentence_transformers.models.{name}"} for name in ("Transformer", "Pooling", "Normalize")]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    assert load_model(tmp_path).parameters.total == 7_567_295_488


@pytest.mark.parametrize(
    ("name", "labels", "parameters"),
    [
        # modeling_qwen2_rm.py: a layer, ReLU and the labels, both layers with biases
        ("Qwen2ForProcessRewardModel", {"num_labels": 2}, QWEN2_BODY + 3584 * 3585 + 2 * 3585),
        ("Qwen2ForProcessRewardModel", {}, QWEN2_BODY + 3584 * 3585 + 2 * 3585),
        ("Qwen2ForRewardModel", {}, QWEN2_BODY + 3584 * 3585 + 3585),
        ("Qwen2ForSequenceClassification", {"num_labels": 1}, QWEN2_BODY + 3584),
        ("Qwen2ForTokenClassification", {"num_labels": 5}, QWEN2_BODY + 5 * 3585),
        ("Qwen2ForQuestionAnswering", {}, QWEN2_BODY + 2 * 3585),
        ("Qwen2Model", {}, QWEN2_BODY),
    ],
)
def test_heads_that_score(name, labels, parameters):
    assert load_model(QWEN2 | {"architectures": [name]} | labels).parameters.total == parameters


def test_gte_under_its_authors_name():
    """Alibaba-NLP/gte-base-en-v1.5: 136,776,192 on the Hub."""
    raw = {
        "model_type": "new", "architectures": ["NewModel"], "hidden_size": 768, "intermediate_size": 3072,
        "num_hidden_layers": 12, "num_attention_heads": 12, "vocab_size": 30528, "type_vocab_size": 0,
        "max_position_embeddings": 8192, "torch_dtype": "float32",
    }  # fmt: skip
    assert load_model(raw).parameters.total == 136_776_192


def test_internlms_reward_model_has_one_layer():
    raw = MISTRAL | {"model_type": "internlm2", "bias": False}
    reward = load_model(raw | {"architectures": ["InternLM2ForRewardModel"]})
    whole = load_model(raw | {"architectures": ["InternLM2ForCausalLM"]})
    assert whole.parameters.total - reward.parameters.total == 32000 * 4096 - 4096


@pytest.mark.parametrize("name", ["LlamaForFooBar", "MistralForCausalLM", "JinaForRanking"])
def test_a_class_that_is_not_known_is_told(name):
    model = load_model(MISTRAL | {"model_type": "llama", "architectures": [name]})
    assert any(f"The class {name} in architectures is not known here" in note for note in model.notes)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("kimi_k2", "DeepseekV3ForCausalLM"),
        ("nemotron-nas", "DeciLMForCausalLM"),
        ("phi-msft", "PhiForCausalLM"),
        ("chatglm", "ChatGLMModel"),
        ("internvl_chat", "InternVLChatModel"),
        ("gpt_bigcode", "GPTBigCodeForCausalLM"),
    ],
)
def test_classes_of_other_names_that_are_the_types_language_model(kind, name):
    from calculator.families.classes import on_top

    assert on_top(name, kind) == "language model"


def test_architectures_must_be_names():
    with pytest.raises(CalculatorError, match="architectures in the config is 5; it must be a list of class names"):
        load_model(MISTRAL | {"architectures": 5})
