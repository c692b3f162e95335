"""`model_from_gguf`: the family of a GGUF file's original, with the bytes that the file's headers say."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from calculator.errors import ConfigError
from calculator.formats.gguf_names import stored_as
from calculator.formats.named import Exact, Format
from calculator.formats.rules import ANYTHING, Rule, Scheme
from calculator.formats.weight import Weight
from calculator.model import Model, Stack
from calculator.parts import Head, Part, Tensors
from calculator.record.run import weights_of
from calculator.sources.checkpoint.llama_cpp.architectures import config_of
from calculator.sources.checkpoint.matching import is_buffer
from calculator.sources.checkpoint.metadata import Metadata
from calculator.sources.checkpoint.tensors import Checkpoint, StoredTensor
from calculator.sources.checkpoint.unknown import dtype_of

SCALES = (".scale", ".input_scale")  # beside NVFP4 and MXFP4 tensors


class Mismatch(Exception):
    """The file's tensors are not those of the family; the text says which."""


def model_from_gguf(checkpoint: Checkpoint, build: Callable[..., Model]) -> Model | None:
    """The model of a GGUF file as its original's family builds it; None where the architecture is not translated, or
    the file does not hold what the original does.

    Args:
        build: `model_from_config`.

    Raises:
        CheckpointError: the metadata state what no model has.
    """
    said = Metadata.of(checkpoint)
    config = config_of(said)
    if config is None:
        return None
    config["torch_dtype"] = dtype_of((t.dtype, t.nbytes, len(t.shape)) for t in checkpoint.tensors)
    try:
        model = build(config, name=checkpoint.name, source=f"the GGUF file {checkpoint.source}")
        return _priced(model, checkpoint, said)
    except (ConfigError, Mismatch):
        return None


def _priced(model: Model, checkpoint: Checkpoint, said: Metadata) -> Model:
    """The model with each weight's bytes as they are stored.

    Raises:
        Mismatch: one side lacks what the other has.
    """
    stored = {t.name: t for t in checkpoint.tensors}
    model = _without_absent(model, stored, said)
    pairs: list[tuple[str, Weight, tuple[str, ...]]] = []
    for stack in (*model.stacks, *model.apart):
        for key, weight in _weights(stack):
            names = _found(key, stored, said)
            if names:
                pairs.append((key, weight, names))
            elif weight.role != "buffer":
                raise Mismatch(f"the file lacks {key}")
    left = [t for t in checkpoint.tensors if t.name not in {n for _, _, names in pairs for n in names}]
    strange = next((t for t in left if not _beside(t)), None)
    if strange is not None:
        raise Mismatch(f"the family lacks {strange.name}")
    formats = _formats(pairs, stored)
    if any(isinstance(p, Head) and p.tied for p in model.text.after) and "token_embd.weight" in stored:
        t = stored["token_embd.weight"]
        tied = [p.name for p in model.text.after if isinstance(p, Head)]
        formats |= {name: _form(t.dtype, t.nbytes, t.elements) for name in tied}
    if left:
        held = tuple((t.name, t.shape, "buffer") for t in left)
        formats |= {t.name.removesuffix(".weight"): _form(t.dtype, t.nbytes, t.elements) for t in left}
        model = replace(
            model, text=replace(model.text, before=(*model.text.before, Tensors("beside", held, "attention")))
        )
    return replace(model, plans={}, stored=_scheme(formats, checkpoint), notes=_notes(model, checkpoint, said))


def _weights(stack: Stack) -> Iterator[tuple[str, Weight]]:
    """A stack's stored tensors with their names in the checkpoint, the star of experts in them."""
    places: Iterable[tuple[str, tuple[Part, ...]]] = (
        ("", stack.before),
        *((f"{stack.path}.{i}.", layer.parts) for i, layer in enumerate(stack.layers)),
        ("", stack.after),
    )
    for prefix, parts in places:
        yield from ((prefix + w.name, w) for w in weights_of(parts, stored=True))


def _without_absent(model: Model, stored: dict[str, StoredTensor], said: Metadata) -> Model:
    """The model without what converters leave out: poolers, and prediction layers where the file has none."""

    def absent(part: Part) -> bool:
        weights = weights_of((part,), stored=True)
        return bool(weights) and not any(_found(w.name, stored, said) for w in weights)

    encoder = not model.text.causal
    causal = model.text.causal and said.causal  # embedding models on a decoder say that they are not
    text = replace(model.text, after=tuple(p for p in model.text.after if not (encoder and absent(p))), causal=causal)
    apart = tuple(s for s in model.apart if any(_found(key, stored, said) for key, _ in _weights(s)))
    return replace(model, text=text, apart=apart)


def _found(name: str, stored: dict[str, StoredTensor], said: Metadata) -> tuple[str, ...]:
    """The file's tensors that hold a tensor of the original."""
    ways = stored_as(name, said.architecture, said.layers)
    return next((way for way in ways if all(n in stored for n in way)), ())


def _beside(t: StoredTensor) -> bool:
    """Whether a tensor is computed rather than learned, or a scale of another."""
    return is_buffer(t.name, t.shape) or t.name.endswith(SCALES)


def _formats(pairs: list[tuple[str, Weight, tuple[str, ...]]], stored: dict[str, StoredTensor]) -> dict[str, Format]:
    """module -> format. Tensors that hold the same weights, however they are split, share their bytes by elements.

    Raises:
        Mismatch: tensors that belong together have different numbers of elements.
    """
    joined: dict[str, str] = {}  # stored name -> one that stands for its group

    def top(name: str) -> str:
        while joined.setdefault(name, name) != name:
            name = joined[name]
        return name

    for _, _, names in pairs:
        for other in names[1:]:
            joined[top(other)] = top(names[0])
    groups: dict[str, list[tuple[str, Weight]]] = defaultdict(list)
    for key, weight, names in pairs:
        groups[top(names[0])].append((key, weight))
    tensors: dict[str, list[StoredTensor]] = defaultdict(list)
    for name in joined:
        tensors[top(name)].append(stored[name])
    found: dict[str, Format] = {}
    for group, members in groups.items():
        held = tensors[group]
        sizes = [math.prod(map(int, w.shape)) * int(w.copies) for _, w in members]
        whole, nbytes = sum(sizes), sum(t.nbytes for t in held)
        if whole != sum(t.elements for t in held):
            raise Mismatch(f"{members[0][0]} and {held[0].name} differ in size")
        kind = max(held, key=lambda t: t.nbytes).dtype
        done = given = 0
        for (key, _), size in zip(members, sizes, strict=True):
            done += size
            share = nbytes * done // whole - given if whole else 0
            given += share
            found[key.removesuffix(".weight")] = _form(kind, share, size)
    return found


def _form(kind: str, nbytes: int, elements: int) -> Format:
    bits = nbytes * 8 // elements if elements else 16
    return Exact(kind.lower(), min(max(bits, 1), 32), nbytes=nbytes, title=kind)


def _scheme(formats: dict[str, Format], checkpoint: Checkpoint) -> Scheme:
    kinds = list(checkpoint.by_dtype)
    shown = ", ".join(kinds[:3]) + (", …" if len(kinds) > 3 else "")
    rules = tuple(Rule("tensor", name, form, "headers", ANYTHING) for name, form in formats.items())
    return Scheme(f"as the gguf headers say ({shown})", rules, vectors=True)


def _notes(model: Model, checkpoint: Checkpoint, said: Metadata) -> tuple[str, ...]:
    """Where the numbers come from, and what the file leaves out."""
    kinds = ", ".join(list(checkpoint.by_dtype)[:3])
    notes = [
        f"Read from a GGUF file ({said.architecture}, {kinds}) and built as its original, of type {model.model_type}; "
        "weight bytes are the headers', tensor by tensor."
    ]
    if said.architecture == "phi3" and said.number("attention.sliding_window"):
        notes.append("The cache has the original's window; llama.cpp itself keeps every token for this architecture.")
    return (*notes, *model.notes)
