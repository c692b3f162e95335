"""`model_from_checkpoint`: a model whose type no family reads, built from its headers.

A two-axis weight is a product with every token, an embedding a lookup, an expert's weight a product with the tokens
routed to it. What the shapes cannot tell, attention and its cache, comes from the config where its fields say it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from calculator.errors import CheckpointError, ConfigError
from calculator.formats.rules import ANYTHING, Rule, Scheme
from calculator.gate import check_model
from calculator.limits import building, times
from calculator.model import Model, Stack
from calculator.parts import Head, Matrix, Part
from calculator.passes.plan import plan_of
from calculator.record.workload import Workload
from calculator.sources.checkpoint.facts import Facts, facts_of_config, facts_of_gguf
from calculator.sources.checkpoint.matching import is_prediction
from calculator.sources.checkpoint.metadata import Metadata
from calculator.sources.checkpoint.naming import EMBEDDINGS, HEADS, NORMS, TOWERS, is_bias
from calculator.sources.checkpoint.packing import CACHE_SCALE, Stored, unpacked
from calculator.sources.checkpoint.patterns import Builder, embedding_part, held_part, layer_of, matrix_of, part_of
from calculator.sources.checkpoint.tensors import Checkpoint
from calculator.sources.checkpoint.weights import Numbered, Weights, by_layer, folded, squared

EXACT, DERIVED, UNKNOWN = "exact", "derived", "unknown"
LORA = re.compile(r"lora_(?:[AB]|[ab]|embedding_[AB]|magnitude_vector)(?:\.|$)")
IMPOSSIBLE = (TypeError, AttributeError, ArithmeticError, IndexError, KeyError, ValueError, RuntimeError)
"""What names and shapes that no model has lead to."""


QUANTITIES = {
    "parameters": "parameters",
    "weight_bytes": "weight bytes",
    "linear_flops": "FLOPs of the linear layers",
    "attention_flops": "FLOPs of attention",
    "kv_cache": "the KV cache",
}


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
    if gguf:
        _check_type(checkpoint)
    facts = facts_of_gguf(Metadata.of(checkpoint)) if gguf else facts_of_config(said)
    stored = [s for s in unpacked(checkpoint, said) if not CACHE_SCALE.fullmatch(s.name)]
    builder = Builder(facts)
    try:
        with building():
            model = _built(checkpoint, said, stored, builder)
        check_model(model)
        _ = model.parameters  # the parts are written now, so that what is wrong with them is said here
        plan_of(model, Workload())
    except (ConfigError, *IMPOSSIBLE) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise CheckpointError(f"No model can be built from the headers of {checkpoint.name}: {reason}.") from error
    return model


def _check_type(checkpoint: Checkpoint) -> None:
    """Raises:
    CheckpointError: the GGUF file says that it holds something else than a model (general.type).
    """
    said = checkpoint.metadata
    kind = str(said.get("general.type") or "")
    if kind == "adapter":
        names = ("general.base_model.0.repo_url", "general.base_model.0.name")
        base = next((str(said[name])[:200] for name in names if said.get(name)), "a model that it does not name")
        elements = sum(t.elements for t in checkpoint.tensors)
        raise CheckpointError(
            f"{checkpoint.name} is an adapter (LoRA) of {base}, with {elements:,} parameters in {checkpoint.nbytes:,} "
            "bytes; load the base model, or the adapter as peft saved it (adapter_config.json), which stands beside it."
        )
    if kind == "imatrix":
        raise CheckpointError(
            f"{checkpoint.name} is an importance matrix, which llama.cpp's quantizer reads, and no model; load the "
            "model's own file."
        )


def _built(checkpoint: Checkpoint, said: dict[str, Any], stored: list[Stored], builder: Builder) -> Model:
    facts = builder.facts
    weights = folded(squared(s, facts.width) for s in stored)
    for w in weights:
        builder.keep(w)
    numbered, rest = by_layer(weights)
    path = _language(numbered, facts)
    if path is None:
        raise CheckpointError(
            f"{checkpoint.name} holds no numbered layers, so no language model can be made out in it."
        )
    layers = numbered.pop(path)
    count = facts.layers if facts.layers and all(i in layers for i in range(times(facts.layers))) else _run(layers)
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
        tuple(layer_of(builder, path, i, layers[i]) for i in range(times(count))),
        before=before,
        after=after,
        causal=facts.causal,
    )
    towers = tuple(_tower(p, found) for p, found in sorted(numbered.items()))
    if beside:
        held = held_part("beside", [(w.name, w) for w in beside], "vision")
        towers = (*towers, Stack("beside", width, (), before=(held,), tower="beside"))
    apart = (
        (Stack(f"{path}+", width, (), before=(held_part("prediction", list(later.items()), "head"),)),) if later else ()
    )
    kind = said.get("model_type") or checkpoint.metadata.get("general.architecture") or "unknown"
    certainty = _certainty(builder, stored, checkpoint, towers)
    return Model(
        name=checkpoint.name,
        source=f"the headers of {checkpoint.source}",
        model_type=str(kind)[:100],
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


def _split(rest: list[Weights]) -> tuple[list[Weights], list[Weights]]:
    """Weights of towers and projectors, and the language model's own."""
    beside = [w for w in rest if TOWERS.search(w.name) and not EMBEDDINGS.fullmatch(w.module)]
    names = {w.name for w in beside}
    return beside, [w for w in rest if w.name not in names]


def _ends(
    builder: Builder, mine: list[Weights], embedding: Weights | None, vocabulary: int, width: int
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
        before.append(embedding_part(embedding))
    if head is not None:
        del by_name[head.name]
    for name in sorted(by_name, key=is_bias):
        w = by_name.pop(name, None)
        if w is not None:
            end = after if NORMS.search(w.module) and "embed" not in name and "embd" not in name else before
            end.append(part_of(builder, name, w, by_name))
    if head is not None:
        after.append(Matrix(head.module, head.name, *matrix_of(head.shape), component="head", role="head")
                     if not head.name.endswith(".weight") else Head(head.module, *matrix_of(head.shape)))  # fmt: skip
    elif embedding is not None and builder.facts.tied is not False:
        after.append(Head("tied_head", vocabulary, width, tied=True))
    return tuple(before), tuple(after)


def _tower(path: str, layers: Mapping[int, Mapping[str, Weights]]) -> Stack:
    """A numbered stack beside the language model; every weight under its full name."""
    prefix = f"{path}." if path else ""
    found = [(f"{prefix}{i}.{name}", w) for i, layer in sorted(layers.items()) for name, w in layer.items()]
    return Stack(path or "tower", 1, (), before=(held_part(path or "tower", found, "vision"),), tower=path or "tower")


# What is known


def _scheme(builder: Builder, embedding: Weights | None, checkpoint: Checkpoint) -> Scheme:
    formats = builder.formats
    if embedding is not None:
        formats["tied_head"] = formats[embedding.module]

    # What a header says of a tensor is a rule about that tensor, of whatever role.
    rules = tuple(Rule("tensor", name, form, "headers", ANYTHING) for name, form in formats.items())
    kinds = list(checkpoint.by_dtype)
    shown = ", ".join(kinds[:3]) + (", …" if len(kinds) > 3 else "")
    return Scheme(f"as the {checkpoint.format} headers say ({shown})", rules, vectors=True)


def _config(said: dict[str, Any], stored: list[Stored]) -> Mapping[str, Any]:
    """The config, with the type to compute in where it names none: the 16- or 32-bit one that most bytes are in."""
    if said.get("dtype") or said.get("torch_dtype"):
        return said
    return {**said, "dtype": dtype_of((s.data.dtype, s.nbytes, len(s.shape)) for s in stored)}


def dtype_of(stored: Iterable[tuple[str, int, int]]) -> str:
    """The type to compute in: the 16- or 32-bit one that most bytes of matrices are in.

    Args:
        stored: type, bytes and number of axes of each tensor.
    """
    names = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
    found: dict[str, int] = defaultdict(int)
    whole = 0
    for kind, nbytes, axes in stored:
        whole += nbytes
        if kind in names and axes > 1:
            found[names[kind]] += nbytes
    most = max(found, key=lambda name: found[name], default="bfloat16")
    # A few 32-bit tensors beside quantized ones do not mean that products are computed in 32 bit.
    return most if most != "float32" or found[most] * 2 > whole else "bfloat16"


def _certainty(
    builder: Builder, stored: list[Stored], checkpoint: Checkpoint, towers: Sequence[Stack]
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
    checkpoint: Checkpoint, builder: Builder, certainty: Mapping[str, str], towers: Sequence[Stack], later: bool
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
    if all(LORA.search(t.name) for t in checkpoint.tensors):
        notes.append(
            "These are an adapter's tensors alone (LoRA); its adapter_config.json names what it stands beside."
        )
    if checkpoint.metadata.get("general.type") == "mmproj":
        notes.append("This file (mmproj) is the tower and projector alone; the language model is a file of its own.")
    if towers:
        notes.append("What is not the language model by its names is held and not run.")
    if later:
        notes.append("Layers after the last are multi-token-prediction layers; they are in no total.")
    notes.append("Activations count the matrix products, norms and attention only.")
    return tuple(notes)
