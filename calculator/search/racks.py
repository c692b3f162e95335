"""Racks and machines that are sold whole, and the traffic that is asked of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from calculator.config import DATA
from calculator.errors import WorkloadError, choose, shown
from calculator.hardware import Device


@dataclass(frozen=True)
class Rack:
    """A machine or rack that is sold whole.

    Attributes:
        device: its device's id, or a Device; devices: how many. watts: of the whole, 0 where that is not known.
            source: where that was read.
    """

    id: str
    name: str
    device: str | Device
    devices: int
    watts: int
    source: str


@cache
def racks() -> tuple[Rack, ...]:
    """The racks and machines that are known."""
    return tuple(Rack(**row) for row in _read()["racks"])


@cache
def _read() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DATA / "racks.json").read_text(encoding="utf-8"))
    return read


def rack_named(named: str | Rack) -> Rack:
    """A rack by its id.

    Raises:
        WorkloadError: there is none of that name.
    """
    if isinstance(named, Rack):
        return named
    key = str(named).lower()
    key = _read()["also"].get(key, key)
    for rack in racks():
        if rack.id == key:
            return rack
    raise WorkloadError(f"Rack {named!r} is not known; {choose(named, (r.id for r in racks()))}")


@dataclass(frozen=True)
class Traffic:
    """What is asked of the rack.

    Attributes:
        prompt_length, output_length: tokens of a request. requests_per_second: that arrive; None: as many as it can.
        ttft, tpot: seconds that the first and each further token may take. prefix_hit: the share of the prompt that is
            found in the cache.
    """

    prompt_length: int = 4096
    output_length: int = 1024
    requests_per_second: float | None = None
    ttft: float = 2.0
    tpot: float = 0.05
    prefix_hit: float = 0.0

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "requests_per_second" and value is None:
                continue
            if f.name == "prefix_hit":
                if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
                    raise WorkloadError(
                        f"prefix_hit of the traffic must be a share from 0 to below 1, not {shown(value)}."
                    )
                continue
            whole = f.name.endswith("_length")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not 0 < value <= 1e9:
                kind = "a whole number of tokens" if whole else "a number"
                raise WorkloadError(f"{f.name} of the traffic must be {kind} above 0, up to 10^9, not {shown(value)}.")

    @staticmethod
    def of(said: Traffic | Mapping[str, Any] | None) -> Traffic:
        """Traffic from its fields by name.

        Raises:
            WorkloadError: there is no such field.
        """
        if isinstance(said, Traffic):
            return said
        given = dict(said or {})
        known = [f.name for f in fields(Traffic)]
        for name in given:
            if name not in known:
                raise WorkloadError(f"Traffic has no {name!r}; {choose(name, known)}")
        return Traffic(**given)
