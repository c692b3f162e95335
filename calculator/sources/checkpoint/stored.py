"""`with_headers`: a model that a family built, its weight bytes those of the checkpoint's headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from calculator.errors import CalculatorError, MissingFileError
from calculator.formats.named import FORMATS, Exact, Format
from calculator.formats.rules import ANYTHING, Rule, Scheme
from calculator.model import Model
from calculator.passes.plan import plan_of
from calculator.record.run import weights_of
from calculator.record.workload import Workload
from calculator.sources.checkpoint import matching
from calculator.sources.checkpoint.compare import UNEXPLAINED, Comparison, by_rules, compare, priced_weights
from calculator.sources.checkpoint.matching import Pair
from calculator.sources.checkpoint.packing import Stored, unpacked
from calculator.sources.checkpoint.tensors import Checkpoint


@dataclass(frozen=True)
class _Found:
    """What the headers hold for one tensor of the formula."""

    nbytes: int
    dtype: str


def with_headers(model: Model, checkpoint: Checkpoint) -> Model:
    """The model with every weight as the headers of its checkpoint say it is stored, in "auto" precision; FLOPs, caches
    and activations stay those of the formula, and what the headers do not hold keeps the price of the config's rules.
    A note says how far the two are apart.

    Args:
        model: what a family built from the config. checkpoint: the headers of the same model.
    """
    model = by_rules(model)
    comparison = compare(model, checkpoint)
    pairs = _pairs(model, checkpoint)
    if not all(map(_of_this_model, pairs)):
        return replace(model, notes=(*model.notes, _other_model(comparison)))
    scheme = _scheme(model, _by_name(pairs), checkpoint)
    notes = [_difference(comparison, scheme.title)]
    if UNEXPLAINED in comparison.by_role:
        beside = comparison.by_role[UNEXPLAINED][1].nbytes
        notes.append(f"The checkpoint holds {beside:,} bytes more, of tensors that no formula here has.")
    kept = (note for note in model.notes if "priced unquantized" not in note)  # they are no longer
    return replace(model, stored=scheme, plans={}, notes=(*kept, *notes))


def _of_this_model(pair: Pair) -> bool:
    """Whether the tensors agree in their elements, where the headers tell them. A checkpoint may lack a tied head, and
    layers that no pass runs."""
    if not pair.stored:
        return all(p.apart or p.role in ("buffer", "head") for p in pair.formula)
    if not pair.formula or not all(s.understood for s in pair.stored):
        return True
    return sum(p.elements for p in pair.formula) == sum(s.elements for s in pair.stored)


def with_headers_in(model: Model, folder: Path) -> Model:
    """The model with the weight bytes of the safetensors (else GGUF) headers in the folder. Headers that cannot be
    read, or not all of them, cost a note and no more: the config was readable."""
    from calculator.sources.checkpoint.load import beside

    try:
        return with_headers(model, beside(folder))
    except MissingFileError:
        return model
    except CalculatorError as error:
        said = f"The headers beside the config could not be read, so weight bytes follow the config's rules: {error}"
        return replace(model, notes=(*model.notes, said))


def _pairs(model: Model, checkpoint: Checkpoint) -> list[Pair]:
    stored = unpacked(checkpoint, model.config if checkpoint.format == "safetensors" else {})
    return matching.pairs(list(priced_weights(model)), stored, shapes=checkpoint.format == "gguf")


def _by_name(pairs: list[Pair]) -> Mapping[str, _Found]:
    """Tensor of the formula -> what is stored of it; the bytes of tensors that are stored together are shared out by
    their elements."""
    found: dict[str, _Found] = {}
    for pair in pairs:
        if pair.formula and pair.stored:
            found |= _shared(pair)
    return found


def _shared(pair: Pair) -> dict[str, _Found]:
    whole, left = sum(p.elements for p in pair.formula), sum(s.nbytes for s in pair.stored)
    dtype = max(pair.stored, key=_size).data.dtype
    found = {}
    for p in pair.formula:
        part = left * p.elements // whole if whole else 0
        found[p.name] = _Found(part, dtype)
        left, whole = left - part, whole - p.elements
    return found


def _size(stored: Stored) -> int:
    return stored.nbytes


def _scheme(model: Model, found: Mapping[str, _Found], checkpoint: Checkpoint) -> Scheme:
    """The formats by module path: the bytes are the headers', what products are computed in is the rules'."""
    plan = plan_of(model, Workload())
    forms: dict[str, Format] = {}
    for stack in model.stacks:
        places = [
            ("", stack.before),
            *((f"{stack.path}.{i}.", layer.parts) for i, layer in enumerate(stack.layers)),
            ("", stack.after),
        ]
        for prefix, parts in places:
            for weight in weights_of(parts):
                names = [weight.name.replace("*", str(weight.first + i), 1) for i in range(int(weight.copies))]
                held = [found[prefix + name] for name in dict.fromkeys(names) if prefix + name in found]
                if len(held) == len(set(names)):
                    key = f"{prefix}{weight.name.removesuffix('.weight')}"
                    forms[key] = _form(held, int(weight.elements()), plan.form(prefix, weight, stack))
    kinds = list(checkpoint.by_dtype)
    shown = ", ".join(kinds[:3]) + (", …" if len(kinds) > 3 else "")
    rules = model.scheme
    # What a header says of a tensor goes before all rules of the config.
    first = tuple(Rule("tensor", name, form, "headers", ANYTHING) for name, form in forms.items())
    title = f"as the {checkpoint.format} headers say ({shown})"
    if rules is None:
        return Scheme(title, first, vectors=True, place="headers")
    return replace(rules, title=title, rules=(*first, *rules.rules), vectors=True)


WHOLE = {"F32": "fp32", "F16": "fp16", "BF16": "bf16"}
"""Types of headers that are stored as they are computed with."""


def _form(held: list[_Found], elements: int, ruled: Format | None) -> Format:
    """The tensor's format: its bytes as the headers say, its arithmetic as the config's rules do."""
    nbytes, dtype = sum(f.nbytes for f in held), held[0].dtype
    if dtype in WHOLE and nbytes == elements * FORMATS[WHOLE[dtype]].bits // 8:
        return FORMATS[WHOLE[dtype]]
    bits = min(max(nbytes * 8 // elements, 1), 32) if elements else 16
    name, arithmetic = (ruled.name, ruled.arithmetic) if ruled is not None else (dtype.lower(), "")
    return Exact(name, bits, nbytes=nbytes, title=dtype, arithmetic=arithmetic)


# Notes


def _difference(c: Comparison, title: str) -> str:
    """How far the headers and the rules are apart."""
    said = f"Weight bytes are {title}: {c.stored.nbytes:,} bytes"
    if not c.priced:
        return f"{said}; how a GGUF file is quantized follows from no config."
    if c.stored.nbytes == c.formula.nbytes:
        return f"{said}, as the config's rules say too."
    apart = c.stored.nbytes - c.formula.nbytes
    share = f", {apart / c.formula.nbytes:+.2%}" if c.formula.nbytes else ""
    return f"{said}; the config's rules say {c.formula.nbytes:,} ({apart:+,} bytes stored{share})."


def _other_model(c: Comparison) -> str:
    """Why the headers were not taken."""
    return (
        f"The headers of the checkpoint hold {c.stored.parameters:,} parameters where the config describes "
        f"{c.formula.parameters:,}, so weight bytes are those of the config's rules; --checkpoint lists the tensors."
    )
