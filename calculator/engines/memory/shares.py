"""What one device holds under a layout: weights, caches and the activations of a pass, from the operation list."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeVar

from calculator.engines.engine import Layers
from calculator.model import Model
from calculator.parallel import Layout
from calculator.passes.forward import operations
from calculator.record.caches import State
from calculator.record.operation import Operation
from calculator.record.recent import Recent
from calculator.record.split import held
from calculator.record.workload import Workload

T = TypeVar("T")

ATTENTION = ("attention", "recurrent")  # what attention data parallelism keeps whole on each of its groups


@dataclass(frozen=True)
class Stage:
    """The layers of the language model that one pipeline stage holds.

    Attributes:
        first, last: whether it embeds the tokens and whether it has the head.
    """

    start: int
    stop: int
    first: bool
    last: bool


def stages(layers: int, pp: int) -> tuple[Stage, ...]:
    """Contiguous stages; what is left over goes to the last but one and those before it, which have no head (vLLM,
    vllm/distributed/utils.py, get_pp_indices)."""
    counts = [layers // pp] * pp
    for i in range(layers % pp):
        counts[-(i + 2) if pp > 1 else 0] += 1
    found, start = [], 0
    for index, count in enumerate(counts):
        found.append(Stage(start, start + count, index == 0, index == pp - 1))
        start += count
    return tuple(found)


def on_stage(op: Operation, stage: Stage, path: str) -> Fraction:
    """The part of an operation's layers that a stage runs; towers and encoders stand on the first."""
    span = op.span
    if span.stack != path:
        return Fraction(stage.first)
    if not span.layers:
        return Fraction(stage.last if span.after else stage.first)
    return Fraction(sum(stage.start <= index < stage.stop for index in span.layers), len(span.layers))


def tensor_share(op: Operation, layout: Layout) -> Fraction:
    """The part of an operation's weights and work on the fullest device of the tensor group."""
    if op.split.kind == "expert":
        experts = int(op.split.pieces[0][1]) if op.split.pieces else 1
        width = max(1, layout.tp // layout.ep)
        return held(experts, min(layout.ep, experts)) / width
    if op.component in ATTENTION:
        return op.split.share(layout.tp // layout.attention_dp)
    return op.split.share(layout.tp)


def replica_share(op: Operation, layout: Layout) -> Fraction:
    """The same where each of the attention's groups is an engine of its own (vLLM's --data-parallel-size): only experts
    are divided over all of them (vllm docs/serving/data_parallel_deployment.md)."""
    expert = op.split.kind == "expert"
    return tensor_share(op, layout) if expert else op.split.share(layout.tp // layout.attention_dp)


Share = Callable[[Operation, Layout], Fraction]


def weight_bytes(
    listed: Iterable[Operation], stage: Stage, layout: Layout, path: str, share: Share = tensor_share
) -> int:
    """Bytes of weights on a device of the stage. A head that is tied to the embedding is stored again where the two
    stand on different stages."""
    total = Fraction(0)
    for op in listed:
        stored = op.stored
        if op.component == "head" and not stored and stage.last and not stage.first:
            stored = op.count
        if stored and op.weight_bytes:
            total += op.weight_bytes * stored * share(op, layout) * on_stage(op, stage, path)
    return round(total)


def kept_layers(listed: Iterable[Operation], stage: Stage, layout: Layout, path: str) -> list[Layers]:
    """What the layers of a stage keep of one sequence on one device, equal ones counted together."""
    counts: dict[Layers, int] = {}
    states: dict[str, list[tuple[Operation, Fraction]]] = {}
    devices = layout.tp // layout.attention_dp
    for op in listed:
        here = on_stage(op, stage, path)
        if op.kept is None or not here:
            continue
        share = op.split.cache_share(devices)
        if isinstance(op.kept, State):
            states.setdefault(op.layers, []).append((op, share))
            continue
        layers = Layers(replace(op.kept, per_token=_whole(op.kept.per_token * share)), 0)
        counts[layers] = counts.get(layers, 0) + int(op.count * here)
    for ops in states.values():
        parts = [(op.kept, share) for op, share in ops if isinstance(op.kept, State)]
        elements, size, widened = (
            sum(_whole(getattr(k, of) * share) for k, share in parts) for of in ("elements", "size", "widened")
        )
        layers = Layers(State(elements=elements, size=size, widened=widened), 0)
        counts[layers] = counts.get(layers, 0) + int(ops[0][0].count * on_stage(ops[0][0], stage, path))
    return [replace(layers, count=count) for layers, count in counts.items()]


def _whole(value: Fraction) -> int:
    return -(-value.numerator // value.denominator)


def peak_bytes(listed: Iterable[Operation], layout: Layout, stream: int) -> int:
    """Activation bytes alive at once on one device, at the operation where they are the most. What stands sharded
    between a column- and a row-divided matrix is there in part; the residual stream, of `stream` bytes, whole."""
    return max((_alive(op, layout, stream) for op in listed), default=0)


def _alive(op: Operation, layout: Layout, stream: int) -> int:
    if op.split.kind == "expert":
        reads, writes = _routed(op, layout)
    else:
        share = float(tensor_share(op, layout))
        reads = share if op.split.input == "sharded" else 1.0
        writes = share if op.split.output == "sharded" else 1.0
    beside = max(0, int(op.live - op.reads - op.writes))
    whole = min(beside, stream)
    return round(int(op.reads) * reads + int(op.writes) * writes + whole + (beside - whole) * min(reads, writes))


def _routed(op: Operation, layout: Layout) -> tuple[float, float]:
    """The parts of an expert operation's input and output on one device: a device of a tensor group sees all routed
    rows, in a part of their width; one of an expert group its own rows whole."""
    rows, narrow = 1 / min(layout.ep, layout.tp * layout.attention_dp), 1 / max(1, layout.tp // layout.ep)
    down, combine = op.name.endswith("down_proj"), op.name.endswith("combine")
    return rows * (narrow if down else 1), rows * (1 if down or combine else narrow)


class Listed(tuple[Operation, ...]):
    """The operations of a pass, with what was worked out of them for layouts: every device and every setting asks for
    the same."""

    def once(self, key: Hashable, make: Callable[[Listed], T]) -> T:
        """What `make` makes of the operations, made once for a key; a few numbers each."""
        made: dict[Hashable, T] = self.__dict__.setdefault("made", {})
        if key not in made:
            made[key] = make(self)
        return made[key]


_LISTED: Recent[tuple[Model, Listed]] = Recent(15_000)
"""The lists that were lately asked for, of at most so many operations together."""


def _listed(model: Model, workload: Workload) -> Listed:
    known = _LISTED.get((id(model), workload))
    if known is not None and known[0] is model:
        return known[1]
    found = Listed(operations(model, workload))
    _LISTED.put((id(model), workload), (model, found), max(len(found), 1))
    return found


def weights_listed(model: Model, dtype: str, kv_dtype: str, tokens: int = 1) -> Listed:
    """The operations of the smallest pass: what is held does not depend on how many tokens run, but for what is kept of
    an encoder's."""
    mode = "decode" if model.text.causal else "prefill"
    return _listed(model, Workload(mode=mode, sequence_length=tokens, dtype=dtype, kv_dtype=kv_dtype))


def prefill_listed(model: Model, tokens: int, dtype: str, kv_dtype: str) -> Listed:
    """The operations of a prefill of that many tokens."""
    return _listed(model, Workload(mode="prefill", sequence_length=tokens, dtype=dtype, kv_dtype=kv_dtype))
