"""The model that an adapter and its base make together: the adapter's own tensors beside the base's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from calculator.errors import ConfigError
from calculator.formats.weight import Weight
from calculator.model import Model, Stack
from calculator.parts import Attention, Experts, LowRank, Part, VectorWeights
from calculator.record.operation import Operation
from calculator.record.run import weights_of, written
from calculator.sources.adapters.settings import ALL_LINEAR, BESIDE, FILE, Settings, saved_whole, targeted

Parts = tuple[Part, ...]
PACKED = {**dict.fromkeys(("gate_proj", "up_proj", "w1", "w3"), "gate_up_proj"), "w2": "down_proj"}
UPS = {"up_proj": "gate_proj", "w3": "w1"}
"""How transformers 5 packs the matrices of experts, and the gate that each is packed with."""

MATRICES = ("linear", "experts", "embedding", "head", "router")


def adapted(base: Model, raw: Mapping[str, Any], *, name: str | None = None, source: str = FILE) -> Model:
    """The base model with the adapter unmerged beside it.

    Args:
        base: the model that the adapter was trained on. raw: the parsed adapter_config.json.

    Raises:
        ConfigError: of a kind that is not known here, or none of its targets is a module of the base model.
    """
    settings = Settings.read(raw)
    if settings.kind in ("PROMPT_TUNING", "PREFIX_TUNING"):
        made = _prompted(base, settings)
    else:
        beside = partial(_beside, settings, base.model_type)
        text, encoder = _extended(base.text, beside), base.encoder and _extended(base.encoder, beside)
        towers = tuple(_extended(tower, beside) for tower in base.towers)
        made = replace(base, text=text, encoder=encoder, towers=towers, plans={})
    own = made.parameters.total - base.parameters.total
    if not own:
        raise ConfigError(
            f"This is an adapter ({settings.title}) of {base.name}, but none of its target_modules, "
            f"{settings.targets!r}, is a module of that model; the modules are called {_some_modules(base)}."
        )
    told = (
        f"An adapter ({settings.title}) of {own:,} parameters, unmerged beside its base {base.name} of "
        f"{base.parameters.total:,}: every number is of both together."
    )
    title = name or f"{base.name} + {settings.title}"
    return replace(
        made, name=title, source=f"{source}{BESIDE}{base.source}", notes=(told, *_more(settings), *base.notes)
    )


def _more(settings: Settings) -> Iterator[str]:
    if str(settings.raw.get("task_type")) in ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS"):
        yield f"The head of its task ({settings.raw['task_type']}) is saved with it; {FILE} does not state its labels."
    if settings.raw.get("bias") not in (None, "none"):
        yield "The biases that were trained are saved with it and replace the base's; they are not counted twice."
    if settings.raw.get("use_dora"):
        yield "DoRA's norms of the merged matrices are in no count of FLOPs."


# What stands beside each module

Beside = Callable[[str, Operation, Weight], Parts]


def _extended(stack: Stack, beside: Beside) -> Stack:
    """The stack with what the adapter adds to each part, after it."""

    def parts(found: Parts, prefix: str = "") -> Parts:
        added: list[Part] = []
        for part in found:
            added += (part, *_added(part, prefix, beside))
        return tuple(added)

    places = ((f"{stack.path}.{index}.", layer) for index, layer in enumerate(stack.layers))
    layers = tuple(replace(layer, parts=parts(layer.parts, prefix)) for prefix, layer in places)
    return replace(stack, before=parts(stack.before), layers=layers, after=parts(stack.after))


def _added(part: Part, prefix: str, beside: Beside) -> Iterator[Part]:
    top_k = part.top_k if isinstance(part, Experts) else 1
    for op in written((part,)):
        for weight in op.weights:
            if weight.role in MATRICES and len(weight.shape) in (2, 3):
                yield from _with_share(beside(prefix, op, weight), top_k)


def _with_share(parts: Parts, top_k: int) -> Iterator[Part]:
    for part in parts:
        yield replace(part, experts=(top_k, part.experts[1])) if isinstance(part, LowRank) and part.experts else part


def _beside(settings: Settings, model_type: str, prefix: str, op: Operation, weight: Weight) -> Parts:
    """The adapter's parts for one tensor of an operation: a pair beside it, and rows of a table that were trained."""
    module = weight.name.removesuffix(".weight")
    shape = tuple(int(n) for n in weight.shape)
    rows = settings.tokens_of(prefix + module, weight.role == "embedding")
    held = (("weight", (rows, shape[-1])),)
    trained = (VectorWeights(f"{module}.trainable_tokens_delta", held, op.component, role="adapter", idle=True),)
    return (*(trained if rows else ()), *_pairs(settings, model_type, prefix, op, weight))


def _pairs(settings: Settings, model_type: str, prefix: str, op: Operation, weight: Weight) -> Parts:
    module = weight.name.removesuffix(".weight")
    full = prefix + module.replace(".*", ".0")
    shape = tuple(int(n) for n in weight.shape)
    if saved_whole(settings, full):
        copied = f"{module}.modules_to_save"
        return (VectorWeights(copied, (("weight", shape),), component=op.component, role="adapter", idle=True),)
    outputs, inputs = shape[-2:]
    if weight.role == "experts":
        return _experts(settings, prefix, module, op.component, (inputs, outputs, weight), model_type)
    if _every(settings) and weight.role not in ("linear", "router"):
        return ()  # the head is left out, and an embedding is no linear layer
    if not targeted(settings, full, model_type):
        return ()
    if weight.role == "embedding":
        inputs, outputs = shape
    row = op.split.kind == "row"
    return _pair(settings, full, module, op.component, inputs, outputs, lookup=weight.role == "embedding", row=row)


def _every(settings: Settings) -> bool:
    return isinstance(settings.targets, str) and settings.targets.lower() == ALL_LINEAR


def _experts(
    settings: Settings, prefix: str, module: str, component: str, matrix: tuple[int, int, Weight], model_type: str
) -> Parts:
    """The pairs of a layer's experts. transformers 5 packs gate and up of all experts into one parameter, where one
    pair of twice the rank stands for the two that separate modules have (peft, transformers_weight_conversion.py);
    target_parameters name the packed ones."""
    inputs, outputs, weight = matrix
    root, star, leaf = module.rpartition(".*.")
    count = int(weight.copies) if star else int(weight.shape[0])
    packed = PACKED.get(leaf, leaf) if star else ""
    whole = f"{prefix}{root}.{packed}" if star else prefix + module
    named = any(whole == p or whole.endswith(f".{p}") for p in settings.names("target_parameters"))
    full = f"{prefix}{root}.0.{leaf}" if star else whole
    listed = targeted(settings, full, model_type)
    if not (named or listed):
        return ()
    if settings.kind != "LORA":
        raise ConfigError(f"An adapter ({settings.title}) on routed experts ({full}) is not known here; LoRA is.")
    rank = settings.rank_at(whole if named else full)
    if packed == "gate_up_proj":
        if leaf in UPS and (named or targeted(settings, f"{prefix}{root}.0.{UPS[leaf]}", model_type)):
            return ()  # counted with the gate
        if leaf not in UPS:
            outputs, rank = 2 * outputs, rank if named else 2 * rank
    return (LowRank(module, inputs, outputs, rank, experts=(1, count), component=component),)


def _pair(
    settings: Settings, full: str, module: str, component: str, inputs: int, outputs: int, *, lookup: bool, row: bool
) -> Parts:
    options: dict[str, Any] = {"component": component, "lookup": lookup, "row": row}
    rank = settings.rank_at(full)
    if settings.kind == "LORA":
        magnitude, biased = settings.raw.get("use_dora") is True, settings.raw.get("lora_bias") is True
        return (LowRank(module, inputs, outputs, rank, magnitude, biased, **options),)
    if settings.kind == "LOHA":
        return tuple(LowRank(f"{module}.{part}", inputs, outputs, rank, **options) for part in ("hada_w1", "hada_w2"))
    if settings.kind == "ADALORA":
        values = VectorWeights(f"{module}.lora_E", (("weight", (rank, 1)),), component=component, role="adapter")
        return (LowRank(module, inputs, outputs, rank, **options), values)
    into = any(full == f or full.endswith(f".{f}") for f in settings.names("feedforward_modules"))
    scaled = inputs if into else outputs
    return (VectorWeights(f"{module}.ia3_l", (("weight", (scaled,)),), component=component),)


def _prompted(base: Model, settings: Settings) -> Model:
    """Virtual tokens in front of every sequence: embeddings, or for prefix tuning keys and values of every layer."""
    tokens = settings.whole("num_virtual_tokens")
    width = settings.whole("token_dim") if settings.raw.get("token_dim") else _token_width(base, settings)
    layers = settings.whole("num_layers") if settings.raw.get("num_layers") else base.layers
    wide = width if settings.kind == "PROMPT_TUNING" else 2 * layers * width
    if settings.kind == "PREFIX_TUNING" and settings.raw.get("prefix_projection"):
        raise ConfigError(
            f"This is a prefix-tuning adapter of {base.name} with a projection, whose size is not known here; save it "
            "after training, without the projection."
        )
    held = VectorWeights("prompt_embeddings", (("weight", (tokens, wide)),), component="embedding", role="adapter")
    text = replace(base.text, before=(*base.text.before, held))
    return replace(base, text=text, plans={})


def _token_width(base: Model, settings: Settings) -> int:
    """Features of a virtual token: the model's, or for prefix tuning those of a layer's keys."""
    if settings.kind == "PREFIX_TUNING":
        attention = next((p for layer in base.text.layers for p in layer.parts if isinstance(p, Attention)), None)
        if attention is not None:
            return attention.kv_heads * attention.head_dim
    return base.hidden_size


def _some_modules(base: Model) -> str:
    first = base.text.layers[0].parts
    names = [w.name.removesuffix(".weight") for w in weights_of(first) if w.role in ("linear", "experts")]
    return ", ".join(names[:8])
