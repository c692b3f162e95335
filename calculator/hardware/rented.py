"""Machines that Hugging Face rents for its Jobs, as devices of the catalogue with their price of the day, asked of the
Hub through its client: https://huggingface.co/docs/huggingface_hub/guides/jobs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from calculator.errors import DeviceError, HubUnreachableError
from calculator.hardware.catalogue import devices
from calculator.hardware.record import Device
from calculator.numbers.units import GB

HOURS = {"minute": 60, "hour": 1, "second": 3600}
NEAR = 0.2
"""Of two sizes of memory, one in decimal and one in binary gigabytes, or with and without what ECC takes."""


@dataclass(frozen=True)
class Rented:
    """A machine: its name for `hf jobs run --flavor`, its devices and how many, and dollars an hour for all of it."""

    name: str
    device: Device
    count: int
    price: float


def rented(token: str | None = None) -> list[Rented]:
    """The machines with accelerators that the catalogue knows; the price of a `device` is its share of the machine's.

    Raises:
        HubUnreachableError: the Hub did not tell.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    # The client speaks through httpx in version 1, through httpx2 in version 2; its own error descends from either.
    spoken: Any = HfHubHTTPError.__mro__[1]
    try:
        listed = HfApi(token=token).list_jobs_hardware()
    except (spoken, OfflineModeIsEnabled, OSError) as error:
        raise HubUnreachableError(
            f"The Hub did not tell which machines it rents ({type(error).__name__}); check the connection and try "
            "again, or name a device of calculator.devices()."
        ) from error
    return read(listed)


def rented_device(flavor: str, token: str | None = None) -> Device:
    """One device of the machine of that name, as `hf jobs run --flavor` takes it, at its share of the price.

    Raises:
        DeviceError: no machine with an accelerator that the catalogue knows has that name. HubUnreachableError: the
            Hub did not tell.
    """
    machines = {machine.name: machine.device for machine in rented(token)}
    if flavor not in machines:
        raise DeviceError(
            f"Hugging Face rents no machine {flavor[:80]!r} with an accelerator known here; choose one of "
            f"{', '.join(machines)}."
        )
    return machines[flavor]


def read(listed: Iterable[Any]) -> list[Rented]:
    """What the client's JobHardwareInfo records say; machines without accelerators, or with unknown ones, left out."""
    found = []
    for machine in listed:
        device = _device(machine.accelerator) if machine.accelerator else None
        if device is None or machine.unit_label not in HOURS:
            continue
        count = int(machine.accelerator.quantity)
        price = machine.unit_cost_usd * HOURS[machine.unit_label]
        prices = {**device.prices, "hugging_face": price / count}
        found.append(Rented(machine.name, replace(device, price=price / count, prices=prices), count, price))
    return found


def _device(accelerator: Any) -> Device | None:
    """The device of that model whose memory is nearest; of boards alike the one with links, or for servers."""
    size = re.match(r"([\d.]+) ?GB", accelerator.vram)
    words = re.findall(r"[a-z0-9]+", accelerator.model.lower())
    if size is None or not words or not accelerator.quantity.isdigit():
        return None
    each = float(size[1]) * GB / int(accelerator.quantity)
    alike = [
        d
        for d in devices()
        if d.vendor.lower() == accelerator.manufacturer.lower()
        and set(words) <= set(re.findall(r"[a-z0-9]+", d.name.lower()))
        and abs(d.memory / each - 1) < NEAR
    ]
    return min(alike, key=lambda d: ("-sxm" not in d.id and "server" not in d.id, len(d.name)), default=None)
