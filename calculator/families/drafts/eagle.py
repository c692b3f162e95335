"""EAGLE (arXiv:2401.15077, 2406.16858) and EAGLE-3 (arXiv:2503.01840): a layer or a few of the target's kind, which
read the next token's embedding beside the target's hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from calculator.config import Config
from calculator.errors import ConfigError
from calculator.families.drafts.registry import borrowed, draft
from calculator.families.fields import context_length
from calculator.families.registry import Blueprint
from calculator.model import Layer, Stack
from calculator.parts import Attention, Embedding, Head, LatentAttention, Linear, Norm, Part

TARGET_LAYERS = 3  # hidden states of a low, a middle and a high layer, unless the config lists others


def own_embedding(c: Config) -> bool:
    """Whether the checkpoint holds an embedding: speculators save it, and one of another width than the target's cannot
    be shared."""
    other = c.get("target_hidden_size")
    return "speculators_model_type" in c or (other is not None and other != c.hidden_size)


def listed_layers(c: Config, *names: str) -> int | None:
    """How many of the target's layers the draft reads, where the config lists them."""
    places: list[Any] = [c.get(name) for name in ("eagle_config", "dflash_config")]
    for place in (c, *(p for p in places if isinstance(p, dict))):
        for name in names:
            found = place.get(name)
            if isinstance(found, list) and found:
                return len(found)
    return None


def reading_two(layer: Layer, width: int) -> Layer:
    """The layer with an attention that reads embedding and hidden state side by side, and a norm for the latter."""

    def widened(part: Part) -> Part:
        if isinstance(part, Attention | LatentAttention):
            return replace(part, hidden=2 * width, output=width)
        return part

    parts = tuple(map(widened, layer.parts))
    if parts == layer.parts:
        raise ConfigError("The layers that this EAGLE-3 draft borrows have no attention that could read two vectors.")
    return replace(layer, kind=f"{layer.kind}, two vectors read", parts=(Norm("hidden_norm", width), *parts))


@draft(r"eagle3|^eagle-3$|peagle|eagle3draft", "EAGLE-3")
def eagle3(c: Config) -> Blueprint:
    """SafeAILab's cnets.py, vLLM's llama_eagle3.py and speculators agree on the tensors: `fc` over the target's hidden
    states, queries, keys and values over 2 d in the first layer, a head of the draft's own vocabulary."""
    width: int = c.hidden_size
    target: int = c.target_hidden_size if c.get("target_hidden_size") else width
    read = listed_layers(c, "eagle_aux_hidden_state_layer_ids", "target_layer_ids") or TARGET_LAYERS
    layers = list(borrowed(c).text.layers)
    layers[0] = reading_two(layers[0], width)
    before: list[Part] = [Embedding("embed_tokens", c.vocab_size, width, tied=not own_embedding(c))]
    if c.flag("norm_before_fc"):
        before.append(Norm("input_norm", read * target))
    if c.flag("fc_norm"):
        before.append(Norm("fc_norm", target, groups=read, copies=read))
    before.append(Linear("fc", read * target, width, c.flag("bias"), component="mlp"))
    rows: int = c.draft_vocab_size if c.get("draft_vocab_size") else c.vocab_size
    after: list[Part] = [Norm("norm", width), Head("lm_head", rows, width)]
    return drafted(c, "EAGLE-3", layers, before, after)


@draft(r"eagle", "EAGLE")
def eagle(c: Config) -> Blueprint:
    """SafeAILab's cnets1.py: `fc` over embedding and hidden state, no norm before the first layer's attention and none
    at the end; the head is the target's."""
    width: int = c.hidden_size
    borrowed_layers = list(borrowed(c).text.layers)
    first = borrowed_layers[0]
    named = next((i for i, p in enumerate(first.parts) if isinstance(p, Norm)), None)
    if named is not None:
        kept = (*first.parts[:named], *first.parts[named + 1 :])
        borrowed_layers[0] = replace(first, parts=kept)
    biased = bool(c.get("bias", c.get("eagle_fc_bias", c.get("fc_bias", True))))
    before: list[Part] = [Embedding("embed_tokens", c.vocab_size, width)]
    if c.flag("add_para_norm"):  # HASS (arXiv:2408.15766), as vLLM's llama_eagle.py reads it
        before += (Norm("embedding_layernorm", width), Norm("hidden_states_layernorm", width))
    before.append(Linear("fc", 2 * width, width, biased, component="mlp"))
    return drafted(c, "EAGLE", borrowed_layers, before, [Head("lm_head", c.vocab_size, width, tied=True)])


def drafted(
    c: Config,
    title: str,
    layers: Sequence[Layer],
    before: Sequence[Part],
    after: Sequence[Part],
    *,
    shares: tuple[str, ...] | None = None,
    path: str = "layers",
) -> Blueprint:
    """The blueprint of a draft, with what the reader is told of it: what it `shares` with its target, which is what it
    ties unless that is said."""
    if shares is None:
        tables = [p for p in (*before, *after) if isinstance(p, Embedding | Head) and p.tied]
        shares = tuple("embedding" if isinstance(p, Embedding) else "head" for p in tables)
    told = f"A draft head ({title}) for speculative decoding, not a model by itself"
    verb = "are" if len(shares) > 1 else "is"
    told += f": the {' and the '.join(shares)} {verb} its target's and not counted here." if shares else "."
    stack = Stack(path, c.hidden_size, tuple(layers), tuple(before), tuple(after))
    vocabulary = c.vocab_size if c.get("vocab_size") else 0
    return Blueprint(stack, vocabulary, context=context_length(c), notes=(told,), reads_class=True)
