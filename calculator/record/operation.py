"""The records everything else is a sum over: `Weight`, one kind of stored tensor, and `Operation`, one step of the
computation for one layer with the number of layers that run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number

COMPONENTS = ("embedding", "attention", "recurrent", "mlp", "experts", "router", "norm", "head", "vision", "optimizer")
"""Where an operation belongs. `experts` are the routed ones; shared experts run for every token and count as `mlp`.
`recurrent` holds state-space, linear-attention and convolution mixers; `optimizer` the weight update of pretraining."""

KINDS = ("matmul", "convolution", "attention", "scan", "elementwise", "lookup")
"""How an operation computes. `matmul`, `convolution` and `attention` are what torch's FlopCounterMode counts."""

MATMUL_KINDS = frozenset(("matmul", "convolution", "attention"))

SPLITS = ("column", "row", "head", "expert", "vocabulary", "replicated")
"""How an operation's weights divide over tensor-parallel devices (Megatron-LM, arXiv:1909.08053)."""


class Kept(NamedTuple):
    """What one layer keeps of one sequence: so many bytes for each of its tokens, or a state of a fixed size.

    Attributes:
        kind: "keys and values", "latent", "index keys", "encoder keys and values", "compressed" or "state".
        per_token: bytes a token; of a compressed cache, bytes an entry.
        limit: tokens kept at most; of the encoder, its tokens; None for all. `chunked`: the limit is a chunk's.
        elements: of a state; of a latent, those a token. width: bytes of a state's element.
        expanded: elements a token if a latent were kept as every head's keys and values.
        values: elements of a latent that an engine may keep a second time, as values.
    """

    kind: str
    per_token: Number = 0
    limit: Number | None = None
    elements: Number = 0
    width: int = 0
    expanded: Number = 0
    values: Number = 0
    chunked: bool = False


class Cache(NamedTuple):
    """Bytes of cache that an operation holds, reads and writes, and what one layer keeps of one sequence."""

    held: Number = 0
    read: Number = 0
    written: Number = 0
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One step, for ONE layer. Multiply by `count`, the layers that run it, for the model's total; the parameters and
    bytes held are multiplied by `stored`, the layers that keep their own copy (0 where the tensor is tied to another).

    FLOPs count a multiply-add as 2. All bytes are per step of the workload's mode, over the whole batch. In
    pretraining, flops, reads and writes include the backward pass.
    """

    name: str  # the checkpoint's own module name inside the layer
    component: str
    kind: str
    layers: str  # where it runs, for instance "model.layers 0-2"
    count: int = 1
    stored: int = 1
    parameters: Number = 0
    active: Number = 0  # the parameters that one token touches
    flops: Number = 0
    weight_bytes: Number = 0  # held
    weight_reads: Number = 0  # moved: only the experts that are routed to, only the rows that are looked up
    reads: Number = 0  # activation bytes read from device memory
    writes: Number = 0  # activation (and, in pretraining, gradient) bytes written
    cache_bytes: Number = 0  # KV, latent or recurrent state held
    cache_reads: Number = 0
    cache_writes: Number = 0
    saved: Number = 0  # bytes kept from the forward pass for the backward pass
    live: Number = 0  # activation bytes alive at once while it runs
    split: str = "replicated"
    weights: tuple[Weight, ...] = ()
    kept: Kept | None = None

    @property
    def traffic(self) -> Number:
        """Bytes moved to and from device memory by one instance."""
        return self.weight_reads + self.reads + self.writes + self.cache_reads + self.cache_writes


QUANTITIES = (
    "parameters",
    "active",
    "flops",
    "weight_bytes",
    "weight_reads",
    "reads",
    "writes",
    "cache_bytes",
    "cache_reads",
    "cache_writes",
    "saved",
    "live",
)
"""The fields of an Operation that are amounts, in the order tables show them."""

HELD = frozenset(("parameters", "active", "weight_bytes"))
"""The amounts that multiply by `stored`; the others multiply by `count`. (`live` is a peak and is never summed.)"""
