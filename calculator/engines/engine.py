"""What the layers of a model keep of one sequence, and how an engine's rule for it is written down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from calculator.errors import WorkloadError, choose
from calculator.model import Model
from calculator.passes.forward import operations
from calculator.record.caches import Compressed, IndexKeys, Kept, KeysAndValues, Latent, State
from calculator.record.operation import Operation
from calculator.record.workload import Workload


@dataclass(frozen=True)
class Layers:
    """Layers that keep the same of a sequence: something for each token, or a state, which is all of a layer's states
    together."""

    kept: Kept
    count: int


@dataclass(frozen=True)
class Settings:
    """What is set when an engine is started; None is the engine's own default.

    Attributes:
        batched_tokens: of one scheduler step: vLLM's --max-num-batched-tokens, llama.cpp's --ubatch-size.
        block_size: tokens of a page: vLLM's --block-size, SGLang's --page-size, TensorRT-LLM's tokens_per_block.
        cache: the format that is asked for, as `Workload.kv_dtype`.
    """

    batched_tokens: int | None = None
    block_size: int | None = None
    cache: str = "auto"

    def __post_init__(self) -> None:
        for name in ("batched_tokens", "block_size"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= 2**31):
                raise WorkloadError(f"{name} of an engine must be a whole number of tokens from 1 on, not {value!r}.")


def settings_of(workload: Workload, **given: Any) -> Settings:
    """The settings, with the cache's format from the workload.

    Raises:
        WorkloadError: there is no such setting, or its value is not allowed.
    """
    known = [f.name for f in fields(Settings) if f.name != "cache"]
    for name in given:
        if name not in known:
            raise WorkloadError(f"No engine has a setting {name!r} here; {choose(name, known, words='choose from')}")
    return Settings(**given, cache=workload.kv_dtype)


class NotModelled(Exception):
    """The engine's rule for such a cache is not known here."""


Rule = Callable[[list[Layers], int, Settings], tuple[int, list[str]]]
"""Bytes for one sequence of so many tokens, and the arithmetic in sentences."""


@dataclass(frozen=True)
class Engine:
    """An engine: what a person calls it, where the rule was read, the rule for one sequence, and the caches for which
    it has something of its own to say."""

    title: str
    source: str
    rule: Rule
    applies: Callable[[Layers], bool] = lambda layers: True


def caches(model: Model, workload: Workload) -> list[Layers]:
    """What the layers keep of one sequence, equal ones counted together."""
    counts: dict[Layers, int] = {}
    states: dict[str, list[Operation]] = {}
    for op in operations(model, workload):
        if op.kept is None:
            continue
        if isinstance(op.kept, State):
            states.setdefault(op.layers, []).append(op)
        else:
            layers = Layers(op.kept, 0)
            counts[layers] = counts.get(layers, 0) + op.count
    for ops in states.values():
        kept = [op.kept for op in ops if isinstance(op.kept, State)]
        layers = Layers(State(elements=sum(int(k.elements) for k in kept), size=sum(int(k.size) for k in kept)), 0)
        counts[layers] = counts.get(layers, 0) + ops[0].count
    return [replace(layers, count=count) for layers, count in counts.items()]


def up(value: Any, unit: int) -> Any:
    """Whole units that hold the value, or each of an array's."""
    return -(-value // unit)


def smaller(value: Any, limit: int) -> Any:
    """The smaller of a length, or of each of an array's, and the limit."""
    if hasattr(value, "shape"):
        import numpy as np

        return np.minimum(value, limit)
    return min(value, limit)


def is_latent(layers: Layers) -> bool:
    """Whether the layers keep one compressed vector a token."""
    return isinstance(layers.kept, Latent)


def is_window(layers: Layers) -> bool:
    """Whether the layers keep the keys and values of a window."""
    return isinstance(layers.kept, KeysAndValues) and layers.kept.limit is not None


def sparse_latent(kinds: list[Layers]) -> bool:
    """Whether an indexer chooses among latents (DeepSeek-V3.2, GLM-5)."""
    return {Latent, IndexKeys} <= {type(k.kept) for k in kinds}


def state_bytes(entry: Compressed) -> int:
    """Bytes that a compressor keeps of one token: a vector and its gate in 32 bit, twice where entries overlap (4)."""
    return (4 if entry.ratio == 4 else 2) * int(entry.elements) * 4
