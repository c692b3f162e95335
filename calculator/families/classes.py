"""What the class in `architectures` puts on top of the layers: a language model's head, another head, or none.

A family builds its type's language model; here the head is exchanged for the one the checkpoint's class has. Types
whose family reads the class itself (BERT's and BART's kin) come with the right head already."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import takewhile
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.fields import label_count
from calculator.families.registry import Blueprint, Family
from calculator.limits import remembered
from calculator.model import Stack
from calculator.parts import Activation, Head, Linear, Part

# How the names of classes end, and what such a class has on top; the first that fits.
ENDINGS = (
    ("LMHeadModel", "language model"),
    ("ModelForCausalLM", "language model"),
    ("ForCausalLM", "language model"),
    ("ForConditionalGeneration", "language model"),
    ("ForMaskedLM", "language model"),
    ("ForPreTraining", "language model"),
    ("ForImageTextToText", "language model"),
    ("ForVision2Seq", "language model"),
    ("ForCTC", "language model"),
    ("MTModel", "language model"),
    ("ModelLM", "language model"),
    ("ForSequenceClassification", "labels"),
    ("ForTokenClassification", "labels with a bias"),
    ("ForQuestionAnswering", "spans"),
    ("ForProcessRewardModel", "two layers"),
    ("ForRewardModel", "two layers"),
    ("ForCausalLMWithValueHead", "value"),
    ("TextModel", "none"),
    ("Model", "none"),
)

WHOLE = frozenset(("ChatGLMModel", "DreamModel", "Grok1Model", "InternVLChatModel", "Ovis", "Qwen2_5OmniModel"))
"""Classes whose names end as if they had no head, and which have one."""

RELATIVES = {
    "kimi_k2": "deepseek",
    "hf_olmo": "olmo",
    "nemotron-nas": "deci",
    "gpt-sw3": "gpt2",
    "deepseek_ref": "deepseek",
    "exaone": "llama",
    "sarvam_mla": "deepseek",
    "sarvam_moe": "glm4moe",
}
"""Types whose classes are called after another."""

TOLD = {
    "none": "has no head, as embedding models have none: no logits are made",
    "labels": "has one score a label in place of the head over the vocabulary",
    "labels with a bias": "has one score a label for each token in place of the head over the vocabulary",
    "spans": "marks the start and end of a span in place of the head over the vocabulary",
    "two layers": "scores with layers of its own in place of the head over the vocabulary",
    "value": "has a value head in place of the head over the vocabulary",
}

VALUE_HEADS = {"internlm2": "v_head", "internlm3": "v_head"}
"""Types whose reward models have one layer, by that name (modeling_internlm2.py of internlm2-7b-reward)."""


def classes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names in `architectures`.

    Raises:
        ConfigError: the field is no list of names.
    """
    listed = config.get("architectures") or ()
    if isinstance(listed, str):
        listed = (listed,)
    if not isinstance(listed, list | tuple) or not all(isinstance(name, str) for name in listed):
        raise ConfigError(f"architectures in the config is {listed!r}; it must be a list of class names.")
    return tuple(listed)


@remembered(512)
def on_top(name: str, kind: str) -> str | None:
    """What a class has on top of the layers of a type, by its name; None where neither is known."""
    if name in WHOLE:
        return "language model"
    for ending, what in ENDINGS:
        if name.endswith(ending):
            return what if _related(name.removesuffix(ending), kind) else None
    return "language model" if _plain(name) == _plain(kind) else None


def _related(root: str, kind: str) -> bool:
    """Whether a class with this beginning is one of the type: they begin alike."""
    mine, others = _plain(root), [_plain(kind), *([RELATIVES[kind]] if kind in RELATIVES else ())]
    return any(_alike(mine, other) >= min(4, len(mine), len(other)) for other in others)


def _alike(one: str, other: str) -> int:
    """How many letters both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def of_class(c: Config, built: Blueprint) -> Blueprint:
    """The blueprint with what the checkpoint's class has on top, or with a note where that class is not known."""
    names = classes(c)
    if not names:
        return built
    known = next((what for n in names if (what := on_top(n, c.model_type))), None)
    if known is None:
        told = any(note.startswith("The class ") for note in built.notes)
        return built if told else replace(built, notes=(*built.notes, _unknown(c, names)))
    if known == "language model" or built.reads_class or not any(isinstance(p, Head) for p in built.text.after):
        return replace(built, notes=(*built.notes, _of_one_layer(names[0]))) if _one_layer(built.text) else built
    said = f"The class {names[0]} {TOLD[known]}."
    return replace(built, text=_exchanged(c, built.text, _head(c, known, built.text.width)), notes=(*built.notes, said))


def with_class(family: Family) -> Family:
    """The family, and on top of what it builds what the config's class has there."""
    return lambda c: of_class(c, family(c))


def _unknown(c: Config, names: tuple[str, ...]) -> str:
    return (
        f"The class {', '.join(names)} in architectures is not known here: what is counted is the language model of "
        f"type {c.model_type}, and what this class has more, less or otherwise is not."
    )


def _one_layer(stack: Stack) -> bool:
    """Whether a decoder of a usable width has one layer. The first EAGLE heads have one and state their target's class
    (SafeAILab/EAGLE, train/*_config.json)."""
    return stack.causal and len(stack.layers) == 1 and stack.width >= 1024


def _of_one_layer(name: str) -> str:
    return (
        f"A model of one layer: if this is an EAGLE draft head, which states its target's class, name the class "
        f"Eagle{name} in architectures; the head over the vocabulary is then the target's and not counted."
    )


def _exchanged(c: Config, stack: Stack, head: tuple[Part, ...]) -> Stack:
    kept = tuple(part for part in stack.after if not isinstance(part, Head))
    return replace(stack, after=(*kept, *head))


def _head(c: Config, known: str, width: int) -> tuple[Part, ...]:
    if known == "none":
        return ()
    if known == "spans":
        return (Linear("qa_outputs", width, 2, True, component="head"),)
    if known == "value":
        return (Linear("v_head.summary", width, 1, True, component="head"),)
    if known == "two layers":
        return _reward(c, width)
    return (Linear("score", width, label_count(c), known == "labels with a bias", component="head"),)


def _reward(c: Config, width: int) -> tuple[Part, ...]:
    """Qwen2.5-Math's reward models (modeling_qwen2_rm.py): a layer, ReLU and the labels, one of a whole answer and two
    of each of its steps."""
    if c.model_type in VALUE_HEADS:
        return (Linear(VALUE_HEADS[c.model_type], width, 1, component="head"),)
    steps = any("ProcessReward" in name for name in classes(c))
    labels = label_count(c) if c.get("num_labels") or c.get("id2label") else 2 if steps else 1
    return (
        Linear("score.0", width, width, True, component="head"),
        Activation("score.1", width),
        Linear("score.2", width, labels, True, component="head"),
    )
