"""The table of one device of a layout: what it holds and does in a pass, and how long that takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from calculator.record.vocabulary import MEMORY_KINDS

if TYPE_CHECKING:
    from calculator.estimation import Estimate

Row = dict[str, Any]


def device_rows(estimate: Estimate) -> list[Row]:
    """Amounts of the fullest device by name, in bytes, FLOPs and seconds; times only where a device was named.

    Raises:
        CalculatorError: the layout cannot be.
    """
    share = estimate.per_device
    amounts: list[tuple[str, Any, str]] = [(kind, getattr(share.memory, kind), "bytes") for kind in MEMORY_KINDS]
    amounts = [row for row in amounts if row[1]]
    amounts.append(("memory", share.memory.total, "bytes"))
    if estimate.device is not None:
        amounts.append(("device memory", estimate.device.memory, "bytes"))
    amounts += [("flops", round(share.flops.total), "FLOP"), ("traffic", round(share.traffic.total), "bytes moved")]
    amounts.append(("sent", round(share.sent), "bytes moved"))
    if estimate.device is not None:
        t = estimate.time
        amounts += [("time, lower bound", t.lower_bound, "s"), ("time, expected", t.expected, "s")]
        amounts += [("time, low", t.low, "s"), ("time, high", t.high, "s")]
    return [{"amount": name, "value": value, "unit": unit} for name, value, unit in amounts]


def devices_as_dict(estimate: Estimate) -> Row:
    """The same for JSON."""
    found = {row["amount"].replace(", ", "_").replace(" ", "_"): row["value"] for row in device_rows(estimate)}
    layout = {} if estimate.layout is None else {"layout": str(estimate.layout)}
    device = {} if estimate.device is None else {"device": estimate.device.id}
    return device | layout | found
