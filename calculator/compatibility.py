"""The names of an earlier calculator (TransformerCalculator and its result fields) over this package's engine.

Every result field is a sum over the operations of the model that a `ModelConfig` describes.
"""

from __future__ import annotations

from dataclasses import dataclass

from calculator.errors import WorkloadError, choose
from calculator.estimation import Estimate
from calculator.model import Model
from calculator.numbers import units as words
from calculator.passes.totals import Flops, Memory, Traffic, intensity_class
from calculator.record.operation import Operation
from calculator.sources.manual import ModelConfig, OperationMode, manual_model


@dataclass(frozen=True)
class MemoryComponents:
    """Bytes in two views of one total, which counts every byte once.

    Where they are: attention + projections + mlp + embeddings + layer_norm == total. What they are: weights + kv_cache
    + activations + gradients + optimizer_states == total. The peak of an inference's activations belongs to the
    component that reaches it.

    Attributes:
        attention: the cache, and what scores, softmax, weighted sum and rotary embedding keep.
        projections: the matrices of q, k, v and o. mlp: MLPs, routers and experts.
        embeddings: the token embedding and the head. layer_norm: norms and residual additions.
    """

    attention: int
    projections: int
    mlp: int
    embeddings: int
    layer_norm: int
    weights: int
    kv_cache: int
    activations: int
    gradients: int
    optimizer_states: int
    total: int


@dataclass(frozen=True)
class FlopsComponents:
    """Floating-point operations, a multiply-add being 2. The fields are those of MemoryComponents; `optimizer` is the
    AdamW step of pretraining. The fields before total add up to it."""

    attention: int
    projections: int
    mlp: int
    embeddings: int
    layer_norm: int
    optimizer: int
    total: int


@dataclass(frozen=True)
class ReuseComponents:
    """Arithmetic intensity, FLOPs per byte moved to and from device memory, of each component and of all together."""

    attention: float
    projections: float
    mlp: float
    embeddings: float
    layer_norm: float
    optimizer: float
    total: float


PLACES = ("attention", "projections", "mlp", "embeddings", "layer_norm", "optimizer")
KINDS = ("weights", "kv_cache", "activations", "gradients", "optimizer_states")
PLACE_OF = {
    "embedding": "embeddings",
    "head": "embeddings",
    "norm": "layer_norm",
    "mlp": "mlp",
    "experts": "mlp",
    "router": "mlp",
    "optimizer": "optimizer",
}
TITLES = {"mlp": "MLP", "kv_cache": "KV Cache"}
TABLES = ("memory", "flops", "reuse")
RULE, LINE = "=" * 80, "-" * 80


def place_of(op: Operation) -> str:
    """The result field an operation counts in: of attention, the matrix products are projections."""
    if op.component == "attention":
        return "projections" if op.kind == "matmul" else "attention"
    return PLACE_OF[op.component]


def _by_place(estimate: Estimate) -> dict[str, list[Operation]]:
    found: dict[str, list[Operation]] = {place: [] for place in PLACES}
    for op in estimate.operations:
        found[place_of(op)].append(op)
    return found


class TransformerCalculator:
    """Memory, FLOPs and arithmetic intensity of a ModelConfig. The config is read anew by every call."""

    def __init__(self, config: ModelConfig) -> None:
        self.config = config

    @property
    def model(self) -> Model:
        """The Model that the config describes."""
        return manual_model(self.config)

    def estimate(self, mode: OperationMode) -> Estimate:
        """The engine's estimate, with everything the result fields sum up."""
        return Estimate(self.model, self.config.workload(mode))

    def calculate_memory(self, mode: OperationMode) -> MemoryComponents:
        """Bytes of device memory, each counted once."""
        return memory_components(self.estimate(mode))

    def calculate_flops(self, mode: OperationMode) -> FlopsComponents:
        """FLOPs of one prefill, one decode step, or one training step."""
        return flops_components(self.estimate(mode))

    def calculate_reuse(self, mode: OperationMode) -> ReuseComponents:
        """FLOPs per byte moved."""
        return reuse_components(self.estimate(mode))

    def generate_table(self, mode: OperationMode, table: str = "all") -> str:
        """The results as text.

        Args:
            mode: what is run.
            table: "memory", "flops", "reuse", or "all" three.

        Raises:
            WorkloadError: no such mode or table.
        """
        if table not in (*TABLES, "all"):
            raise WorkloadError(f"Table {table!r} is not known; {choose(table, TABLES, ', all')}")
        estimate = self.estimate(mode)
        return "\n".join(_written(estimate, kind) for kind in (TABLES if table == "all" else (table,)))


def memory_components(estimate: Estimate) -> MemoryComponents:
    """An estimate's bytes by place and by kind."""
    memory, peak = estimate.memory, estimate.memory.peak_operation
    places = {}
    for place, listed in _by_place(estimate).items():
        part = Memory(listed, peak is None)
        held = part.weights + part.kv_cache + part.gradients + part.optimizer_states
        alive = part.activations if peak is None else memory.activations if peak in listed else 0
        places[place] = held + alive
    del places["optimizer"]  # the update holds nothing: its states belong to the parameters they update
    return MemoryComponents(**places, **{kind: getattr(memory, kind) for kind in KINDS}, total=memory.total)


def flops_components(estimate: Estimate) -> FlopsComponents:
    """An estimate's FLOPs by place."""
    places = {place: Flops(listed).total for place, listed in _by_place(estimate).items()}
    return FlopsComponents(**places, total=estimate.flops.total)


def reuse_components(estimate: Estimate) -> ReuseComponents:
    """An estimate's FLOPs per byte by place; 0 where nothing runs."""
    places = {
        place: float(Flops(listed).total / Traffic(listed).total) if listed else 0.0
        for place, listed in _by_place(estimate).items()
    }
    return ReuseComponents(**places, total=float(estimate.intensity))


def _written(estimate: Estimate, kind: str) -> str:
    name = {"memory": "MEMORY", "flops": "FLOPS", "reuse": "ARITHMETIC INTENSITY"}[kind]
    title = f"TRANSFORMER {name} ANALYSIS - {estimate.workload.mode.upper()}"
    body = {"memory": _memory_lines, "flops": _flops_lines, "reuse": _reuse_lines}[kind](estimate)
    return "\n".join([RULE, title, RULE, *_about(estimate), LINE, *body, RULE, ""])


def _about(estimate: Estimate) -> list[str]:
    model, p = estimate.model, estimate.model.parameters
    active = "" if p.active == p.total else f", {words.count(p.active)} active"
    return [
        f"{model.name}: {model.layers} layers, hidden size {model.hidden_size:,}, {p.total:,} parameters{active}",
        f"Batch size {estimate.workload.batch_size:,}, sequence length {estimate.sequence_length:,}, weights "
        f"{estimate.precision}",
        *estimate.warnings,
    ]


def _line(name: str, amount: str, share: str) -> str:
    return f"{name:<20} {amount:<20} {share:>12}"


def _title(name: str) -> str:
    return TITLES.get(name) or name.replace("_", " ").title()


def _memory_lines(estimate: Estimate) -> list[str]:
    found = memory_components(estimate)

    def block(head: str, names: tuple[str, ...]) -> list[str]:
        amounts = {n: getattr(found, n) for n in names}
        lines = [_line(_title(n), words.gib(a), words.percent(a / found.total)) for n, a in amounts.items() if a]
        return [_line(head, "Memory", "Percent"), LINE, *lines, LINE]

    total = _line("TOTAL", words.gib(found.total), words.percent(1))
    note = "Each part adds up to the total: where the bytes are, then what they are. 1 GiB = 2^30 bytes."
    return [*block("Component", PLACES[:-1]), *block("Kind", KINDS), total, note]


def _flops_lines(estimate: Estimate) -> list[str]:
    found = flops_components(estimate)
    amounts = {p: getattr(found, p) for p in PLACES}
    lines = [_line(_title(p), words.flops(a), words.percent(a / found.total)) for p, a in amounts.items() if a]
    total = _line("TOTAL", words.flops(found.total), words.percent(1))
    return [_line("Component", "FLOPS", "Percent"), LINE, *lines, LINE, total]


def _reuse_lines(estimate: Estimate) -> list[str]:
    found = reuse_components(estimate)
    amounts = {p: getattr(found, p) for p in PLACES if p != "optimizer" or found.optimizer}
    lines = [_line(_title(p), words.intensity(a), intensity_class(a)) for p, a in amounts.items()]
    total = _line("TOTAL", words.intensity(found.total), intensity_class(found.total))
    return [_line("Component", "Reuse", "Class"), LINE, *lines, LINE, total]
