"""What of a recipe cannot be, for a model and a layout: one sentence each."""

from __future__ import annotations

from calculator.errors import WorkloadError, choose
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.passes.forward import operations
from calculator.record.workload import Workload
from calculator.training.recipe import Training
from calculator.training.stage import LINEAR, PACKED


def check(model: Model, training: Training, layout: Layout, micro_batches: int) -> None:
    """Whether the model can be trained so.

    Raises:
        WorkloadError: why not, and what to change.
    """
    if training.optimizer_in_backward and micro_batches > 1:
        raise WorkloadError(
            "optimizer_in_backward updates a weight as soon as its gradient is there, so that no gradients of several "
            f"micro-batches can be added; give 1 micro-batch, not {micro_batches:,}."
        )
    if layout.interleave > 1 and layout.pp == 1:
        raise WorkloadError(f"interleave {layout.interleave} divides pipeline stages; give a pp above 1 with it.")
    if isinstance(training.recompute, int) and training.recompute > model.layers:
        raise WorkloadError(
            f"recompute {training.recompute} is every {training.recompute}th layer; {model.name} has {model.layers}."
        )
    if "parameters" in training.offloaded and training.zero < 3 and layout.dp * layout.cp > 1:
        raise WorkloadError("Parameters are offloaded where copies shard them; give zero 3 with offload parameters.")
    heads = int(model.stated("num_attention_heads", "n_head") or 0)
    if heads % layout.attention_tp:
        fitting = [n for n in range(1, min(heads, 64) + 1) if heads % n == 0]
        raise WorkloadError(
            f"tp {layout.attention_tp} does not divide the {heads} attention heads of {model.name}; choose one of "
            f"{', '.join(map(str, fitting))}."
        )
    if training.frozen:
        _targets(model, training)


def _targets(model: Model, training: Training) -> None:
    if training.targets == "all-linear":
        return
    named = (training.targets,) if isinstance(training.targets, str) else training.targets
    listed = operations(model, Workload(mode="prefill", sequence_length=1))
    known = {op.step.target for op in listed if op.kind == "matmul" and any(w.role in LINEAR for w in op.weights)}
    parts = frozenset().union(*(PACKED.get(name, frozenset()) for name in known))
    wrong = [name for name in named if name not in known | parts]
    if wrong or not named:
        raise WorkloadError(
            f"targets {', '.join(wrong) or '()'}: {model.name} has no such modules; "
            f"{choose(''.join(wrong[:1]), sorted(known), ', or all-linear', 'choose from')}"
        )
