"""The catalogue of accelerators, by id, by name and by what drivers call them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from calculator.config import DATA
from calculator.errors import DeviceError
from calculator.hardware.record import Device
from calculator.limits import remembered
from calculator.numbers.units import GB, GIB, MIB

CUSTOM = ("name", "memory_gib", "bandwidth_gb_s", "peak_tflops")
"""The fields that a device of one's own must have."""
NEAR = 0.1
"""Of the memory that a device is sold with, and what its driver reports or a seller rounds."""


@cache
def devices() -> tuple[Device, ...]:
    """All devices of the catalogue."""
    found = json.loads((DATA / "devices.json").read_text(encoding="utf-8"))
    return tuple(_read(row, found["sources"]) for row in found["devices"])


def device(named: str | Device | Mapping[str, Any]) -> Device:
    """A device by its id ("h200-sxm-141gb"), name ("H200") or the driver's string ("NVIDIA H100 80GB HBM3"); "local",
    the first of this machine; or one of one's own, as a mapping or the path of a JSON file with
    `name`, `memory_gib`, `bandwidth_gb_s` and `peak_tflops` (format -> TFLOP/s), and any of `link_gb_s`, `domain`,
    `node`, `network_gbit_s`, `units`, `watts`, `price`.

    Raises:
        DeviceError: no such device, or several.
    """
    if isinstance(named, Device):
        return named
    if isinstance(named, str) and named.strip().lower() == "local":
        return local_devices()[0]
    if isinstance(named, Mapping):
        return _own(named)
    text = str(named).strip()
    if text.endswith(".json"):
        return _own(_parsed(Path(text)))
    found = _matches(text)
    if len(found) == 1:
        return found[0]
    if found:
        which = ", ".join(d.id for d in found)
        raise DeviceError(f"{text!r} is the name of several devices; choose one of {which}.")
    raise DeviceError(f"Device {text[:80]!r} is not known; {_nearest(text)}")


def local_devices() -> list[Device]:
    """All accelerators of this machine, with the memory that their driver reports.

    Raises:
        DeviceError: none was found, or one that the catalogue does not know.
    """
    from calculator.hardware.local import accelerators

    return [replace(_driven(a.name, a.cores), memory=a.memory, memory_is="driver") for a in accelerators()]


def _driven(name: str, cores: int | None) -> Device:
    """The device of a driver's string; of an Apple chip sold with two numbers of GPU cores, the one with these."""
    chip = name.removeprefix("Apple ")
    alike = [d for d in devices() if d.vendor == "Apple" and d.name.split(" (")[0] == chip] if chip != name else []
    exact = [d for d in alike if d.name.endswith(f"({cores}c)")]
    return (exact or alike or [device(name)])[0]


@remembered(256, longest=80)
def _matches(text: str) -> list[Device]:
    """The devices of that name, for which all names are looked through: by id, by the driver's string, by the name
    without its memory, in that order."""
    key = _key(text)
    by_id = [d for d in devices() if _key(d.id) == key]
    if by_id:
        return by_id
    by_driver = [d for d in devices() if any(_key(name) == key for name in d.drivers)]
    if by_driver:
        return by_driver
    by_name = [d for d in devices() if key in (_key(d.name), _key(f"{d.vendor} {d.name}"))]
    if by_name:
        return by_name
    said = _letters(key)
    short = [d for d in devices() if said in map(_letters, _short_names(d))]
    sized = re.fullmatch(r"(.+?)[ -](\d{1,4}) ?gi?b?", key)
    if not short and sized:  # "L40S 48GB", whose id has no memory
        alike = [d for d in devices() if _letters(sized[1]) in map(_letters, _short_names(d))]
        short = [d for d in alike if abs(d.memory / (int(sized[2]) * GB) - 1) < NEAR]
    if key.startswith("nvidia "):
        return short  # as drivers write, and none writes "NVIDIA H100" alone: of several boards it may be any
    # Of several boards of one chip (H200 SXM, NVL, PCIe) the one of servers with links of their own is meant.
    linked = [d for d in short if "-sxm" in d.id]
    return linked if len(linked) == 1 and len({_chip(d) for d in short}) == 1 else short


def _key(text: str) -> str:
    return re.sub(r"[\s_/]+", " ", text.strip().lower())


def _letters(key: str) -> str:
    """Without what people leave out or add: "rtx4090", "a100-80gb", "m4-max", "H100 SXM5 80G"."""
    bare = re.sub(r"[^a-z0-9.]+", "", key)
    return re.sub(r"(\d)g$", r"\1gb", re.sub(r"sxm\d", "sxm", bare))


def _short_names(found: Device) -> set[str]:
    """An id without memory and socket ("h200", "a100 80gb"), and a card without its family ("4090")."""
    words = found.id.split("-")
    memory = [w for w in words if re.fullmatch(r"\d+gb", w)]
    chip = [w for w in words if w not in memory]
    bare = [w for w in chip if w not in ("sxm", "sxm2", "sxm4", "pcie", "nvl", "nvl72")]
    lone = bare[1:] if bare[0] in ("rtx", "apple") else bare
    forms = {" ".join(bare), " ".join([*bare, *memory]), " ".join(chip), " ".join(lone), " ".join(words)}
    return {f for form in forms if form for f in (form, f"nvidia {form}")}


def _chip(found: Device) -> str:
    return re.split(r"-(?:sxm|pcie|nvl)", found.id)[0]


def _nearest(text: str) -> str:
    import difflib

    names = {d.id: d.id for d in devices()} | {name.lower(): d.id for d in devices() for name in (d.name, *d.drivers)}
    begun = [names[n] for n in names if _letters(text.lower()) and _letters(n).startswith(_letters(text.lower()))]
    near = dict.fromkeys([*begun, *(names[n] for n in difflib.get_close_matches(text.lower(), names, 6, 0.3))])
    if not near:
        return "see calculator.devices(), or give a device of your own: name, memory_gib, bandwidth_gb_s, peak_tflops."
    return f"the nearest are {', '.join(list(near)[:4])}. A device of your own is a JSON file with {', '.join(CUSTOM)}."


def _read(row: Mapping[str, Any], sources: list[str]) -> Device:
    sold = row["memory_sold_gb"]
    driver = row.get("memory_mib")
    # Without a driver's figure: HBM of AMD and unified memory are sold in GiB (MI300X: 192 GB are 191.7 GiB in torch).
    unit = GB if row["vendor"] == "NVIDIA" and "unified" not in row["memory_type"] else GIB
    memory = driver * MIB if driver else int(sold * unit)
    prices = row.get("usd_per_hour", {}).get("values", {})
    return Device(
        id=row["id"],
        name=row["name"],
        memory=memory,
        bandwidth=row["bandwidth_gb_s"] * 1e9,
        peak={k: v * 1e12 for k, v in row["peak_tflops"].items()},
        vendor=row["vendor"],
        year=row["year"],
        category=row["category"],
        memory_type=row["memory_type"],
        memory_is="driver" if driver else "sold",
        link=row.get("link_gb_s", 0) * 1e9,
        pair=row.get("pair_gb_s", 0) * 1e9,
        link_type=row.get("link", ""),
        domain=row.get("domain") or 1,
        node=row.get("node") or 1,
        network=row.get("network_gbit_s", 0) * 1e9 / 8,
        host_link=row.get("host_link_gb_s", 0) * 1e9,
        units=row.get("units") or 0,
        watts=row.get("watts") or 0,
        capability=str(row.get("capability", "")),
        price=median(prices.values()) if prices else 0.0,
        prices=prices,
        drivers=tuple(row.get("drivers", ())),
        confidence=row["confidence"],
        sources={k: tuple(sources[n] for n in v) for k, v in row["sources"].items()},
        notes=row.get("notes", ""),
    )


def _parsed(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MIB:
            raise DeviceError(f"{str(path)!r} is larger than 1 MiB, so it describes no device.")
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeviceError(f"{str(path)!r} is no JSON file that could be read ({error}).") from error
    if not isinstance(found, Mapping):
        raise DeviceError(f"{str(path)!r} holds no JSON object; a device has {', '.join(CUSTOM)}.")
    return found


def _own(row: Mapping[str, Any]) -> Device:
    """A device of one's own."""
    missing = [name for name in CUSTOM if name not in row]
    if missing:
        raise DeviceError(f"A device of your own needs {', '.join(CUSTOM)}; {', '.join(missing)} is missing.")

    def number(name: str, default: float = 0.0) -> float:
        value = row.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
            raise DeviceError(f"{name} of a device must be a number, 0 or more, not {value!r}.")
        return float(value)

    peaks = row["peak_tflops"]
    if (
        not isinstance(peaks, Mapping)
        or not peaks
        or not all(isinstance(v, int | float) and 0 < v < 1e9 for v in peaks.values())
    ):
        raise DeviceError('peak_tflops of a device names formats with their dense TFLOP/s, for instance {"bf16": 989}.')
    return Device(
        id=str(row.get("id", row["name"]))[:60],
        name=str(row["name"])[:60],
        memory=int(number("memory_gib") * GIB),
        bandwidth=number("bandwidth_gb_s") * 1e9,
        peak={str(k): float(v) * 1e12 for k, v in peaks.items()},
        memory_type=str(row.get("memory_type", ""))[:20],
        link=number("link_gb_s") * 1e9,
        pair=number("link_gb_s") * 1e9,
        domain=int(number("domain", number("node", 1))) or 1,
        node=int(number("node", 1)) or 1,
        network=number("network_gbit_s") * 1e9 / 8,
        host_link=number("host_link_gb_s") * 1e9,
        units=int(number("units")),
        watts=number("watts"),
        price=number("price"),
        confidence="given",
    )
