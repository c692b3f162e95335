"""How transformers' own modules of a model type compute, where that decides what they keep for the backward pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from calculator.numbers.symbolic import Number


@dataclass(frozen=True, slots=True)
class Modules:
    """What `plain` and `autocast` kernels keep beside what every module keeps.

    Attributes:
        norms: "narrow" scale a norm's output after it is 16 bit again; "wide" ones in 32 bit; "one plus" by one more
            than the weight, of which they make a copy.
        joined: queries end in a concatenation, so that attention's output lies head first and is copied.
        router: how the chosen experts' weights are made: "renormalised" over the chosen (Mixtral), "softmax" over all
            (Qwen3-MoE), "chosen" (softmax over the chosen only, gpt-oss), "groups" (sigmoid, DeepSeek-V3).
        weight_width: bytes of such a weight.
        extra: tensors of an MLP's inner width that its activation keeps beside its input; -1 where it keeps its result
            alone. expert_extra: the same of the experts.
        scores16: attention's softmax is in 16 bit (BERT, GPT-2); others compute it in 32 and keep both.
        capped: logits pass a tanh. capped_scores: attention's scores do.
    """

    norms: str = "narrow"
    joined: bool = False
    router: str = "renormalised"
    weight_width: int = 4
    groups: int = 0
    groups_chosen: int = 0
    extra: int = 0
    expert_extra: int = 0
    scores16: bool = False
    capped: bool = False
    capped_scores: bool = False

    def router_keeps(self, experts: Number, top_k: Number, *, autocast: bool) -> Number:
        """Bytes a token that the choice of experts keeps beside its input: scores, 64-bit indices, weights."""
        if self.router == "chosen":
            return (8 + self.weight_width) * top_k
        if self.router == "softmax":
            return 4 * experts + 8 * top_k
        if self.router == "renormalised":
            return 4 * experts + 8 * top_k + 4 + 4 * top_k
        width = 2 if autocast else 4  # of DeepSeek-V3's router, which is a product in 32 bit but for autocast
        # The two best of each group, the groups chosen, a mask of the experts in them.
        chosen = 16 * self.groups + 8 * self.groups_chosen + experts
        return width * (experts + 1 + top_k) + 8 * top_k + chosen


NARROW = Modules()
WIDE = Modules(norms="wide")
ONE_PLUS = Modules(norms="one plus")

BY_TYPE: Mapping[str, Modules] = {
    "olmo2": WIDE,
    "olmo3": WIDE,
    "gemma": ONE_PLUS,
    "gemma2": ONE_PLUS,
    "gemma3": ONE_PLUS,
    "gemma3_text": ONE_PLUS,
    "phi3": Modules(joined=True),
    "qwen3_moe": Modules(router="softmax", weight_width=2),
    "qwen2_moe": Modules(router="softmax", weight_width=2),
    "gpt_oss": Modules(norms="wide", joined=True, scores16=True, router="chosen", weight_width=2, expert_extra=4),
    "gpt2": Modules(scores16=True),
    "bert": Modules(scores16=True),
    "deepseek_v3": Modules(joined=True, router="groups"),
}
"""By model type; held against torch on the meta device (tests/oracle/test_saved.py)."""

EXTRA = {"gelu_new": 3, "relu": -1}
"""Activations in Python that keep their steps, and one whose gradient needs its result alone."""


def modules_of(config: Mapping[str, Any]) -> Modules:
    """The modules of a config's text model."""
    inner = config.get("text_config")
    text = inner if isinstance(inner, Mapping) and inner.get("model_type") else config
    found = BY_TYPE.get(str(text.get("model_type")), NARROW)
    names = ("activation_function", "hidden_activation", "hidden_act")
    activation = next((text[n] for n in names if isinstance(text.get(n), str)), "")
    changes: dict[str, Any] = {"extra": EXTRA.get(activation, 0)}
    if text.get("final_logit_softcapping"):
        changes["capped"] = True
    if text.get("attn_logit_softcapping"):
        changes["capped_scores"] = True
    if found.router == "groups":
        changes |= {"groups": _count(text.get("n_group")), "groups_chosen": _count(text.get("topk_group"))}
    if found.router == "softmax" and text.get("norm_topk_prob"):
        changes["router"] = "renormalised"
    return replace(found, **changes)


def _count(value: Any) -> int:
    return value if isinstance(value, int) and value > 0 else 0
