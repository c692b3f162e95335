"""The fewest devices of one group that hold what is asked, and what would let fewer of them do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from calculator.engines.memory.fit import Fit, fit
from calculator.model import Model
from calculator.parallel import Layout
from calculator.search.fixes import Fix

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
        found = fit(model, device, engine=engine, layout=group(model, engine, count), **asked)
        if found.fits:
            return found
        count *= 2
    return None


def cures(found: Fit) -> tuple[Fit, tuple[Fix, ...]]:
    """What would make it fit; of a fit on several devices, what would make it fit on half of them.

    Returns:
        the fit that lacks memory (or the one that was given, where one device is enough), and its fixes.
    """
    if not found.fits:
        return found, found.fixes
    half = found.layout.devices // 2
    if half < 1:
        return found, ()
    layout = found.layout
    smaller = found.again(layout=replace(layout, tp=layout.tp // 2) if layout.tp > 1 else replace(layout, pp=half))
    return smaller, tuple(fix for fix in smaller.fixes if fix.devices < found.layout.devices)
