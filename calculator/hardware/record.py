"""The record of one accelerator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calculator.errors import DeviceError, shown

FASTER = {"nvfp4": "fp4", "mxfp4": "fp4", "fp4": "fp4", "fp8": "fp8", "int8": "int8", "int4": "int4", "fp32": "fp32"}
"""The peak that products in a format run at; what is not named runs at the 16-bit one."""


@dataclass(frozen=True)
class Device:
    """An accelerator. Amounts are bytes, FLOP/s and seconds.

    Attributes:
        id, name, vendor, year, category: which one it is.
        memory: bytes as the driver reports them, or, where `memory_is` says "sold", as the vendor sells them.
        bandwidth: bytes a second of its memory, as the vendor states it.
        peak: dense FLOP/s by format ("bf16", "fp8", "fp4", ...), as the vendor states them.
        link: bytes a second, in each direction, to the devices of its `domain`; pair: to one of them alone.
        link_type: what that link is. domain: devices that such links join. node: devices of one host.
        network: bytes a second of a device's share of the network between nodes. host_link: to its host's memory.
        units: streaming multiprocessors (compute units), 0 where not known. watts: thermal design power.
        price: an example of US dollars an hour on demand, 0 where none is known; prices: all that are, by seller.
        drivers: what the driver calls it. confidence: of the numbers, "high", "medium" or "low".
        sources: field -> where it was read. notes: what contradicts.
    """

    id: str
    name: str
    memory: int
    bandwidth: float
    peak: Mapping[str, float]
    vendor: str = ""
    year: int = 0
    category: str = "custom"
    memory_type: str = ""
    memory_is: str = "driver"
    link: float = 0.0
    pair: float = 0.0
    link_type: str = ""
    domain: int = 1
    node: int = 1
    network: float = 0.0
    host_link: float = 0.0
    units: int = 0
    watts: float = 0.0
    capability: str = ""
    price: float = 0.0
    prices: Mapping[str, float] = field(default_factory=dict)
    drivers: tuple[str, ...] = ()
    confidence: str = ""
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    notes: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        for name in ("memory", "bandwidth"):
            if not 0 < getattr(self, name) < 1e18:
                said = shown(getattr(self, name))
                raise DeviceError(f"A device's {name} must be more than 0 and less than 10^18 bytes, not {said}.")

    def peak_of(self, arithmetic: str) -> float:
        """Dense FLOP/s of products in a format. A format that the device has no units for runs at the next wider one.

        Raises:
            DeviceError: the vendor states no dense peak (Cerebras).
        """
        wanted = FASTER.get(arithmetic, "16 bit")
        order = {"fp4": ("fp4", "fp8", "16 bit"), "fp8": ("fp8", "16 bit"), "int8": ("int8", "16 bit")}
        for name in order.get(wanted, (wanted, "16 bit")):
            found = self._sixteen(arithmetic) if name == "16 bit" else self.peak.get(name)
            if found:
                return found
        if not self.peak:
            raise DeviceError(f"No dense peak of {self.name} is published, so no time can be computed for it.")
        return max(self.peak.values())

    def _sixteen(self, arithmetic: str) -> float:
        both = (self.peak.get("bf16"), self.peak.get("fp16"))
        first = both if arithmetic != "fp16" else both[::-1]
        return next((p for p in first if p), self.peak.get("fp32", 0.0))

    def ridge(self, arithmetic: str = "bf16") -> float:
        """FLOPs per byte above which products are bound by arithmetic."""
        return self.peak_of(arithmetic) / self.bandwidth

    def to_dict(self) -> dict[str, Any]:
        """Plain values, in bytes and FLOP/s."""
        names = ("id", "name", "vendor", "memory", "memory_is", "bandwidth", "link", "domain", "node", "price")
        return {name: getattr(self, name) for name in names} | {"peak": dict(self.peak)}
