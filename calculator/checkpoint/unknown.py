"""`model_from_checkpoint`: a model whose type no family reads, built from its headers.

A two-axis weight is a product with every token, an embedding a lookup, an expert's weight a product with the tokens
routed to it. What the shapes cannot tell, attention and its cache, comes from the config where its fields say it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from calculator.checkpoint.facts import Facts, facts_of_config, facts_of_gguf
from calculator.checkpoint.matching import is_buffer, is_prediction
from calculator.checkpoint.packing import CACHE_SCALE, Stored, unpacked
from calculator.checkpoint.tensors import Checkpoint
from calculator.errors import CheckpointError, ConfigError
from calculator.formats import Exact, Format
from calculator.model import Layer, Model, Stack
from calculator.operations import plan_of
from calculator.parts import (
    Embedding,
    Head,
    Matrix,
    Norm,
    Part,
    Positions,
    RoutedMatrix,
    StoredAttention,
    StoredLatent,
    Tensors,
)
from calculator.quantization import Scheme
from calculator.workload import Workload

EXACT, DERIVED, UNKNOWN = "exact", "derived", "unknown"
IMPOSSIBLE = (TypeError, AttributeError, ArithmeticError, IndexError, KeyError, ValueError, RuntimeError)
"""What names and shapes that no model has lead to."""

QUANTITIES = {
    "parameters": "parameters",
    "weight_bytes": "weight bytes",
    "linear_flops": "FLOPs of the linear layers",
    "attention_flops": "FLOPs of attention",
    "kv_cache": "the KV cache",
}

TOWERS = re.compile(
    r"vision|visual|\bvit\b|image|audio|speech|sound|mm_|multi_modal|multimodal|projector|connector|resampler|vpm|apm|"
    r"aligner|merger|patch_embed|encoder\b|embed_vision|embed_audio",
    re.IGNORECASE,
)
EMBEDDINGS = re.compile(
    r"(?:.*\.)?(?:\w*embed_tokens\w*|wte|word_embeddings?|tok_embeddings|embed_in|\w*token_embd|embed|embeddings?)"
)
POSITIONS = re.compile(
    r"(?:.*\.)?(?:wpe|embed_positions|position_embeddings?|position_embd|token_type_embeddings?|token_types)"
)
HEADS = re.compile(r"(?:.*\.)?(?:lm_head|embed_out|output|head|score|classifier|output_projection)")
NORMS = re.compile(r"norm|(?:^|[._])ln(?:_?\w{0,3})?$|layernorm", re.IGNORECASE)
EXPERT = re.compile(r"(.*\bexperts?\.)(\d+)(\..*)")
RECURRENT = re.compile(
    r"ssm|mamba|linear_attn|lightning|conv1d|short_conv|rwkv|time_mix|delta|recurrent|rglru|shortconv|(?:^|\.)conv(?:\.|$)|\bmixer\b|a_log"
)
SPARSE = re.compile(r"indexer|compressor")  # an attention that sees a choice of tokens only
STREAMS = re.compile(r"altup|laurel|hyper_connection|\bhc_")  # several residual streams: not one product a token
ATTENTION = re.compile(r"attn|attention|\bmixer\b|(?:^|[._])[qkv]_proj")
QUERY = re.compile(r"(?:.*[._])?(?:q_proj|wq|attn_q|query|q|to_q|q_b_proj|attn_q_b)")
KEY = re.compile(r"(?:.*[._])?(?:k_proj|wk|attn_k|key|k|to_k)")
FUSED = re.compile(r"(?:.*[._])?(?:qkv_proj|wqkv|attn_qkv|query_key_value|c_attn|qkv|Wqkv)")


@dataclass
class _Weights:
    """A weight of the model, or those of all experts as one."""

    name: str
    members: list[Stored]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.members[0].shape

    @property
    def nbytes(self) -> int:
        return sum(s.nbytes for s in self.members)

    @property
    def elements(self) -> int:
        return sum(s.elements for s in self.members)

    @property
    def module(self) -> str:
        return self.name.removesuffix(".weight")


@dataclass
class _Builder:
    """Collects what is certain while the parts are made."""

    facts: Facts
    formats: dict[str, Format] = field(default_factory=dict)
    without_top_k: bool = False
    odd: list[str] = field(default_factory=list)  # weights whose FLOPs their shape does not tell
    attention: int = 0  # layers with attention; cores: those whose heads are known
    cores: int = 0
    recurrent: int = 0

    def keep(self, weights: _Weights) -> None:
        """Remember how a weight is stored, by its full name."""
        bits = weights.nbytes * 8 // weights.elements if weights.elements else 16
        kind = weights.members[0].data.dtype
        form = Exact(kind.lower(), min(max(bits, 1), 32), nbytes=weights.nbytes, title=kind)
        self.formats[weights.module] = form


def model_from_checkpoint(checkpoint: Checkpoint, config: Mapping[str, Any] | None = None) -> Model:
    """A model with exactly the checkpoint's weights; its `certainty` says what else is known.

    Args:
        checkpoint: what `load_checkpoint` returned.
        config: its config.json where it is not the checkpoint's own.

    Raises:
        CheckpointError: no language model can be made out in it.
    """
    said = dict(config if config is not None else checkpoint.config or {})
    gguf = checkpoint.format == "gguf"
    facts = facts_of_gguf(checkpoint.metadata) if gguf else facts_of_config(said)
    stored = [s for s in unpacked(checkpoint, said) if not CACHE_SCALE.fullmatch(s.name)]
    builder = _Builder(facts)
    try:
        model = _built(checkpoint, said, stored, builder)
        _ = model.parameters  # the parts are written now, so that what is wrong with them is said here
        plan_of(model, Workload())
    except (ConfigError, *IMPOSSIBLE) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise CheckpointError(f"No model can be built from the headers of {checkpoint.name}: {reason}.") from error
    return model


def _built(checkpoint: Checkpoint, said: dict[str, Any], stored: list[Stored], builder: _Builder) -> Model:
    facts = builder.facts
    weights = _folded(_squared(s, facts.width) for s in stored)
    for w in weights:
        builder.keep(w)
    numbered, rest = _by_layer(weights)
    path = _language(numbered, facts)
    if path is None:
        raise CheckpointError(
            f"{checkpoint.name} holds no numbered layers, so no language model can be made out in it."
        )
    layers = numbered.pop(path)
    count = facts.layers if facts.layers and all(i in layers for i in range(facts.layers)) else _run(layers)
    later = {f"{path}.{i}.{name}": w for i, found in layers.items() if i >= count for name, w in found.items()}
    if not all(is_prediction(name, path, count) for name in later):
        raise CheckpointError(
            f"The layers of {checkpoint.name} are not numbered from 0 on, so they cannot be told apart."
        )
    beside, mine = _split(rest)
    embedding = next((w for w in mine if EMBEDDINGS.fullmatch(w.module) and len(w.shape) == 2), None)
    width = facts.width or (embedding.shape[1] if embedding else 1)
    vocabulary = embedding.shape[0] if embedding else 1
    before, after = _ends(builder, mine, embedding, vocabulary, width)
    text = Stack(
        path,
        width,
        tuple(_layer(builder, path, i, layers[i]) for i in range(count)),
        before=before,
        after=after,
    )
    towers = tuple(_tower(p, found) for p, found in sorted(numbered.items()))
    if beside:
        held = _held("beside", [(w.name, w) for w in beside], "vision")
        towers = (*towers, Stack("beside", width, (), before=(held,), tower="beside"))
    apart = (Stack(f"{path}+", width, (), before=(_held("prediction", list(later.items()), "head"),)),) if later else ()
    kind = said.get("model_type") or checkpoint.metadata.get("general.architecture") or "unknown"
    certainty = _certainty(builder, stored, checkpoint, towers)
    return Model(
        name=checkpoint.name,
        source=f"the headers of {checkpoint.source}",
        model_type=str(kind),
        text=text,
        hidden_size=width,
        vocabulary_size=vocabulary,
        context_length=facts.context,
        config=_config(said, stored),
        towers=towers,
        apart=apart,
        notes=_notes(checkpoint, builder, certainty, towers, bool(later)),
        stored=_scheme(builder, embedding, checkpoint),
        certainty=certainty,
    )


# From tensors to layers


def _squared(s: Stored, width: int | None) -> Stored:
    """A matrix whose header tells its elements only (bitsandbytes' 4 bit), with the model's width for its inputs: the
    product is the same whichever way round they are."""
    if not s.packed or len(s.shape) != 1:
        return s
    inputs = width if width and s.elements % width == 0 else s.elements
    return replace(s, shape=(s.elements // inputs, inputs))


def _folded(stored: Iterable[Stored]) -> list[_Weights]:
    """Weights in the order of the file; tensors of experts with one name and shape are one, a star for the number."""
    found: dict[tuple[Any, ...], _Weights] = {}
    for s in stored:
        expert = EXPERT.fullmatch(s.name)
        name = f"{expert[1]}*{expert[3]}" if expert else s.name
        found.setdefault((name, s.shape if expert else None), _Weights(name, [])).members.append(s)
    if len({w.name for w in found.values()}) < len(found):
        raise CheckpointError("The experts of a layer have different shapes, which no formula here describes.")
    return list(found.values())


Numbered = dict[str, dict[int, dict[str, _Weights]]]


def _by_layer(weights: Iterable[_Weights]) -> tuple[Numbered, list[_Weights]]:
    """path -> number -> name inside the layer -> weight; and the weights outside of numbered layers."""
    numbered: Numbered = defaultdict(lambda: defaultdict(dict))
    rest = []
    for w in weights:
        place = re.match(r"(.*?)\.?(?:(?<=\.)|^)(\d{1,5})\.(.+)", w.name)
        if place:
            numbered[place[1]][int(place[2])][place[3]] = w
        else:
            rest.append(w)
    return numbered, rest


def _language(numbered: Numbered, facts: Facts) -> str | None:
    """The path of the language model's layers: as many as the config says, no tower by its name, the largest."""

    def rank(path: str) -> tuple[bool, bool, int]:
        found = numbered[path]
        size = sum(w.elements for layer in found.values() for w in layer.values())
        return facts.layers is not None and len(found) >= facts.layers, not TOWERS.search(path), size

    return max((p for p, found in numbered.items() if 0 in found), key=rank, default=None)


def _run(layers: Mapping[int, Any]) -> int:
    """How many layers are numbered from 0 on without a gap."""
    return next(i for i in range(len(layers) + 1) if i not in layers)


def _split(rest: list[_Weights]) -> tuple[list[_Weights], list[_Weights]]:
    """Weights of towers and projectors, and the language model's own."""
    beside = [w for w in rest if TOWERS.search(w.name) and not EMBEDDINGS.fullmatch(w.module)]
    names = {w.name for w in beside}
    return beside, [w for w in rest if w.name not in names]


def _ends(
    builder: _Builder, mine: list[_Weights], embedding: _Weights | None, vocabulary: int, width: int
) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """What stands before the layers and what after them."""
    by_name = {w.name: w for w in mine}
    head = next((w for w in mine if w is not embedding and HEADS.fullmatch(w.module) and len(w.shape) == 2), None)
    if head is not None and builder.facts.tied and embedding is not None and head.shape == embedding.shape:
        del by_name[head.name]  # the embedding, written out once more
        head = None
    before: list[Part] = []
    after: list[Part] = []
    if embedding is not None:
        del by_name[embedding.name]
        before.append(_embedding(embedding))
    if head is not None:
        del by_name[head.name]
    for name in sorted(by_name, key=_is_bias):
        w = by_name.pop(name, None)
        if w is not None:
            end = after if NORMS.search(w.module) and "embed" not in name and "embd" not in name else before
            end.append(_part(builder, name, w, by_name))
    if head is not None:
        after.append(Matrix(head.module, head.name, *_matrix(head.shape), component="head", role="head")
                     if not head.name.endswith(".weight") else Head(head.module, *_matrix(head.shape)))  # fmt: skip
    elif embedding is not None and builder.facts.tied is not False:
        after.append(Head("tied_head", vocabulary, width, tied=True))
    return tuple(before), tuple(after)


def _is_bias(name: str) -> bool:
    return name.endswith(".bias")


def _embedding(w: _Weights) -> Part:
    if w.name.endswith(".weight"):
        return Embedding(w.module, *_matrix(w.shape))
    return Tensors(w.module, ((w.name, w.shape, "embedding"),), "embedding")


def _matrix(shape: Sequence[int]) -> tuple[int, int]:
    return shape[0], shape[1]


def _component(name: str) -> str:
    lower = name.lower()
    if "shexp" in lower or "shared_expert" in lower:
        return "mlp"
    if "exps" in lower or "expert" in lower:
        return "experts"
    if re.search(r"router|gate_inp|(?:^|\.)(?:gate|wg)$", lower):
        return "router"
    if RECURRENT.search(lower):
        return "recurrent"
    return "attention" if ATTENTION.search(lower) else "mlp"


def _layer(builder: _Builder, path: str, number: int, weights: Mapping[str, _Weights]) -> Layer:
    """A layer's parts in the order: norms and mixer, attention, router, experts, MLP."""
    left = dict(weights)
    ranked: list[tuple[int, Part]] = []
    order = {"norm": 0, "attention": 1, "recurrent": 1, "router": 3, "experts": 4, "mlp": 5}
    matrices = {n: w for n, w in weights.items() if len(w.shape) == 2}
    for name in sorted(weights, key=_is_bias):
        w = left.pop(name, None)
        if w is not None:
            part = _part(builder, name, w, left)
            component = "norm" if isinstance(part, Norm) else _component(name.removesuffix(".weight"))
            ranked.append((order[component], part))
    builder.odd += [w.name for n, w in matrices.items() if STREAMS.search(n)]
    kinds = {_component(name.removesuffix(".weight")) for name in matrices}
    core = _core(builder, number, {n.removesuffix(".weight"): w for n, w in matrices.items()})
    if core is not None:
        ranked.append((2, core))
    said = builder.facts.at(builder.facts.types, number) or ""
    builder.recurrent += "recurrent" in kinds or re.search(r"linear|mamba|conv|recurrent", said) is not None
    mixer = [k for k in ("attention", "recurrent") if k in kinds]
    channel = ["experts"] if any(_component(n) == "experts" for n in weights) else ["mlp"] if "mlp" in kinds else []
    kind = " + ".join([*mixer, *channel]) or "layer"
    return Layer(kind, tuple(part for _, part in sorted(ranked, key=lambda r: r[0])))


def _part(builder: _Builder, name: str, w: _Weights, left: dict[str, _Weights]) -> Part:
    """The part that a weight is, with the bias that stands beside it."""
    module = name.removesuffix(".weight")
    component = _component(module)
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
        return Positions(module, *_matrix(w.shape))
    if len(w.shape) == 2 and not re.search(r"a_log$|\.D$|time_decay|dt_bias", module):
        if bias is not None:
            del left[f"{module}.bias"]
        role = "router" if component == "router" else "linear"
        return Matrix(module, name, *_matrix(w.shape), f"{module}.bias" if bias else "", component, role)
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


def _expert(builder: _Builder, name: str, w: _Weights, component: str) -> Part:
    """A matrix of all routed experts; of shared ones a plain matrix; anything else is held."""
    module, shape = name.removesuffix(".weight"), w.shape
    if component != "experts" and len(shape) == 2:
        return Matrix(module, name, *_matrix(shape), component="mlp")
    apart = "*" in name
    experts = len(w.members) if apart else shape[0]
    matrix = shape if apart else shape[1:]
    if not experts:
        return Tensors(module, ((name, shape, "vector"),), component)
    top_k = builder.facts.top_k
    if top_k is None or top_k > experts:
        builder.without_top_k, top_k = True, experts
    if len(matrix) == 2:
        return RoutedMatrix(module, name, experts, top_k, *_matrix(matrix))
    if not apart:
        return Tensors(module, ((name, shape, "vector"),), component, share=(top_k, experts))
    named = []
    for i, member in enumerate(w.members):  # each under its own name, so that its format is found again
        builder.keep(_Weights(w.name.replace("*", str(i), 1), [member]))
        named.append((name.replace("*", str(i), 1), shape, "vector"))
    return Tensors(module, tuple(named), component, share=(top_k, experts))


def _core(builder: _Builder, number: int, matrices: Mapping[str, _Weights]) -> Part | None:
    """The layer's attention, None where it has none or its heads are not known."""
    kind = builder.facts.at(builder.facts.types, number) or ""
    if re.search(r"linear|mamba|conv|recurrent", kind):
        return None
    mixing = {n: w for n, w in matrices.items() if _component(n) == "attention"}
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
    if not heads or not kv_heads or heads % kv_heads or any("kv_lora" in n or "kv_a_" in n for n in mixing):
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
    window = facts.at(windows, number)
    return StoredAttention(
        "attention_core", heads, kv_heads, size, facts.value_dim or size, window, key is not None or fused is not None
    )


def _held(name: str, weights: list[tuple[str, _Weights]], component: str) -> Part:
    """Weights that are held and not run."""
    named = [(n, w) for n, w in weights]
    return Tensors(name, tuple((n, w.shape, "vector" if len(w.shape) == 1 else "linear") for n, w in named), component)


def _tower(path: str, layers: Mapping[int, Mapping[str, _Weights]]) -> Stack:
    """A numbered stack beside the language model; every weight under its full name."""
    prefix = f"{path}." if path else ""
    found = [(f"{prefix}{i}.{name}", w) for i, layer in sorted(layers.items()) for name, w in layer.items()]
    return Stack(path or "tower", 1, (), before=(_held(path or "tower", found, "vision"),), tower=path or "tower")


# What is known


def _scheme(builder: _Builder, embedding: _Weights | None, checkpoint: Checkpoint) -> Scheme:
    formats = builder.formats
    if embedding is not None:
        formats["tied_head"] = formats[embedding.module]

    def pick(module: str, role: str, tower: bool) -> Format | None:
        return formats.get(module)

    kinds = list(checkpoint.by_dtype)
    shown = ", ".join(kinds[:3]) + (", …" if len(kinds) > 3 else "")
    return Scheme(f"as the {checkpoint.format} headers say ({shown})", pick, vectors=True)


def _config(said: dict[str, Any], stored: list[Stored]) -> Mapping[str, Any]:
    """The config, with the type to compute in where it names none: the 16- or 32-bit one that most bytes are in."""
    if said.get("dtype") or said.get("torch_dtype"):
        return said
    names = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
    found: dict[str, int] = defaultdict(int)
    for s in stored:
        if s.data.dtype in names and len(s.shape) > 1:
            found[names[s.data.dtype]] += s.nbytes
    whole = sum(s.nbytes for s in stored)
    most = max(found, key=lambda name: found[name], default="bfloat16")
    # A few 32-bit tensors beside quantized ones do not mean that products are computed in 32 bit.
    return {**said, "dtype": most if most != "float32" or found[most] * 2 > whole else "bfloat16"}


def _certainty(
    builder: _Builder, stored: list[Stored], checkpoint: Checkpoint, towers: Sequence[Stack]
) -> Mapping[str, str]:
    understood = all(s.understood for s in stored)
    linear = understood and not builder.without_top_k and not builder.odd
    seen = builder.attention > 0 and builder.cores == builder.attention
    attention = DERIVED if seen else UNKNOWN
    none = not builder.attention and not builder.recurrent
    return {
        "parameters": EXACT if understood else UNKNOWN,
        "weight_bytes": EXACT,
        "linear_flops": EXACT if linear else UNKNOWN,
        "attention_flops": UNKNOWN if builder.recurrent or none else attention,
        "kv_cache": UNKNOWN if builder.recurrent or none else attention,
    }


def _notes(
    checkpoint: Checkpoint, builder: _Builder, certainty: Mapping[str, str], towers: Sequence[Stack], later: bool
) -> tuple[str, ...]:
    """The certainty in words, and why something is not certain."""
    groups: dict[str, list[str]] = defaultdict(list)
    for quantity, word in certainty.items():
        groups[word].append(QUANTITIES[quantity])
    origin = "the file's metadata" if checkpoint.format == "gguf" else "the config"
    said = {EXACT: "exact", DERIVED: f"derived from {origin}", UNKNOWN: "unknown"}
    sentences = [f"{said[word]}: {', '.join(groups[word])}" for word in said if word in groups]
    notes = [f"Built from the headers of the checkpoint, not by a family of formulas; {'; '.join(sentences)}."]
    if builder.without_top_k:
        notes.append("How many experts a token visits is not stated, so its FLOPs are counted as if it visited all.")
    if builder.attention > builder.cores:
        missing = builder.attention - builder.cores
        notes.append(
            f"Heads or windows of {missing} attention layer(s) are not stated; their scores and cache are left out."
        )
    if builder.recurrent:
        notes.append(f"{builder.recurrent} layer(s) have a recurrent mixer, whose scan and state are left out.")
    if builder.odd:
        notes.append(f"{len(builder.odd)} tensor(s) such as {builder.odd[0]} have shapes that do not tell their FLOPs.")
    if certainty["parameters"] == UNKNOWN:
        notes.append("Some weights are packed in a way that is not known here: their elements are counted as stored.")
    if towers:
        notes.append("What is not the language model by its names is held and not run.")
    if later:
        notes.append("Layers after the last are multi-token-prediction layers; they are in no total.")
    notes.append("Activations count the matrix products, norms and attention only.")
    return tuple(notes)
