"""A device as the command line names it: of the catalogue, rented by the hour, or no more than an amount of memory."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from calculator.errors import DeviceError
from calculator.numbers.units import GB, GIB, MIB

if TYPE_CHECKING:
    from calculator.hardware import Device

RENTED = "hf:"
"""Before the name of a machine that Hugging Face rents, for its Jobs or its Inference Endpoints."""
SEVERAL = re.compile(r"(\d{1,4})\s*[x×*]\s*(\S.*)|(.*\S)\s*[x×*]\s*(\d{1,4})")
"""8x4090, 2 × h100, "H100 80GB x 2"."""


AMOUNT = re.compile(r"(\d{1,18}(?:\.\d{1,9})?)\s*(GiB|GB|MiB|MB)", re.IGNORECASE)
"""80GiB, 24 GB."""


def named_device(said: str) -> Device:
    """A device by its name, or of a machine that Hugging Face rents ("hf:a100-large").

    Raises:
        CalculatorError: no such device, or several.
    """
    from calculator.hardware import device
    from calculator.hardware.rented import rented_device

    if said.startswith(RENTED):
        return rented_device(said.removeprefix(RENTED))
    try:
        return device(said)
    except DeviceError as error:
        raise _otherwise(said) or error from None


def _otherwise(said: str) -> DeviceError | None:
    """The error where a number of devices was named, a list of them, no more than an amount of memory, or whichever
    this machine has; None where none of these was."""
    found = SEVERAL.fullmatch(said.strip())
    if found is not None:
        count, one = found[1] or found[4], found[2] or found[3]
        return DeviceError(
            f"{said.strip()[:80]!r} is a number of devices; name {one[:80]} alone and give --tp {count}, or "
            f"--devices {count} with --solve and --serve."
        )
    if AMOUNT.fullmatch(said.strip()):
        return DeviceError(
            f"{said.strip()[:80]} is an amount of memory, which has no speed; --fits asks whether a model fits it, or "
            "name a device of --list-devices."
        )
    if said.strip().lower() in ("cuda", "gpu", "mps", "auto"):
        return DeviceError(f"{said.strip()!r} names no device; give one of --list-devices, or local for one here.")
    if "," in said:
        return DeviceError(f"{said[:80]!r} are several devices; name one, and ask again for each other.")
    return None


def any_device(said: str) -> Device:
    """A device as `named_device` knows it, or one of so much memory ("80GiB", "24 GB").

    Raises:
        CalculatorError: no such device.
    """
    from calculator.hardware import Device

    match = re.fullmatch(r"\s*(\d{1,18}(?:\.\d{1,9})?)\s*(GiB|GB|MiB|MB|[GM]|)\s*", said, re.IGNORECASE)
    number, unit = match.groups() if match else ("", "")
    if len(unit) < 2:
        try:
            return named_device(said)  # 4090 is a card
        except DeviceError as error:
            if not number:
                raise
            told = f"A device of so much memory is written {number}GiB (2^30 bytes) or {number}GB (10^9)."
            raise DeviceError(told) from error
    units = {"gib": GIB, "gb": GB, "mib": MIB, "mb": 10**6}
    size = round(float(number) * units[unit.lower()])
    return Device(id=said.strip().lower(), name=f"a device of {said.strip()}", memory=size, bandwidth=1.0, peak={})
