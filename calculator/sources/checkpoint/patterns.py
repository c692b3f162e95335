"""A layer from its weights: matrices, norms, experts, and the attention that the config tells of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from calculator.formats.named import Exact, Format
from calculator.model import Layer
from calculator.parts import (
    Embedding,
    Matrix,
    Norm,
    Part,
    Positions,
    RoutedMatrix,
    StoredAttention,
    StoredLatent,
    Tensors,
)
from calculator.sources.checkpoint.facts import Facts
from calculator.sources.checkpoint.matching import is_buffer
from calculator.sources.checkpoint.naming import (
    EMBEDDINGS,
    FUSED,
    KEY,
    NORMS,
    POSITIONS,
    QUERY,
    SPARSE,
    STREAMS,
    VALUE,
    component_of,
    is_bias,
)
from calculator.sources.checkpoint.weights import Weights


@dataclass
class Builder:
    """Collects what is certain while the parts are made."""

    facts: Facts
    formats: dict[str, Format] = field(default_factory=dict)
    without_top_k: bool = False
    odd: list[str] = field(default_factory=list)  # weights whose FLOPs their shape does not tell
    attention: int = 0  # layers with attention; cores: those whose heads are known
    cores: int = 0
    recurrent: int = 0

    def keep(self, weights: Weights) -> None:
        """Remember how a weight is stored, by its full name."""
        bits = weights.nbytes * 8 // weights.elements if weights.elements else 16
        kind = weights.members[0].data.dtype
        form = Exact(kind.lower(), min(max(bits, 1), 32), nbytes=weights.nbytes, title=kind)
        self.formats[weights.module] = form


def embedding_part(w: Weights) -> Part:
    """The part of a token embedding; tables that are no matrix are held and not looked up."""
    if w.name.endswith(".weight"):
        return Embedding(w.module, *matrix_of(w.shape))
    return Tensors(w.module, ((w.name, w.shape, "embedding"),), "embedding")


def matrix_of(shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of a stored matrix."""
    return shape[0], shape[1]


def layer_of(builder: Builder, path: str, number: int, weights: Mapping[str, Weights]) -> Layer:
    """A layer's parts in the order: norms and mixer, attention, router, experts, MLP."""
    left = dict(weights)
    ranked: list[tuple[int, Part]] = []
    order = {"norm": 0, "attention": 1, "recurrent": 1, "router": 3, "experts": 4, "mlp": 5}
    matrices = {n: w for n, w in weights.items() if len(w.shape) == 2}
    for name in sorted(weights, key=is_bias):
        w = left.pop(name, None)
        if w is not None:
            part = part_of(builder, name, w, left)
            component = "norm" if isinstance(part, Norm) else component_of(name.removesuffix(".weight"))
            ranked.append((order[component], part))
    builder.odd += [w.name for n, w in matrices.items() if STREAMS.search(n)]
    kinds = {component_of(name.removesuffix(".weight")) for name in matrices}
    core = _core(builder, number, {n.removesuffix(".weight"): w for n, w in matrices.items()})
    if core is not None:
        ranked.append((2, core))
    said = builder.facts.at(builder.facts.types, number) or ""
    builder.recurrent += "recurrent" in kinds or re.search(r"linear|mamba|conv|recurrent", said) is not None
    mixer = [k for k in ("attention", "recurrent") if k in kinds]
    channel = ["experts"] if any(component_of(n) == "experts" for n in weights) else ["mlp"] if "mlp" in kinds else []
    kind = " + ".join([*mixer, *channel]) or "layer"
    return Layer(kind, tuple(part for _, part in sorted(ranked, key=lambda r: r[0])))


def part_of(builder: Builder, name: str, w: Weights, left: dict[str, Weights]) -> Part:
    """The part that a weight is, with the bias that stands beside it."""
    module = name.removesuffix(".weight")
    component = component_of(module)
    if is_buffer(w.name, w.shape):
        return Tensors(module, ((name, w.shape, "buffer"),), component)
    bias = left.get(f"{module}.bias") if name.endswith(".weight") else None
    bias = bias if bias is not None and bias.shape == w.shape[:1] else None
    if len(w.shape) == 1 and NORMS.search(module) and name.endswith(".weight"):
        if bias is not None:
            del left[f"{module}.bias"]
        groups = _groups(builder.facts, module, w.shape[0])
        return Norm(module, w.shape[0], "rms" if bias is None else "layer", bias is not None, groups=groups)
    stacked = len(w.shape) == 3 and w.shape[0] == builder.facts.experts
    if "expert" in name or "exps" in name or stacked:
        return _expert(builder, name, w, component)
    if len(w.shape) == 2 and (EMBEDDINGS.fullmatch(module) or POSITIONS.fullmatch(module)) and name.endswith(".weight"):
        return Positions(module, *matrix_of(w.shape))
    if len(w.shape) == 2 and not re.search(r"a_log$|\.D$|time_decay|dt_bias", module):
        if bias is not None:
            del left[f"{module}.bias"]
        role = "router" if component == "router" else "linear"
        return Matrix(module, name, *matrix_of(w.shape), f"{module}.bias" if bias else "", component, role)
    depthwise = len(w.shape) == 3 and 1 in w.shape[1:]
    if len(w.shape) > 2 and not depthwise:
        builder.odd.append(w.name)
    role = "convolution" if len(w.shape) > 2 else "vector"
    return Tensors(module, ((name, w.shape, role),), component, kernel=depthwise)


def _groups(facts: Facts, module: str, size: int) -> int:
    """How often a norm of a head's size runs for each token."""
    if size != facts.head_dim or not facts.heads or size == facts.width:
        return 1
    found = facts.kv_heads if re.search(r"(?:^|[._])k", module) else facts.heads
    return max(found) if found else 1


def _expert(builder: Builder, name: str, w: Weights, component: str) -> Part:
    """A matrix of all routed experts; of shared ones a plain matrix; anything else is held."""
    module, shape = name.removesuffix(".weight"), w.shape
    if component != "experts" and len(shape) == 2:
        return Matrix(module, name, *matrix_of(shape), component="mlp")
    apart = "*" in name
    experts = len(w.members) if apart else shape[0]
    matrix = shape if apart else shape[1:]
    if not experts:
        return Tensors(module, ((name, shape, "vector"),), component)
    top_k = builder.facts.top_k
    if top_k is None or top_k > experts:
        builder.without_top_k, top_k = True, experts
    if len(matrix) == 2:
        return RoutedMatrix(module, name, experts, top_k, *matrix_of(matrix))
    if not apart:
        return Tensors(module, ((name, shape, "vector"),), component, share=(top_k, experts))
    named = []
    for i, member in enumerate(w.members):  # each under its own name, so that its format is found again
        builder.keep(Weights(w.name.replace("*", str(i), 1), [member]))
        named.append((name.replace("*", str(i), 1), shape, "vector"))
    return Tensors(module, tuple(named), component, share=(top_k, experts))


def _core(builder: Builder, number: int, matrices: Mapping[str, Weights]) -> Part | None:
    """The layer's attention, None where it has none or its heads are not known."""
    kind = builder.facts.at(builder.facts.types, number) or ""
    if re.search(r"linear|mamba|conv|recurrent", kind):
        return None
    mixing = {n: w for n, w in matrices.items() if component_of(n) == "attention"}
    query = next((w for n, w in mixing.items() if QUERY.fullmatch(n)), None)
    key = next((w for n, w in mixing.items() if KEY.fullmatch(n)), None)
    fused = next((w for n, w in mixing.items() if FUSED.fullmatch(n)), None)
    facts = builder.facts
    if not mixing or (query is None and fused is None):
        builder.attention += bool(mixing)
        return None
    builder.attention += 1
    if any(SPARSE.search(n) for n in matrices):
        return None
    heads, kv_heads = facts.at(facts.heads, number), facts.at(facts.kv_heads, number)
    if heads and facts.latent is not None:
        builder.cores += 1
        return StoredLatent("attention_core", heads, *facts.latent)
    if not heads or not kv_heads or any("kv_lora" in n or "kv_a_" in n for n in mixing):
        return None
    rows = query.shape[0] if query is not None else None
    if fused is not None:
        total = max(fused.shape) if min(fused.shape) == facts.width else fused.shape[0]
        size = facts.head_dim or (total // (heads + 2 * kv_heads) if total % (heads + 2 * kv_heads) == 0 else None)
    elif key is not None and key.shape[0] % kv_heads == 0:
        size = key.shape[0] // kv_heads
    else:
        size = facts.head_dim or (rows // heads if rows and rows % heads == 0 else None)
    windows = facts.windows
    if size is None or (rows is not None and rows % (heads * size)) or not windows:
        return None
    builder.cores += 1
    values = next((w for n, w in mixing.items() if VALUE.fullmatch(n)), None)
    apart = values is not None and key is not None and values.shape[0] % kv_heads == 0
    value_dim = values.shape[0] // kv_heads if values is not None and apart else facts.value_dim if fused else None
    caches = (key is not None or fused is not None) and (facts.caching is None or number < facts.caching)
    return StoredAttention(
        "attention_core",
        heads,
        kv_heads,
        size,
        value_dim or size,
        facts.at(windows, number),
        caches,
        chunked=facts.chunked,
    )


def held_part(name: str, weights: list[tuple[str, Weights]], component: str) -> Part:
    """Weights that are held and not run."""
    named = [(n, w) for n, w in weights]
    return Tensors(name, tuple((n, w.shape, "vector" if len(w.shape) == 1 else "linear") for n, w in named), component)
