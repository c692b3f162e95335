"""The layouts and recipes worth asking about: every one that a cluster, a model and a batch allow, each priced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from calculator.errors import DeviceError, WorkloadError
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.training.recipe import Training
from calculator.training.result import Trained
from calculator.training.stage import StageKept, stages
from calculator.training.train import allowances, memory_of, stepped, train

LONG = 16384  # tokens from which a sequence is worth dividing
RECOMPUTED = ("none", "selective", "full")
MOST = 2**24  # sequences or tokens that no search goes beyond


def plans(
    model: Model,
    *,
    device: str | Device,
    devices: int,
    sequence_length: int = 4096,
    global_batch: int | None = None,
    training: Training | None = None,
    **recipe: Any,
) -> tuple[Trained, ...]:
    """Every layout, sharding, recomputation and micro-batch that fits, fastest first.

    Args:
        devices: all of them. global_batch: sequences of a step; None: four million tokens' worth.
        training: the recipe; what of `zero` and `recompute` it or the keywords do not say is searched.

    Raises:
        CalculatorError: no such device, or numbers outside what is allowed.
    """
    card = device_named(device)
    asked = (training or Training()).with_(**recipe)
    sequences = global_batch or max(devices, 2**22 // sequence_length)
    for what, value in (("devices", devices), ("global_batch", sequences), ("sequence_length", sequence_length)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 10**9:
            raise WorkloadError(f"{what} must be a whole number from 1 to 1,000,000,000, not {value!r}.")
    stages_of: list[str] = ["zero"] if "zero" in recipe or training else []
    again = (asked.recompute,) if "recompute" in recipe or training else RECOMPUTED
    found: list[Trained] = []
    for layout in layouts(model, card, devices, sequence_length):
        if sequences % layout.dp:
            continue
        zeros = (asked.zero,) if stages_of else _sharded(layout)
        for batch in _batches(sequences // layout.dp):
            sizes = (batch, sequence_length, sequences // layout.dp // batch)
            priced = _priced(model, asked, layout, card, sizes, zeros, again)
            if not priced:
                break  # nor does a larger micro-batch fit
            found += priced
    return tuple(sorted(found, key=lambda t: t.step_time.expected if t.step_time else 0.0))


def layouts(model: Model, device: Device, devices: int, sequence_length: int) -> Iterator[Layout]:
    """Layouts of exactly so many devices: a tensor group within one domain, whole layers a stage, long sequences over
    up to eight, and the experts of a mixture over what divides them."""
    heads = int(model.stated("num_attention_heads", "n_head") or 0)
    for tp in _divisors(min(devices, max(device.domain, 1), 16), devices):
        if heads and heads % tp:
            continue
        for pp in _divisors(min(model.layers, 64), devices // tp):
            for cp in _divisors(8 if sequence_length >= LONG else 1, devices // tp // pp):
                dp = devices // tp // pp // cp
                for ep in _expert_groups(model, tp * cp * dp):
                    layout = Layout(tp, pp, dp, cp, ep=ep, sequence_parallel=tp > 1)
                    try:
                        layout.check(model)
                    except DeviceError:
                        continue
                    yield layout


def _divisors(most: int, of: int) -> list[int]:
    return [n for n in range(1, min(most, of) + 1) if of % n == 0]


def _expert_groups(model: Model, devices: int) -> list[int]:
    if model.experts is None:
        return [1]
    experts = int(model.experts.experts)
    return [n for n in (1, 8, 16, 32, 64, 128) if devices % n == 0 and experts % n == 0]


def _sharded(layout: Layout) -> tuple[int, ...]:
    """Sharding worth asking about: gathering weights for every micro-batch of a pipeline is not."""
    if layout.dp * layout.cp == 1:
        return (0,)
    return (1, 2) if layout.pp > 1 else (1, 2, 3)


def _batches(sequences: int) -> Iterable[int]:
    return [n for n in (1, 2, 4, 8, 16) if sequences % n == 0]


def _priced(
    model: Model,
    asked: Training,
    layout: Layout,
    card: Device,
    sizes: tuple[int, int, int],
    zeros: tuple[int, ...],
    again: tuple[str | int, ...],
) -> list[Trained]:
    """The recipes of a layout that fit. What a stage holds does not depend on them, but for the kernels that mixed
    precision runs, so it is laid out once for each of those."""
    laid: dict[str, list[StageKept]] = {}
    found = []
    for zero in zeros:
        recipe = replace(asked, zero=zero)
        if _weights(model, recipe, layout) > card.memory:
            continue
        column = recipe.column(layout)
        if column not in laid:
            laid[column] = stages(model, recipe, layout, sizes[0], sizes[1])
        for how in again:
            tried = replace(recipe, recompute=how)
            held = memory_of(laid[column], model, tried, layout, sizes[2])
            if allowances(max(stage.peak for stage in held), card)[0] <= card.memory:
                found.append(stepped(laid[column], model, tried, layout, card, sizes))
                break  # more recomputation is slower
    return found


def _weights(model: Model, recipe: Training, layout: Layout) -> float:
    """Bytes of weights that a device holds at the least, however its experts are divided."""
    width = 0.5 if recipe.frozen else float(recipe.states(layout)["weights"])
    shards = layout.dp * layout.cp if recipe.zero >= 3 else 1
    return 0.0 if recipe.offloaded else model.parameters.total * width / (layout.tp * layout.pp * layout.ep * shards)


def largest_batch(model: Model, *, device: str | Device, **given: Any) -> Trained | None:
    """The step with the largest micro-batch that fits, None where not even one sequence does. Further arguments are
    those of `train`."""
    return _largest(model, "batch_size", {**given, "device": device_named(device)})


def longest(model: Model, *, device: str | Device, **given: Any) -> Trained | None:
    """The step with the longest sequences that fit, in steps of 256 tokens."""
    return _largest(model, "sequence_length", {**given, "device": device_named(device)}, unit=256)


def fewest(model: Model, *, device: str | Device, most: int = 4096, **given: Any) -> tuple[Trained, ...]:
    """The plans of the smallest cluster that holds the job: one device, then twice as many."""
    devices = 1
    while devices <= most:
        found = plans(model, device=device, devices=devices, **given)
        if found:
            return found
        devices *= 2
    return ()


def _largest(model: Model, name: str, given: dict[str, Any], unit: int = 1) -> Trained | None:
    def fits(count: int) -> Trained | None:
        step = train(model, **{**given, name: count * unit})
        return step if step.fits else None

    best, low = fits(1), 1
    if best is None:
        return None
    high = 2
    while high * unit <= MOST and (more := fits(high)) is not None:
        best, low, high = more, high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        step = fits(middle)
        if step is None:
            high = middle
        else:
            best, low = step, middle
    return best
