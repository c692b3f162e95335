"""What things are called and how they are shown: components, kinds of memory and amounts, each declared once. Tables,
text, charts, formulas and the app's theme read these."""

from __future__ import annotations

from typing import NamedTuple

ALIBI = ".alibi"
"""How the kernel's name of an attention ends whose scores carry a bias: frameworks run another kernel for it."""


class Component(NamedTuple):
    """Where an operation belongs, what people call that, and its colour, the same on a light and on a dark page."""

    name: str
    title: str
    color: str


# Colours stay apart for protan, deutan and tritan vision, at 3:1 or better on both pages (tests/test_palette.py).
COMPONENT_LIST = (
    Component("embedding", "Embedding", "#769E62"),
    Component("attention", "Attention", "#2A6CE6"),
    # State-space, linear-attention and convolution mixers.
    Component("recurrent", "Recurrent mixer", "#14A0C8"),
    Component("mlp", "MLP", "#C7850E"),
    # The routed ones; shared experts run for every token and count as MLP.
    Component("experts", "Experts", "#AC4120"),
    Component("router", "Router", "#915353"),
    Component("norm", "Norms and residuals", "#97918A"),
    Component("head", "LM head", "#D64BA8"),
    Component("vision", "Vision tower", "#9141B9"),
    # The weight update of pretraining.
    Component("optimizer", "Optimizer", "#52667B"),
)

COMPONENTS = tuple(c.name for c in COMPONENT_LIST)
"""Where an operation belongs, in the order tables show it."""


class MemoryKind(NamedTuple):
    """What memory is held for, what people call that, and its colour, at 3:1 on either page."""

    name: str
    title: str
    color: str


MEMORY_LIST = (
    MemoryKind("weights", "Weights", "#5F93D2"),
    MemoryKind("kv_cache", "KV cache", "#0B7780"),
    MemoryKind("activations", "Activations", "#C08327"),
    MemoryKind("gradients", "Gradients", "#BC2C45"),
    MemoryKind("optimizer_states", "Optimizer states", "#7B3CE3"),
)

MEMORY_KINDS = tuple(kind.name for kind in MEMORY_LIST)

TITLES = {name: title for name, title, *_ in (*COMPONENT_LIST, *MEMORY_LIST)}
"""What people call the components and the kinds of memory."""


class Amount(NamedTuple):
    """An amount of an operation.

    Attributes:
        name: the attribute of `Operation`. title: of one operation. total: of all together.
        unit: "B", "FLOP" or "" for a count.
        over: what one operation's is multiplied by: "count" layers that run, "stored" copies that are held, or "peak",
            which is never summed.
    """

    name: str
    title: str
    total: str
    unit: str
    over: str = "count"


AMOUNT_LIST = (
    Amount("parameters", "Parameters", "Parameters", "", "stored"),
    Amount("active", "Active parameters", "Active parameters", "", "stored"),
    Amount("flops", "FLOPs", "FLOPs", "FLOP"),
    Amount("weight_bytes", "Weight bytes held", "Weights", "B", "stored"),
    Amount("weight_reads", "Weight bytes read", "Weight traffic", "B"),
    Amount("reads", "Activation bytes read", "Activation reads", "B"),
    Amount("writes", "Activation bytes written", "Activation writes", "B"),
    Amount("cache_bytes", "Cache bytes held", "KV cache and state", "B"),
    Amount("cache_reads", "Cache bytes read", "Cache reads", "B"),
    Amount("cache_writes", "Cache bytes written", "Cache writes", "B"),
    Amount("saved", "Bytes kept for backward", "Kept for backward", "B"),
    Amount("live", "Bytes alive while it runs", "Activation peak", "B", "peak"),
)

AMOUNTS = {amount.name: amount for amount in AMOUNT_LIST}
QUANTITIES = tuple(AMOUNTS)
"""The amounts of an operation that tables show, in their order."""

HELD = frozenset(a.name for a in AMOUNT_LIST if a.over == "stored")
"""The amounts that multiply by `stored`; the others multiply by `count`. (`live` is a peak and is never summed.)"""

PHASES = {
    "forward": "Forward",
    "recompute": "Recomputation",
    "backward": "Backward",
    "optimizer": "Optimizer",
    "communication": "Communication",
}
"""When an operation runs, with what people call it. A pass of inference is all forward."""
