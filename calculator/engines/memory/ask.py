"""What is asked of an engine's memory rule, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from calculator.engines.engine import Layers
from calculator.engines.memory.facts import visible_memory
from calculator.engines.memory.pages import Pool, grows
from calculator.engines.memory.shares import (
    Share,
    Stage,
    kept_layers,
    peak_bytes,
    prefill_listed,
    stages,
    tensor_share,
    weight_bytes,
    weights_listed,
)
from calculator.hardware import Device
from calculator.model import Model
from calculator.parallel import Layout
from calculator.passes.plan import plan_of
from calculator.record.workload import Workload


@dataclass(frozen=True)
class Item:
    """One share of a device's memory.

    Attributes:
        kind: "weights", "activations", "overhead", "outside" (beyond what the engine counts) or "cache".
        name: what it is; size: bytes; source: the rule, or the log the figure was read from.
        certainty: "exact", "rule" (the engine's own arithmetic) or "logged" (a figure from logs).
    """

    kind: str
    name: str
    size: int
    source: str
    certainty: str = "rule"


@dataclass(frozen=True, eq=False)
class Ask:
    """A model on a device in one layout and precision, with the engine's settings.

    Attributes:
        version: the engine's, (0, 11) for 0.11; None for the newest whose rule is known here.
    """

    model: Model
    device: Device
    layout: Layout
    dtype: str
    kv_dtype: str
    settings: Mapping[str, Any]
    version: tuple[int, ...] | None = None
    peaks: dict[int, int] = field(default_factory=dict, repr=False)  # by tokens, as they are asked for

    def get(self, *names: str, default: Any = None) -> Any:
        """The first of the settings that was given."""
        return next((self.settings[n] for n in names if n in self.settings), default)

    @cached_property
    def visible(self) -> int:
        """Bytes of the device that a process sees."""
        return visible_memory(self.device)[0]

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The pipeline stages that differ from one another in what they hold, each by the first of its kind."""
        listed = weights_listed(self.model, self.dtype, self.kv_dtype)
        spans = listed.once("spans", lambda ops: {op.span.layers for op in ops if op.span.stack == self.path})
        found: dict[tuple[object, ...], Stage] = {}
        for stage in stages(self.model.layers, self.layout.pp):
            inside = tuple(sum(stage.start <= i < stage.stop for i in layers) for layers in spans)
            found.setdefault((stage.first, stage.last, inside), stage)
        return tuple(found.values())

    @property
    def path(self) -> str:
        """Where the stack of layers stands in the checkpoint."""
        return self.model.text.path

    @cached_property
    def width(self) -> int:
        """Bytes of an activation element."""
        return plan_of(self.model, Workload(mode="prefill", dtype=self.dtype)).native.bits // 8

    def weights(self, stage: Stage, share: Share = tensor_share) -> int:
        """Bytes of weights on a device of the stage, an operation's by `share`."""
        listed = weights_listed(self.model, self.dtype, self.kv_dtype)
        key = ("weights", stage, self.layout, share)
        return listed.once(key, lambda ops: weight_bytes(ops, stage, self.layout, self.path, share))

    def kept(self, stage: Stage) -> list[Layers]:
        """What the stage's layers keep of a sequence on one device. An encoder that reads any number of tokens (T5)
        reads as many as the longest sequence has."""
        model = self.model
        read = self.longest if model.encoder and not model.encoder_length else 1
        listed = weights_listed(model, self.dtype, self.kv_dtype, read)
        key = ("kept", stage, self.layout)
        return list(listed.once(key, lambda ops: kept_layers(ops, stage, self.layout, self.path)))

    def peak(self, tokens: int) -> int:
        """Activation bytes alive at once in a prefill of that many tokens."""
        if tokens not in self.peaks:
            listed = prefill_listed(self.model, tokens, self.dtype, self.kv_dtype)
            stream = self.hidden(tokens)
            key = ("peak", self.layout, stream)
            self.peaks[tokens] = listed.once(key, lambda ops: peak_bytes(ops, self.layout, stream))
        return self.peaks[tokens]

    def hidden(self, tokens: int) -> int:
        """Bytes of the residual stream of that many tokens."""
        return tokens * self.model.hidden_size * self.width

    @cached_property
    def longest(self) -> int:
        """Tokens of the longest sequence: as asked, or the model's own limit."""
        names = ("max_model_len", "context_length", "max_seq_len", "ctx_size")
        return int(self.get(*names, default=self.model.context_length or 4096))


@dataclass(frozen=True)
class Budget:
    """What an engine does with the memory of one device: the fullest one of the layout.

    Attributes:
        capacity: bytes that it may use. items: what takes them, the cache left out. pool: what is left for the cache.
        cache: how the pool is handed out. sequences: the engine's own limit of sequences at once; None for none.
        notes: what a reader should know.
        host: bytes that stand in the host's memory instead (offloaded layers).
    """

    capacity: int
    items: tuple[Item, ...]
    pool: int
    cache: Pool
    sequences: int | None = None
    notes: tuple[str, ...] = ()
    host: int = 0
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def of(self, *kinds: str) -> int:
        """Bytes of the kinds of items."""
        return sum(item.size for item in self.items if item.kind in kinds)


def tightest(found: Iterable[Budget]) -> Budget:
    """The stage whose pool holds the fewest tokens; one of states alone (Mamba, some of a hybrid) holds any number."""

    def held(b: Budget) -> tuple[float, int]:
        endless = b.pool > 0 and not grows(b.cache)
        return math.inf if endless else b.cache.tokens(b.pool), b.pool - int(b.cache.needed(1))

    return min(found, key=held)


LARGEST = 1 << 31  # tokens: no context is searched beyond


def longest(budget: Budget, sequences: int) -> int:
    """The longest length at which the pool holds so many sequences; 0 where it holds none of one token."""

    def holds(length: int) -> bool:
        return bool(budget.cache.needed(length) * sequences <= budget.pool)

    if not holds(1):
        return 0
    low, high = 1, 2
    while high < LARGEST and holds(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def layout_counts(layout: Layout) -> dict[str, int]:
    """A layout's counts by name."""
    names = ("tp", "pp", "dp", "cp", "ep", "attention_dp")
    return {name: int(getattr(layout, name, 1)) for name in names}
