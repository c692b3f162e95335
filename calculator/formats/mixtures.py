"""The mixtures of types that llama.cpp's quantizer writes ("Q4_K_M"): which type it chooses for which tensor.

Source: ggml-org/llama.cpp, src/llama-quant.cpp (llama_ftype_get_default_type, tensor_allows_quantization,
tensor_get_category, llama_tensor_get_type_impl), and conversion/base.py for what is not quantized.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

BASES = {
    "q4_0": "q4_0",
    "q4_1": "q4_1",
    "q5_0": "q5_0",
    "q5_1": "q5_1",
    "q8_0": "q8_0",
    "q2_k": "q2_k",
    "q2_k_s": "q2_k",
    "q3_k_s": "q3_k",
    "q3_k_m": "q3_k",
    "q3_k_l": "q3_k",
    "q4_k_s": "q4_k",
    "q4_k_m": "q4_k",
    "q5_k_s": "q5_k",
    "q5_k_m": "q5_k",
    "q6_k": "q6_k",
    "iq1_s": "iq1_s",
    "iq1_m": "iq1_m",
    "iq2_xxs": "iq2_xxs",
    "iq2_xs": "iq2_xs",
    "iq2_s": "iq2_xs",
    "iq2_m": "iq2_s",
    "iq3_xxs": "iq3_xxs",
    "iq3_xs": "iq3_s",
    "iq3_s": "iq3_s",
    "iq3_m": "iq3_s",
    "iq4_nl": "iq4_nl",
    "iq4_xs": "iq4_xs",
    "tq1_0": "tq1_0",
    "tq2_0": "tq2_0",
    "mxfp4_moe": "mxfp4",
}
"""Mixture -> the type of the tensors that no rule is about."""

LARGER = {"q2_k_l": "q2_k", "q3_k_xl": "q3_k_l", "q4_k_l": "q4_k_m", "q5_k_l": "q5_k_m", "q6_k_l": "q6_k"}
"""Mixtures of bartowski's repositories: another one of llama.cpp's with embedding and output in Q8_0 (their cards,
"Embed/output weights"), which the quantizer takes as --token-embedding-type and --output-tensor-type."""

BASES |= {name: BASES[of] for name, of in LARGER.items()}

USUAL = ("q8_0", "q6_k", "q5_k_m", "q4_k_m", "iq4_xs", "q3_k_m", "iq3_m", "q2_k", "iq2_m")
"""Those that people download most, from the largest to the smallest."""

_LOWEST = ("iq1_s", "iq1_m", "iq2_xxs", "iq2_xs", "iq2_s", "iq2_m")
_BETTER_2 = ("iq2_s", "iq2_m")
_HEADS_Q5 = (*_LOWEST, "iq3_xxs")
_OUTPUTS_OF_8 = (
    "q2_k",
    "iq3_xs",
    "iq3_xxs",
    "q3_k_s",
    "q3_k_m",
    "iq4_nl",
    "q4_k_s",
    "q4_k_m",
    "iq3_s",
    "iq3_m",
    "iq4_xs",
)
_EMBEDDINGS = dict.fromkeys(("iq2_xxs", "iq2_xs", "iq1_s", "iq1_m"), "q2_k")
_EMBEDDINGS |= dict.fromkeys(("iq2_s", "iq2_m", "iq3_xxs"), "iq3_s") | dict.fromkeys(("tq1_0", "tq2_0"), "q4_k")
_OUTPUTS = {"q2_k": "q3_k", "iq3_xxs": "iq3_s", "q3_k_m": "q4_k", "q3_k_l": "q5_k", "iq3_m": "q4_k"}

_CATEGORIES = (
    ("attn_qkv.weight", "qkv"),
    ("attn_kv_b.weight", "kv_b"),
    ("attn_v.weight", "v"),
    ("attn_k.weight", "k"),
    ("attn_q.weight", "q"),
    ("attn_output.weight", "attention output"),
    ("ffn_up", "up"),
    ("ffn_gate", "gate"),
    ("ffn_down", "down"),
)
_VALUES = ("v", "qkv", "kv_b")
_ALTUP = ("altup_correct_coef", "altup_predict_coef")
_MIXED = ("time_mix_first", "time_mix_w1", "time_mix_w2", "time_mix_decay", "time_mix_lerp")
_IN_32_BIT = ("ffn_gate_inp", "position_embd", "token_types", "ssm_conv1d", "shortconv.conv", *_ALTUP, *_MIXED)
_IN_16_BIT = ("altup", "laurel", "per_layer_model_proj", "attn_rel_b")


def category(name: str) -> str:
    """The quantizer's name of what a tensor is; "" for nothing that a rule is about."""
    if name == "output.weight":
        return "output"
    if name in ("token_embd.weight", "per_layer_token_embd.weight"):
        return "embedding"
    return next((kind for part, kind in _CATEGORIES if part in name), "")


def order(name: str) -> tuple[int, str]:
    """Where a tensor stands among those that the quantizer goes through: by its layer, then by name."""
    words = name.split(".")
    return int(words[1]) if words[0] == "blk" and words[1].isdecimal() else -1, name


def unquantized(name: str, axes: int) -> str | None:
    """What a tensor is stored in that the quantizer leaves as the converter wrote it; None for those it quantizes."""
    plain = axes < 2 or not name.endswith(".weight") or name.endswith("_norm.weight")
    if plain or any(part in name for part in _IN_32_BIT):
        return "fp32"
    return "fp16" if any(part in name for part in _IN_16_BIT) else None


class Facts(NamedTuple):
    """What the rules ask of a model.

    Attributes:
        layers: of the file, prediction layers included where it has them. groups: query heads to a key head in the
            first layer, 0 where that has no attention. experts: routed ones of a layer. values: tensors of values.
        tied: there is no output.weight. falcon: of the first Falcon's architecture.
        sized_70b: of 80 layers with grouped heads, in Llama's or Qwen2's architecture.
    """

    layers: int
    groups: int
    experts: int
    values: int
    tied: bool = False
    falcon: bool = False
    sized_70b: bool = False


@dataclass
class Recipe:
    """One run of the quantizer: asked for tensor after tensor in `order`, since several rules count what came before.

    Attributes:
        mixture: its name. facts: of the model. importance: whether there is an importance matrix, without which no
            i-quant below IQ4 is made; those that are published have one. ends: what embedding and output are stored in,
            where that is asked for.
    """

    mixture: str
    facts: Facts
    importance: bool
    ends: str | None = None
    seen: Counter[str] = field(default_factory=Counter)

    def choose(self, name: str, columns: int, block: int, stacked: bool) -> str:
        """The type of the next tensor, whose rows have so many columns; `block` is that of the mixture's own type,
        `stacked` whether it holds the matrices of several experts."""
        kind, base = category(name), BASES[self.mixture]
        if self.ends and name in ("output.weight", "token_embd.weight"):
            return self.ends
        if kind == "output" or (self.facts.tied and kind == "embedding"):
            return self._head(columns % block == 0)
        if self.mixture == "mxfp4_moe":
            return "mxfp4" if stacked else "q8_0"
        if kind == "embedding":
            return _EMBEDDINGS.get(self.mixture, base)
        index = self._index(kind, name)
        if self.mixture in _LOWEST:
            return self._lowest(kind, index) or base
        if kind in _VALUES:
            return self._values(index) or base
        return self._others(kind, index) or base

    def _index(self, kind: str, name: str) -> int:
        """How many tensors of the kind came before; of a mixture's MLP its layer."""
        group = "values" if kind in _VALUES else kind
        before = self.seen[group]
        self.seen[group] += 1
        by_layer = self.facts.experts > 1 and group in ("up", "gate", "down") and self.mixture not in _LOWEST
        return order(name)[0] if by_layer else before

    def _head(self, whole_blocks: bool) -> str:
        if self.mixture == "mxfp4_moe" or self.facts.falcon or not whole_blocks:
            return "q8_0"
        return "q5_k" if self.mixture in _HEADS_Q5 else "q8_0" if self.mixture == "q8_0" else "q6_k"

    def _lowest(self, kind: str, index: int) -> str | None:
        better = "iq3_s" if self.mixture in _BETTER_2 else "q2_k"
        if kind in _VALUES:
            return "q4_k" if self.facts.groups >= 4 or self.facts.experts >= 4 else better
        if kind == "k" and self.facts.experts == 8:
            return "q4_k"
        if kind == "down" and index < self.facts.layers // 8:
            return better
        if kind == "attention output":
            if self.facts.experts == 8:
                return "q5_k"
            return "iq2_xxs" if self.mixture.startswith("iq1") else better if self.mixture in _BETTER_2 else None
        return None

    def _values(self, index: int) -> str | None:
        if self.facts.experts == 8:
            return "q8_0"
        found = self._values_of_most(index) or BASES[self.mixture]
        return "q5_k" if self.facts.sized_70b and found in ("q3_k", "q4_k") else found

    def _values_of_most(self, index: int) -> str | None:
        m, grouped = self.mixture, self.facts.groups >= 4
        if m == "q2_k":
            return "q4_k" if grouped else "q3_k"
        if m == "iq3_xxs":
            return "q4_k" if grouped else "iq3_xxs" if self.importance else "iq3_s"
        if m in ("q2_k_s", "iq3_xs", "iq3_s"):
            return "q4_k" if grouped else None
        if m in ("iq4_nl", "iq4_xs"):
            return "q5_k" if grouped else None
        if m == "q3_k_m":
            return "q5_k" if index < 2 else "q4_k"
        if m in ("q4_k_m", "q5_k_m"):
            return "q6_k" if more_bits(index, self.facts.values) else None
        return {"iq3_m": "q4_k", "q3_k_l": "q5_k"}.get(m) or ("q5_k" if m == "q4_k_s" and index < 4 else None)

    def _others(self, kind: str, index: int) -> str | None:
        m, eight = self.mixture, self.facts.experts == 8
        if kind == "k" and eight:
            return "q8_0"
        if kind in ("q", "k"):
            return {"iq3_xs": "iq3_xxs", "iq3_xxs": "iq2_s"}.get(m)
        if kind == "down":
            return self._down_of_falcon(index) if self.facts.falcon else self._down(index)
        if kind == "attention output":
            if self.facts.falcon:
                return "q4_k" if m == "q3_k_l" else None
            return ("q5_k" if m in _OUTPUTS_OF_8 else None) if eight else _OUTPUTS.get(m)
        layers = self.facts.layers
        inner = layers // 8 <= index < 7 * layers // 8
        return "iq3_xxs" if kind in ("gate", "up") and m == "iq3_xs" and inner else None

    def _down(self, index: int) -> str | None:
        m, layers = self.mixture, self.facts.layers
        first, more = index < layers // 8, more_bits(index, layers)
        if m in ("q4_k_m", "q5_k_m"):
            return "q6_k" if more else None
        if m == "q3_k_m":
            return "q5_k" if index < layers // 16 else "q4_k"
        if m == "iq3_m":
            return "q4_k" if first or (self.facts.experts == 8 and more) else None
        if m == "iq3_xxs" and not self.importance:
            return "q4_k" if first else "q3_k"
        if m in ("iq4_nl", "iq4_xs"):
            return "q5_k" if first and not self.importance else None
        if m in ("q4_0", "q5_0"):
            return f"{m[:-1]}1" if first and self.importance else None
        at_first = {"q2_k_s": "q4_k", "q4_k_s": "q5_k"}.get(m)
        return {"q2_k": "q3_k", "q3_k_l": "q5_k"}.get(m) or (at_first if first else None)

    def _down_of_falcon(self, index: int) -> str | None:
        m, layers = self.mixture, self.facts.layers
        early, more = index < layers // 16, more_bits(index, layers)
        if m == "q3_k_m":
            return "q5_k" if early else "q4_k" if more else None
        if m == "q4_k_m":
            return "q6_k" if early else "q5_k" if more else None
        return {"q3_k_l": "q4_k"}.get(m) or (None if m == "q4_k_s" else self._down(index))


def more_bits(index: int, count: int) -> bool:
    """Whether the quantizer spends more on a tensor: the first eighth, the last, and every third between."""
    return index < count // 8 or index >= 7 * count // 8 or (index - count // 8) % 3 == 2
