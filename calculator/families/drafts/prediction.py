"""Multi-token-prediction layers served as a draft: DeepSeek's, Qwen's, GLM's and their kin by the names that engines
give their classes, and speculators' own."""

from __future__ import annotations

import re

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.drafts.eagle import drafted
from calculator.families.drafts.registry import borrowed, draft
from calculator.families.fields import restated
from calculator.families.registry import Blueprint
from calculator.limits import times
from calculator.model import Layer
from calculator.parts import Embedding, Head, Linear, Norm, Part

BASES = {"deepseek": "deepseek_v3", "ernie": "ernie4_5_moe", "mtp": "llama"}
"""What engines call the target of a draft, where it is not the model_type before "_mtp"."""


@draft(r"^mtp$|mtp|nextn", "multi-token prediction")
def prediction(c: Config) -> Blueprint:
    """The layers that the target's family keeps apart, with the embedding and the head of the target.

    Raises:
        ConfigError: the family knows no prediction layers of that type.
    """
    kind = re.sub(r"_(?:mtp|nextn)$", "", c.model_type)
    kind = BASES.get(kind, kind)
    if c.get("speculators_model_type") == "mtp" or kind == "mimo":
        return _normed_layers(Config(c.raw, kind, where=c.where, like=c))
    whole = c if c.get("num_nextn_predict_layers") else restated(c, num_nextn_predict_layers=1)
    apart = borrowed(Config(whole.raw, kind, where=c.where, like=c)).apart
    if not apart:
        raise ConfigError(
            f"This is a multi-token-prediction draft of a model of type {kind!r}, whose prediction layers are not "
            "known here; give its safetensors files, whose headers say what it holds."
        )
    layers = [Layer("prediction layer", tuple(stack.before)) for stack in apart]
    inside = [p for layer in layers for p in layer.parts]
    before: list[Part] = []
    after: list[Part] = []
    if not any(isinstance(p, Embedding) for p in inside):
        before.append(Embedding("embed_tokens", c.vocab_size, c.hidden_size, tied=True))
    if not any(isinstance(p, Head) for p in inside):
        after.append(Head("lm_head", c.vocab_size, c.hidden_size, tied=True))
    return drafted(c, "multi-token prediction", layers, before, after)


def _normed_layers(c: Config) -> Blueprint:
    """speculators' mtp/model_definitions.py, as MiMo's checkpoints have it: norms of both vectors, their projection,
    and the target's last layer."""
    width: int = c.hidden_size
    layer = borrowed(c).text.layers[-1]
    front = (Norm("hidden_layernorm", width), Norm("token_layernorm", width))
    joins = Linear("input_proj", 2 * width, width, component="mlp")
    parts = (*front, joins, *layer.parts, Norm("final_layernorm", width))
    before = [Embedding("embed_tokens", c.vocab_size, width, tied=True)]
    after = [Head("lm_head", c.vocab_size, width, tied=True)]
    count: int = c.num_nextn_predict_layers if c.get("num_nextn_predict_layers") else 1
    return drafted(c, "multi-token prediction", [Layer("prediction layer", parts)] * times(count), before, after)
