"""A model on the devices of a layout under an engine: its passes, and the sequences that the engine runs at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from calculator.engines.memory.fit import Fit, fit
from calculator.errors import WorkloadError
from calculator.hardware import Device
from calculator.model import Model
from calculator.numbers.units import GIB
from calculator.parallel.layout import Layout
from calculator.parallel.placed import in_turn, placed
from calculator.record.operation import Operation
from calculator.record.workload import Workload
from calculator.serving.efficiency import Efficiency, efficiency
from calculator.serving.routing import experts_read
from calculator.serving.timing import PassTime, Term, pass_time, terms

USED, OVERHEAD = 0.9, 1.5 * GIB
"""Of a device's memory, and bytes of it for contexts and workspaces, where the engine's own rule does not know the
model's cache (`fit` says why)."""


PIPELINED = frozenset(("vllm", "sglang", "tensorrt-llm"))
"""Engines whose scheduler keeps as many batches in flight as there are stages (vLLM's batch queue, SGLang's
pp_async_batch_depth, TensorRT-LLM's micro-batches)."""
KNOWN = 16  # cases, and answers of each, that are kept


@dataclass(frozen=True)
class Room:
    """What the engine's memory holds.

    Attributes:
        memory: bytes of the fullest device by what they are. sequences: that fit at once in one copy of the model.
    """

    memory: Mapping[str, int]
    sequences: int


@dataclass(frozen=True)
class Case:
    """A model on a device under an engine.

    Attributes:
        host: the part of the layers that stays in the host's memory (llama.cpp's --n-gpu-layers).
    """

    model: Model
    device: Device
    engine: str
    layout: Layout
    efficiency: Efficiency
    dtype: str
    kv_dtype: str
    host: float = 0.0
    known: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def in_flight(self) -> int:
        """Batches that are on their way through the pipeline at once, each in a stage of its own. llama.cpp and
        transformers run one."""
        return self.layout.pp if self.engine in PIPELINED else 1

    @property
    def uneven(self) -> float:
        """The fullest stage's layers over those of an even pipeline: when all stages work at once, it decides."""
        layers, stages = self.model.layers, self.layout.pp
        return -(-layers // stages) * stages / layers if self.in_flight > 1 else 1.0

    def once(self, key: Any, found: Callable[[], Any]) -> Any:
        """What was found before for a key of this case; a search asks for the same prompt at many numbers of users."""
        if key not in self.known:
            if len(self.known) >= KNOWN:
                self.known.clear()
            self.known[key] = found()
        return self.known[key]

    def workload(self, mode: str, batch: int, length: int, **more: Any) -> Workload:
        """A workload of these users in the formats that are served."""
        return Workload(
            mode=mode,
            batch_size=batch * self.layout.dp,
            sequence_length=length,
            dtype=self.dtype,
            kv_dtype=self.kv_dtype,
            attention_flops="causal",
            routing="uniform",
            **more,
        )

    def operations(self, mode: str, batch: int, length: int, **more: Any) -> tuple[Operation, ...]:
        """What the fullest devices of all pipeline stages do in a pass, one after another."""
        return in_turn(self.model, self.workload(mode, batch, max(length, 1), **more), self.layout)

    def terms(self, mode: str, batch: int, length: int, **more: Any) -> list[Term]:
        """What a pass is made of."""
        read = experts_read(self.model, self.workload(mode, batch, max(length, 1), **more), self.layout)
        prefill, context = mode == "prefill", length if mode == "decode" else 0
        return self.terms_of(self.operations(mode, batch, length, **more), context, prefill=prefill, read=read)

    def verify(self, batch: int, rows: int, context: int) -> PassTime:
        """One step that reads `rows` tokens of each sequence, as a draft's tokens are verified: engines run it as a
        step of decode with so many queries a sequence, which share its cache (vLLM: reorder_batch_threshold)."""
        asked = ("decode", batch * rows, max(context, 1))
        read = experts_read(self.model, self.workload(*asked), self.layout)
        return self.timed(self.terms_of(self.operations(*asked), context, read=read, rows=rows), prefill=False)

    def terms_of(
        self, operations: Iterable[Operation], context: int, *, prefill: bool = False, read: float = 1.0, rows: int = 1
    ) -> list[Term]:
        """What the time of some operations is computed from."""
        listed = list(operations)
        found = terms(listed, self.device, prefill=prefill, context=context, experts_read=read, rows=rows)
        return self._with_host(listed, found, prefill=prefill) if self.host else found

    def _with_host(self, operations: list[Operation], found: list[Term], *, prefill: bool) -> list[Term]:
        """Layers on the host: a decode step reads their weights there; a prompt's products run on the device all the
        same, after their weights have crossed its link (llama.cpp moves products of 32 rows and more)."""
        rate = self.efficiency.host_memory
        if prefill and self.device.host_link:
            rate = self.device.host_link * self.efficiency.link
        split: list[Term] = []
        for op, term in zip(operations, found, strict=True):
            if op.span.layers and not term.devices:
                if float(op.weight_reads):
                    split.append(Term(term.times * self.host, sent=float(op.weight_reads) / rate, kind="host"))
                term = term if prefill else term._replace(times=term.times * (1 - self.host))
            split.append(term)
        return split

    def timed(self, found: Iterable[Term], *, prefill: bool) -> PassTime:
        """The time of a pass."""
        return pass_time(found, self.efficiency, prefill=prefill)

    def decode(self, batch: int, context: int) -> PassTime:
        """One step of so many sequences."""
        return self.timed(self.terms("decode", batch, context), prefill=False)

    def room(self, longest: int, mean: int, settings: Mapping[str, Any]) -> Room:
        """As `_room_of`, found once."""
        key = ("room", longest, mean, repr(sorted(settings.items())))
        room: Room = self.once(key, lambda: self._room_of(longest, mean, settings))
        return room

    def _room_of(self, longest: int, mean: int, settings: Mapping[str, Any]) -> Room:
        """What the engine holds: requests of at the most `longest` tokens that are `mean` long on average while they
        run. An engine's default limit of sequences is taken to be set as high as they are; a given one holds."""
        given = {"max_model_len": longest, **settings}
        try:
            found = fit(
                self.model, self.device, self.engine, self.layout, dtype=self.dtype, kv_dtype=self.kv_dtype, **given
            )
        except WorkloadError:
            if settings:
                raise
            return self._without_rule(mean)
        return _room(found, mean, self.layout.attention_dp, settings)

    def held(self, mean: int) -> tuple[int, int]:
        """Bytes on the fullest device by the operation list: the weights, and the cache of a sequence of `mean` tokens.
        With copies of the attention, each holds one sequence's whole."""
        stages = placed(self.model, self.workload("decode", self.layout.attention_dp, mean), self.layout)
        weights = int(max(sum(op.weight_bytes * op.stored for op in s.operations) for s in stages))
        cache = int(max(sum(op.cache_bytes * op.count for op in s.operations) for s in stages))
        return weights, -(-cache // self.layout.attention_dp)

    def _without_rule(self, mean: int) -> Room:
        """Where the engine's rule does not know the model's cache: the operation list's cache in what is left."""
        weights, each = self.held(mean)
        pool = int(self.device.memory * USED - weights - OVERHEAD)
        held = max(pool // each, 0) if each else ENDLESS
        memory = {"weights": weights, "overhead": int(OVERHEAD), "cache_pool": pool, "cache_per_sequence": each}
        return Room(memory, held)


def shared(room: Room, weights: int, each: int, copies: int) -> Room:
    """What is left where another model (a draft) holds weights, and a cache of each sequence, on the same devices."""
    pool = room.memory["cache_pool"] - weights
    whole = room.memory["cache_per_sequence"] + each
    held = max(pool, 0) // whole * copies if whole else room.sequences
    memory = {**room.memory, "draft": weights, "cache_pool": pool, "cache_per_sequence": whole}
    return Room(memory, min(room.sequences, held))


class Same:
    """A value that equals itself alone, as a key."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.value is other.value


@lru_cache(maxsize=KNOWN)
def case_of(
    model: Same,
    device: Same,
    engine: str,
    layout: Layout,
    dtype: str,
    kv_dtype: str,
    changed: tuple[tuple[str, float], ...],
    host: float,
) -> Case:
    """The case of a model and a device, the same one for the same question."""
    found = efficiency(device.value, engine, dict(changed))
    return Case(model.value, device.value, engine, layout, found, dtype, kv_dtype, host)


ENDLESS = 2**31  # sequences, of a model that keeps nothing of them


def _room(found: Fit, mean: int, copies: int, settings: Mapping[str, Any]) -> Room:
    each = int(found.budget.cache.needed(mean))
    held = ENDLESS if not each and found.cache_pool > 0 else max(found.cache_pool, 0) // each if each else 0
    held *= copies
    limits = ("max_num_seqs", "max_running_requests", "max_batch_size", "parallel")
    for name in limits:
        if name in settings:
            held = min(held, int(settings[name]) * copies)
    memory = {
        "weights": found.weights,
        "activations": found.activations,
        "overhead": found.overhead,
        "cache_pool": found.cache_pool,
        "cache_per_sequence": each,
    }
    return Room(memory, held)
