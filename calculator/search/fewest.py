"""The fewest devices of one group that hold what is asked, and what would let fewer of them do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.engines.memory.fit import Fit, fit
from calculator.errors import CalculatorError
from calculator.model import Model
from calculator.parallel import Layout
from calculator.search.fixes import Fix
from calculator.search.layouts import has_latent

MOST = 64  # devices of one group
BY_LAYERS = ("llama.cpp", "transformers")  # engines that lay whole layers on each device


def group(model: Model, engine: str, count: int) -> Layout:
    """So many devices as the engine divides one replica over them: by layers, or as the largest tensor group it takes,
    and stages of such groups."""
    return Layout(pp=count) if engine in BY_LAYERS else Layout.grouped(model, count)


def fewest(model: Model, device: Any, engine: str = "vllm", **asked: Any) -> Fit | None:
    """The fit on the smallest power of two of devices that holds it; None beyond 64.

    Args:
        asked: further arguments of `calculator.fit`.

    Raises:
        CalculatorError: the model cannot be laid out so.
    """
    count = 1
    while count <= MOST:
        found = held(model, device, count, engine, **asked)
        if found.fits:
            return found
        count *= 2
    return None


def held(model: Model, device: Any, count: int, engine: str = "vllm", *, concurrency: int = 1, **asked: Any) -> Fit:
    """The fit on so many devices: as one group, or where that does not hold it, as a group whose attention is copied.

    A latent cache (DeepSeek) is whole on every rank of a tensor group, however many there are; with a copy of the
    attention on each rank the ranks divide the sequences instead, and the experts. `concurrency` of the fit is then
    what the fullest copy runs.

    Raises:
        CalculatorError: the model cannot be laid out so.
    """
    found = fit(model, device, engine=engine, layout=group(model, engine, count), concurrency=concurrency, **asked)
    if found.fits or count == 1 or model.experts is None or engine in BY_LAYERS or not has_latent(model):
        return found
    layout = Layout(tp=count, ep=count, attention_dp=count)
    try:
        layout.check(model)
    except CalculatorError:  # experts that so many do not divide
        return found
    each = -(-concurrency // count)
    copied = fit(model, device, engine=engine, layout=layout, concurrency=each, **asked)
    return copied if copied.fits else found


def cures(found: Fit) -> tuple[Fit, tuple[Fix, ...]]:
    """What would make it fit; of a fit on several devices, what would make it fit on half of them.

    Returns:
        the fit that lacks memory (or the one that was given, where one device is enough or the attention is copied),
        and its fixes.
    """
    if not found.fits:
        return found, found.fixes
    half = found.layout.devices // 2
    if half < 1 or found.layout.attention_dp > 1:
        return found, ()
    layout = found.layout
    smaller = found.again(layout=replace(layout, tp=layout.tp // 2) if layout.tp > 1 else replace(layout, pp=half))
    return smaller, tuple(fix for fix in smaller.fixes if fix.devices < found.layout.devices)
