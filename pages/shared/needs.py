"""What the sidebar's workload needs of the chosen devices, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from calculator.engines.memory.fit import Fit, fit
from calculator.errors import CalculatorError, DeviceError
from calculator.estimation import Estimate
from calculator.hardware import Device
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.record.workload import Workload
from calculator.search.fewest import MOST, fewest, held
from calculator.serving.parts import Passed, passed
from pages.shared import show as ui
from pages.shared.show import Inputs


@dataclass(frozen=True)
class Needs:
    """Devices, what the fullest of them holds, and the time of a pass; None where no device is chosen or none does.

    `verdict` ends the answer, `meaning` stands under the memory, `remark` among the terms; `limits` are named bytes.
    """

    count: int | None = None
    fit: Fit | None = None
    passed: Passed | None = None
    verdict: str = ""
    meaning: str = ""
    remark: str = ""
    limits: tuple[tuple[float, str], ...] = ()


def serving(inputs: Inputs, case: Estimate | None = None) -> dict[str, Any]:
    """What `calculator.fit` is asked: sequences, tokens and precisions of an estimate (the sidebar's own), and the
    sidebar's engine."""
    e = case or inputs.estimate
    w = e.workload
    return {
        "engine": inputs.hardware.engine,
        "max_model_len": e.sequence_length,
        "concurrency": w.batch_size,
        "dtype": w.dtype,
        "kv_dtype": w.kv_dtype,
    }


def computed(w: Workload) -> Workload:
    """A workload as kernels compute it, for its time: a flash kernel skips what a causal mask hides, and tokens do not
    choose experts evenly."""
    return w.with_(routing="uniform", attention_flops="causal" if w.attention == "flash" else w.attention_flops)


def timed(model: Model, mine: Fit) -> Layout:
    """The layout that a pass is timed on: engines that lay whole layers on each device are timed as a group."""
    return mine.layout if mine.layout.attention_dp > 1 else Layout.grouped(model, mine.layout.devices)


def usable(inputs: Inputs, device: Device) -> float:
    """Bytes of one device that the sidebar's engine may fill; all of it for training and encoders."""
    if inputs.workload.mode == "pretraining" or not inputs.model.text.causal:
        return float(device.memory)
    try:
        return float(fit(inputs.model, device, **serving(inputs)).capacity)
    except CalculatorError:  # the engine does not run it: nothing is known of what it would leave
        return float(device.memory)


def needs(inputs: Inputs) -> Needs:
    """What is needed. A page without a device, and training, which has its own rules, ask for memory only."""
    device, w = inputs.device, inputs.workload
    if device is None:
        return Needs()
    name = ui.device_name(device)
    if w.mode == "pretraining" or not inputs.model.text.causal:
        total = inputs.estimate.memory.total
        least = -(-total // device.memory)
        fits = f"; one {name} has {ui.size(device.memory)}" if least == 1 else ""
        more = f": divided evenly, {least:,} {name}" if least > 1 else fits
        return Needs(verdict=more, limits=_limits(device.memory, 1, name, total))
    try:
        least = None if inputs.hardware.count else fewest(inputs.model, device, **serving(inputs))
        count = inputs.hardware.count or (least.layout.devices if least else None)
        mine = least or held(inputs.model, device, count or MOST, **serving(inputs))
    except CalculatorError as error:
        return Needs(remark=ui.plain(error))
    limits = _limits(mine.capacity, count or 1, name, inputs.estimate.memory.total)
    if count is None:
        each = f"{ui.size(mine.taken)} on each of {MOST}"
        return Needs(None, mine, None, f": more than {MOST}\u00a0{name} hold", each, "", limits)
    verdict, meaning = _words(inputs, count, mine)
    pieces = _pieces(inputs, count, mine)
    try:
        time = passed(inputs.model, computed(w), device, timed(inputs.model, mine), inputs.hardware.engine)
    except DeviceError as error:
        said = " · ".join(filter(None, (pieces, ui.plain(error))))
        return Needs(count, mine, None, verdict, meaning, said, limits)
    return Needs(count, mine, time, verdict, meaning, pieces, limits)


def _pieces(inputs: Inputs, count: int, mine: Fit) -> str:
    """That the engine holds less than one pass over all prompts, because it reads them in pieces."""
    holds = mine.taken * count
    if inputs.workload.mode != "prefill" or holds > 0.98 * inputs.estimate.memory.total:
        return ""
    return f"reads prompts in pieces, which take {ui.size(holds)}"


def _words(inputs: Inputs, count: int, mine: Fit) -> tuple[str, str]:
    device = inputs.device
    assert device is not None
    named = ui.devices(count, device)
    on_each = " on each" if count > 1 else f" of {ui.device_name(device)}"
    meaning = f"{ui.size(mine.taken)} of {ui.size(mine.capacity)}{on_each}"
    if mine.fits:
        full = f"{mine.taken / mine.capacity:.0%}" if mine.taken > mine.capacity / 100 else "<1%"
        return f": {named}, {full.replace('%', chr(160) + '%')} full", meaning
    short = ui.size(mine.short_by).replace(" ", "\u00a0")
    return f": {short} too much for {named}", meaning


def _limits(usable: int, count: int, name: str, total: float) -> tuple[tuple[float, str], ...]:
    """One device, and as many as are needed, where the picture has room for both."""
    found = [(float(usable), f"1 × {name}")] if usable < 6 * total else []
    if count > 1 and count <= 8:
        found.append((float(usable * count), f"{count} × {name}"))
    return tuple(found)
