"""Accelerators: what they hold, move and compute, and how they are linked."""

from __future__ import annotations

from calculator.hardware.catalogue import device, devices
from calculator.hardware.record import Device

__all__ = ["Device", "device", "devices"]
