"""Bytes of GGUF tensors: by the table of types, and of types that it lacks by where the next tensor begins."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from calculator.formats.ggml import FORKS, GGML_TYPES, REUSED, GgmlType
from calculator.sources.checkpoint.tensors import StoredTensor

BLOCKS = (32, 64, 128, 256)


class Misplaced(Exception):
    """Tensors that lie in no order that the format allows; the text says which."""


class Info(NamedTuple):
    """A tensor as the header lists it: the shape with the inputs last, the number of its type, where its data begin."""

    name: str
    shape: tuple[int, ...]
    number: int
    offset: int

    @property
    def elements(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)


def sized(infos: Sequence[Info], file: str, alignment: int, data: int | None) -> tuple[StoredTensor, ...]:
    """The tensors in the header's order, with their bytes.

    Args:
        alignment: data begin at its multiples. data: bytes of the file after its header, None where not known.

    Raises:
        Misplaced: names that are not unique, rows that are no whole blocks, data that overlap or that the file lacks.
    """
    rooms = _rooms(infos, alignment, data)
    found: dict[str, tuple[str, int]] = {}
    unknown: dict[int, list[Info]] = defaultdict(list)
    for info in infos:
        kind = GGML_TYPES.get(info.number)
        if kind is not None and _fits(info, kind, rooms[info.name], alignment):
            found[info.name] = kind.name, _size(info, kind)
        elif kind is not None and info.number not in REUSED:
            _check_blocks(info, kind)
            found[info.name] = kind.name, _size(info, kind)
        else:
            unknown[info.number].append(info)
    for number, same in unknown.items():
        sizes = _by_offsets(same, rooms, alignment)
        found |= {info.name: (_named(number), size) for info, size in zip(same, sizes, strict=True)}
    _check(infos, {name: size for name, (_, size) in found.items()}, data)
    return tuple(StoredTensor(i.name, found[i.name][0], i.shape, found[i.name][1], file) for i in infos)


def _named(number: int) -> str:
    return FORKS.get(number, f"GGML type {number}")


def _rooms(infos: Iterable[Info], alignment: int, data: int | None) -> dict[str, int | None]:
    """name -> bytes up to the next tensor or the end, padding included; None where the end is not known."""
    ordered = sorted(infos, key=lambda info: info.offset)
    rooms: dict[str, int | None] = {}
    for i, info in enumerate(ordered):
        if info.name in rooms:
            raise Misplaced(f"it has tensor {info.name[:100]!r} twice")
        if info.offset % alignment:
            raise Misplaced(f"the data of tensor {info.name[:100]!r} are out of place")
        end = ordered[i + 1].offset if i + 1 < len(ordered) else data
        rooms[info.name] = None if end is None else end - info.offset
    return rooms


def _size(info: Info, kind: GgmlType) -> int:
    return info.elements // kind.block * kind.size


def _fits(info: Info, kind: GgmlType, room: int | None, alignment: int) -> bool:
    """Whether the type's size is the tensor's room, but for the padding; True where the room is not known."""
    if info.shape[-1] % kind.block:
        return False
    return room is None or 0 <= room - _size(info, kind) < alignment


def _check_blocks(info: Info, kind: GgmlType) -> None:
    if info.shape[-1] % kind.block:
        said = f"{info.shape[-1]:,} columns, which are no whole blocks of {kind.block} ({kind.name})"
        raise Misplaced(f"tensor {info.name[:100]!r} has {said}")


def _by_offsets(same: Sequence[Info], rooms: dict[str, int | None], alignment: int) -> list[int]:
    """Bytes of tensors of one type: whole blocks of one size where every room agrees with it, the rooms where none
    does (types with a number for each row)."""
    known = [(info, room) for info in same if (room := rooms[info.name]) is not None]
    if not known:
        raise Misplaced(f"the size of tensor {same[0].name[:100]!r}, of type {same[0].number}, cannot be read off it")
    largest, most = max(known, key=lambda pair: pair[0].elements)
    for block in BLOCKS:
        size = most * block // largest.elements if largest.elements else 0
        kind = GgmlType(same[0].number, _named(same[0].number), block, size)
        if size and all(_fits(info, kind, room, alignment) for info, room in known):
            return [_size(info, kind) for info in same]
    missing = next((info for info in same if rooms[info.name] is None), None)
    if missing is not None:
        raise Misplaced(f"the size of tensor {missing.name[:100]!r}, of type {missing.number}, cannot be read off it")
    return [room for _, room in known]


def _check(infos: Iterable[Info], sizes: dict[str, int], data: int | None) -> None:
    """Data begin where the alignment says, one tensor after another, within the file."""
    end = 0
    for info in sorted(infos, key=lambda info: info.offset):
        if info.offset < end or sizes[info.name] < 0:
            raise Misplaced(f"the data of tensor {info.name[:100]!r} are out of place")
        end = info.offset + sizes[info.name]
    if data is not None and end > data:
        raise Misplaced(f"it is cut short: the tensors take {end:,} bytes and the file has {max(data, 0):,} for them")
