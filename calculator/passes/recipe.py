"""A model in one of llama.cpp's mixtures: each tensor's type as the quantizer's recipe chooses it, without a file."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from calculator.errors import ConfigError
from calculator.formats.gguf_names import stored_as
from calculator.formats.mixtures import BASES, LARGER, Facts, Recipe, category, order, unquantized
from calculator.formats.named import FORMATS, GGML_FORMATS, Exact, Format, format_named
from calculator.formats.rules import ANYTHING, Rule, Scheme
from calculator.formats.weight import Weight
from calculator.model import Model, Stack
from calculator.record.run import weights_of

if TYPE_CHECKING:
    from calculator.parts import Part

RECIPE = "llama.cpp's recipe"
"""What stands for the place of a rule that no config and no header has."""
_70B = frozenset(("llama", "mistral", "qwen2", "qwen2_vl", "qwen2_5_vl"))
_WITH_PREDICTION = ("glm4_moe", "glm4v_moe", "glm_moe_dsa", "exaone_moe", "qwen3_5")
"""Types whose converter writes the prediction layers behind the others."""


class _Piece(NamedTuple):
    """A tensor of the file, or a part of one: what it holds of which tensor of the model."""

    name: str
    key: str
    rows: int
    columns: int
    stacked: bool
    role: str
    axes: int


def mixed_scheme(model: Model, mixture: str, *, importance: bool | None = None) -> Scheme:
    """The rules of a mixture by name for the model's tensors, one a tensor; towers, which are files of their own, in
    16 bit."""
    from calculator.parts import Head

    stacks = [s for s in model.stacks if s.tower is None]
    if model.model_type.startswith(_WITH_PREDICTION):
        stacks += model.apart
    tied = any(isinstance(part, Head) and part.tied for part in model.text.after)
    pieces = sorted((p for stack in stacks for p in _pieces(model, stack)), key=lambda p: order(p.name))
    matrix = mixture.startswith("iq") if importance is None else importance
    ends = "q8_0" if mixture in LARGER else None
    recipe = Recipe(LARGER.get(mixture, mixture), _facts(model, pieces, tied=tied), matrix, ends)
    types: dict[str, Format] = {}
    held: dict[str, list[tuple[Format, _Piece]]] = defaultdict(list)
    for piece in pieces:
        if piece.name not in types:
            types[piece.name] = _type(recipe, piece)
        held[piece.key].append((types[piece.name], piece))
    forms = {key: _joined(parts) for key, parts in held.items()}
    if tied:
        table = types.get("token_embd.weight")
        forms |= {p.name: table for p in model.text.after if isinstance(p, Head) and table is not None}
    rules = tuple(Rule("tensor", key, form, RECIPE, ANYTHING, towers=False) for key, form in forms.items())
    return Scheme(format_named(mixture).title, rules, vectors=True)


def _type(recipe: Recipe, piece: _Piece) -> Format:
    left = "fp32" if piece.role in ("router", "norm", "vector", "convolution", "buffer") else None
    left = left or unquantized(piece.name, piece.axes)
    if left is not None:
        return FORMATS[left]
    base = _named(BASES[recipe.mixture])
    return _named(recipe.choose(piece.name, piece.columns, base.tile_columns, piece.stacked))


def _named(name: str) -> Format:
    """A type by name; llama.cpp's MXFP4 is that of the OCP."""
    return GGML_FORMATS.get(name) or FORMATS[name]


def _joined(parts: list[tuple[Format, _Piece]]) -> Format:
    """The format of a tensor that the file holds in several: one, or where they differ their bytes together."""
    forms = {form: None for form, _ in parts}
    if len(forms) == 1 and len({piece.columns for _, piece in parts}) == 1:
        return parts[0][0]
    nbytes = sum(int(form.size(Weight("", (p.rows, p.columns), "linear"))) for form, p in parts)
    elements = sum(p.rows * p.columns for _, p in parts)
    name = " and ".join(dict.fromkeys(form.name for form, _ in parts))
    return Exact(name, max(1, min(32, nbytes * 8 // max(elements, 1))), nbytes=nbytes, title=name)


def _pieces(model: Model, stack: Stack) -> Iterator[_Piece]:
    places: list[tuple[str, tuple[Part, ...]]] = [("", stack.before)]
    places += [(f"{stack.path}.{i}.", layer.parts) for i, layer in enumerate(stack.layers)]
    places.append(("", stack.after))
    for prefix, parts in places:
        for weight in weights_of(parts, stored=True):
            yield from _held(model, prefix, weight)


_OUTSIDE = {"embedding": "token_embd.weight", "head": "output.weight"}


def _held(model: Model, prefix: str, weight: Weight) -> Iterator[_Piece]:
    """The tensors of the file that hold a tensor of the model."""
    full = prefix + weight.name
    key = full.removesuffix(".weight")
    shape = [int(n) for n in weight.shape]
    count = int(weight.copies) * (math.prod(shape[:-2]) if len(shape) > 2 else 1)
    stacked, axes = count > 1, len(shape) + ("*" in weight.name)
    rows, columns = (count * (shape[-2] if len(shape) > 1 else 1), shape[-1]) if shape else (1, 1)
    ways = stored_as(full, layers=len(model.text.layers))
    names = ways[0] if ways else (_OUTSIDE.get(weight.role, f"{key}.weight"),)
    for name, (part, width) in zip(names, _divided(model, names, rows, columns), strict=True):
        yield _Piece(
            name, key, part, width, stacked or name.endswith(("_k_b.weight", "_v_b.weight")), weight.role, axes
        )


def _divided(model: Model, names: tuple[str, ...], rows: int, columns: int) -> list[tuple[int, int]]:
    """Rows and columns of the tensors that one is split into: equal shares of its rows, but for those below."""
    if len(names) == 1:
        return [(rows, columns)]
    kinds = [name.rpartition(".weight")[0].rpartition(".")[2] for name in names]
    if kinds == ["attn_k_b", "attn_v_b"]:
        # The keys' half is transposed for absorption: its rows are as long as a head's part without rotation.
        nope, value = _sizes(model, "nope_dim", "value_dim")
        heads = rows // (nope + value)
        return [(heads * columns, nope), (heads * value, columns)]
    if kinds == ["attn_qkv", "attn_gate"]:
        gate = math.prod(_sizes(model, "value_heads", "value_dim"))
        return [(rows - gate, columns), (gate, columns)]
    if kinds == ["attn_q", "attn_k", "attn_v"]:
        heads, keys = _sizes(model, "heads", "kv_heads")
        group = rows // (heads + 2 * keys)
        return [(rows - 2 * keys * group, columns), (keys * group, columns), (keys * group, columns)]
    return [(rows * (i + 1) // len(names) - rows * i // len(names), columns) for i in range(len(names))]


def _sizes(model: Model, *names: str) -> tuple[int, ...]:
    """Sizes of the first part of a layer that has all of them: what was built, however the config says it.

    Raises:
        ConfigError: there is no such part, so that the file's tensors are not known.
    """
    for layer, _ in model.text.groups:
        for part in layer.parts:
            if all(hasattr(part, name) for name in names):
                return tuple(int(getattr(part, name)) for name in names)
    raise ConfigError(f"{model.name} has no layer with {' and '.join(names)}, so its GGUF tensors are not known here.")


def _facts(model: Model, pieces: list[_Piece], *, tied: bool) -> Facts:
    heads, kv_heads = _heads(model)
    kind = str((model.config.get("text_config") or model.config).get("model_type", model.model_type))
    grouped = kind != "llama" or heads != kv_heads
    layers = len(model.text.layers)
    if model.model_type.startswith(_WITH_PREDICTION):
        layers += sum(len(stack.layers) for stack in model.apart)
    values = {p.name for p in pieces if category(p.name) in ("v", "qkv", "kv_b")}
    return Facts(
        layers=layers,
        groups=heads // kv_heads if kv_heads else 0,
        experts=int(model.experts.experts) if model.experts else 0,
        values=len(values),
        tied=tied,
        falcon=kind in ("falcon", "RefinedWeb", "RefinedWebModel"),
        sized_70b=kind in _70B and layers == 80 and grouped,
    )


def _heads(model: Model) -> tuple[int, int]:
    """Query and key heads of the first layer as converters write them: of a latent attention one key head, of a layer
    without attention none, but for the delta nets of Qwen, which state those of the others."""
    from calculator.parts import Attention, LatentAttention

    layers = model.text.layers if model.model_type.startswith("qwen3") else model.text.layers[:1]
    for layer in layers:
        for part in layer.parts:
            if isinstance(part, LatentAttention):
                return int(part.heads), 1
            if isinstance(part, Attention):
                return int(part.heads), int(part.kv_heads)
    return 0, 0
