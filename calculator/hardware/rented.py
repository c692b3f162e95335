"""Machines that Hugging Face rents for its Jobs and its Inference Endpoints, as devices of the catalogue with their
price of the day, asked of the Hub through its client: huggingface.co/docs/huggingface_hub/guides/jobs and
inference_endpoints."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from calculator.errors import DeviceError, HubUnreachableError, choose
from calculator.hardware.catalogue import devices
from calculator.hardware.record import Device
from calculator.numbers.units import GB

HOURS = {"minute": 60, "hour": 1, "second": 3600}
NEAR = 0.2
"""Of two sizes of memory, one in decimal and one in binary gigabytes, or with and without what ECC takes."""


@dataclass(frozen=True)
class Rented:
    """A machine: its name for `hf jobs run --flavor`, or its id in Endpoints' list; its devices and how many, and
    dollars an hour for all of it."""

    name: str
    device: Device
    count: int
    price: float


def rented(token: str | None = None) -> list[Rented]:
    """The machines for jobs with accelerators that the catalogue knows; the price of a `device` is its share of the
    machine's.

    Raises:
        HubUnreachableError: the Hub did not tell.
    """
    return read(_told(lambda api: api.list_jobs_hardware(), token))


def endpoints(token: str | None = None) -> list[Rented]:
    """The same of Inference Endpoints' hardware, which the Hub tells to those it knows: give a token, or log in.

    Raises:
        HubUnreachableError: the Hub did not tell.
    """
    return read_endpoints(_told(lambda api: api.list_inference_endpoints_hardware(), token))


def _told(ask: Callable[[Any], Iterable[Any]], token: str | None) -> Iterable[Any]:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    # The client speaks through httpx in version 1, through httpx2 in version 2; its own error descends from either.
    spoken: Any = HfHubHTTPError.__mro__[1]
    try:
        return ask(HfApi(token=token))
    except LocalTokenNotFoundError as error:
        raise HubUnreachableError(
            "Hugging Face tells the hardware of Inference Endpoints to its users alone: set HF_TOKEN or log in."
        ) from error
    except (spoken, OfflineModeIsEnabled, OSError) as error:
        raise HubUnreachableError(
            f"The Hub did not tell which machines it rents ({type(error).__name__}); check the connection and try "
            "again, or name a device of calculator.devices()."
        ) from error


def rented_device(flavor: str, token: str | None = None) -> Device:
    """One device of the machine of that name, as `hf jobs run --flavor` takes it ("a100-large") or as Inference
    Endpoints list it ("aws-us-east-1-nvidia-l4-x1"), at its share of the price.

    Raises:
        DeviceError: no machine with an accelerator that the catalogue knows has that name. HubUnreachableError: the
            Hub did not tell.
    """
    listed = endpoints if re.search(r"-x\d+$", flavor) else rented
    machines = {machine.name: machine.device for machine in listed(token)}
    if flavor not in machines:
        raise DeviceError(
            f"Hugging Face rents no machine {flavor[:80]!r} with an accelerator known here; {choose(flavor, machines)}"
        )
    return machines[flavor]


def read(listed: Iterable[Any]) -> list[Rented]:
    """What the client's JobHardwareInfo records say; machines without accelerators, or with unknown ones, left out."""
    found = []
    for machine in listed:
        of = machine.accelerator
        size = re.match(r"([\d.]+) ?GB", of.vram) if of else None
        if size is None or not of.quantity.isdigit() or machine.unit_label not in HOURS:
            continue
        price = machine.unit_cost_usd * HOURS[machine.unit_label]
        found += _rented(machine.name, f"{of.manufacturer} {of.model}", int(of.quantity), float(size[1]), price)
    return found


def read_endpoints(listed: Iterable[Any]) -> list[Rented]:
    """What the client's InferenceEndpointHardware records say; what is on its way out, too, left out."""
    found = []
    for machine in listed:
        count, size = machine.num_accelerators, machine.gpu_memory_gb
        if count and size and machine.status != "deprecated":
            found += _rented(machine.id, machine.architecture, count, float(size), float(machine.price_per_hour))
    return found


def _rented(name: str, said: str, count: int, gigabytes: float, price: float) -> list[Rented]:
    """The machine, none where the catalogue does not know its devices."""
    device = _device(said, gigabytes * GB / count) if count else None
    if device is None:
        return []
    prices = {**device.prices, "hugging_face": price / count}
    return [Rented(name, replace(device, price=price / count, prices=prices), count, price)]


def _device(said: str, each: float) -> Device | None:
    """The device of that model whose memory is nearest; of boards alike the one with links, or for servers."""
    maker, *words = re.findall(r"[a-z0-9]+", said.lower()) or [""]
    if not words:
        return None
    alike = [
        d
        for d in devices()
        if d.vendor.lower() == maker
        and set(words) <= set(re.findall(r"[a-z0-9]+", d.name.lower()))
        and abs(d.memory / each - 1) < NEAR
    ]
    return min(alike, key=lambda d: ("-sxm" not in d.id and "server" not in d.id, len(d.name)), default=None)
