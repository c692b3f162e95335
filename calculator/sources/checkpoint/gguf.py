"""GGUF headers, versions 2 and 3: metadata and tensor infos, of which nothing but themselves is read.

Format: ggml-org/ggml, docs/gguf.md.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from calculator.errors import CheckpointError, MissingFileError, SourceError
from calculator.numbers.units import GIB
from calculator.sources.checkpoint.files import Files
from calculator.sources.checkpoint.offsets import Info, Misplaced, sized
from calculator.sources.checkpoint.safetensors import LONGEST_NAME
from calculator.sources.checkpoint.tensors import StoredTensor

LONGEST_HEADER = 200_000_000  # bytes; vocabularies of 260,000 tokens with their merges take some 15 MB
FIRST_READ = 1_000_000
MOST_TENSORS, MOST_PAIRS = 1_000_000, 100_000
KEPT = 4096
"""Entries of an array that is kept; of longer ones, vocabularies, only the length is (as an `Omitted`)."""

MOST_ENTRIES = 2_000_000
"""Of all arrays that are read entry by entry: a vocabulary of 260,000 tokens with its merges has 800,000."""

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY = 8, 9
SPLIT = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)


@dataclass(frozen=True)
class Omitted:
    """An array too long to be kept."""

    length: int


@dataclass
class _Reader:
    """The file's bytes in order, fetched in growing pieces."""

    files: Files
    file: str
    body: bytearray = field(default_factory=bytearray)
    place: int = 0
    total: int | None = None
    order: str = "<"
    entries: int = 0

    def take(self, count: int) -> bytes:
        end = self.place + count
        if end > len(self.body):
            self._fetch(end)
        found = bytes(self.body[self.place : end])
        self.place = end
        return found

    def _fetch(self, end: int) -> None:
        if end > LONGEST_HEADER:
            raise self.broken(f"its header takes more than {LONGEST_HEADER // 1_000_000} MB")
        if self.total is not None and end > self.total:
            raise self.broken("it ends within its header")
        count = max(end, 2 * len(self.body), FIRST_READ) - len(self.body)
        self.files.budget.take(end - len(self.body))
        more, self.total = self.files.read(self.file, len(self.body), count)
        self.body += more
        if end > len(self.body):
            raise self.broken("it ends within its header")

    def number(self, code: str) -> Any:
        size = struct.calcsize(f"{self.order}{code}")
        return struct.unpack(f"{self.order}{code}", self.take(size))[0]

    def count(self, most: int, what: str) -> int:
        found: int = self.number("Q")
        if found > most:
            raise self.broken(f"it claims {found:,} {what}, and at most {most:,} are read")
        return found

    def text(self) -> str:
        try:
            return self.take(self.count(LONGEST_HEADER, "bytes of a text")).decode("utf-8")
        except UnicodeDecodeError:
            raise self.broken("its header has a text that is not UTF-8") from None

    def value(self, kind: int, nested: bool = False) -> Any:
        if kind in SCALARS:
            return self.number(SCALARS[kind])
        if kind == STRING:
            return self.text()
        if kind != ARRAY:
            raise self.broken(f"its metadata have a value of type {kind}, which the format does not have")
        if nested:  # which no model has and llama.cpp does not read
            raise self.broken("its metadata have an array inside an array, which is not read")
        inner = self.number("I")
        length = self.count(LONGEST_HEADER, "entries of an array")
        self.entries += min(length, KEPT) if inner in SCALARS else length
        if self.entries > MOST_ENTRIES:
            raise self.broken(f"its arrays have more than {MOST_ENTRIES:,} entries")
        if inner in SCALARS:
            code = f"{self.order}{length}{SCALARS[inner]}"
            data = self.take(struct.calcsize(code))
            return list(struct.unpack(code, data)) if length <= KEPT else Omitted(length)
        if length <= KEPT:
            return [self.value(inner, True) for _ in range(length)]
        if inner == STRING:
            self._skip_texts(length)
        else:
            for _ in range(length):
                self.value(inner, True)
        return Omitted(length)

    def _skip_texts(self, count: int) -> None:
        """Pass over texts without making them: vocabularies are most of a header."""
        order: Any = "little" if self.order == "<" else "big"
        for _ in range(count):
            if self.place + 8 > len(self.body):
                self._fetch(self.place + 8)
            self.place += 8 + int.from_bytes(self.body[self.place : self.place + 8], order)
            if self.place > len(self.body):
                self._fetch(self.place)

    def broken(self, what: str) -> CheckpointError:
        return CheckpointError(f"The file {self.file} is no usable GGUF file: {what}. Download or convert it again.")


Found = tuple[tuple[StoredTensor, ...], dict[str, Any]]


def read_header(files: Files, file: str) -> Found:
    """The tensors and the metadata of one file.

    Raises:
        CheckpointError: the header breaks a rule of the format, or is of a version that is not read.
    """
    reader = _Reader(files, file)
    if reader.take(4) != b"GGUF":
        raise reader.broken("it does not begin with the letters GGUF")
    version = int.from_bytes(reader.take(4), "little")
    if version & 0xFFFF == 0:  # the number is in the other order, and so is everything after it
        reader.order, version = ">", int.from_bytes(version.to_bytes(4, "little"), "big")
    if version not in (2, 3):
        raise reader.broken(f"it is of version {version}, and 2 and 3 are read")
    tensors = reader.count(MOST_TENSORS, "tensors")
    pairs = reader.count(MOST_PAIRS, "metadata entries")
    files.budget.take(tensors=tensors)
    metadata: dict[str, Any] = {}
    for _ in range(pairs):
        key = reader.text()
        if key in metadata:
            raise reader.broken(f"its metadata have {key[:100]!r} twice")
        metadata[key] = reader.value(reader.number("I"))
    infos = [_info(reader) for _ in range(tensors)]
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment < 1 or alignment > 2**20:
        raise reader.broken(f"its alignment is {alignment!r}")
    start = -(-reader.place // alignment) * alignment
    try:
        found = sized(infos, file, alignment, None if reader.total is None else reader.total - start)
    except Misplaced as error:
        raise reader.broken(str(error)) from None
    return found, metadata


def _info(reader: _Reader) -> Info:
    name = reader.text()
    if len(name) > LONGEST_NAME:
        raise reader.broken(f"the name of a tensor has {len(name):,} characters")
    axes = reader.number("I")
    if not 1 <= axes <= 8:
        raise reader.broken(f"tensor {name[:100]!r} has {axes} axes")
    sizes = [reader.number("Q") for _ in range(axes)]
    if not all(sizes):
        raise reader.broken(f"tensor {name[:100]!r} has an axis of no elements")
    if math.prod(sizes) >= 2**63:
        raise reader.broken(f"tensor {name[:100]!r} has {math.prod(sizes):,} elements")
    # The file lists the axis that is contiguous first.
    return Info(name, tuple(reversed(sizes)), reader.number("I"), reader.number("Q"))


def read_split(files: Files, file: str) -> Found:
    """The tensors and the metadata of a file, or of all the files that it is one of."""
    names = parts_of(file)
    try:
        read = files.all([partial(read_header, files, name) for name in names])
    except MissingFileError as error:
        if len(names) == 1:
            raise
        raise CheckpointError(f"A part of {file} is missing: {error}") from error
    tensors = tuple(tensor for found, _ in read for tensor in found)
    metadata = read[0][1]
    if len({t.name for t in tensors}) < len(tensors):
        raise CheckpointError(f"Two of the parts of {file} hold a tensor of the same name.")
    stated = metadata.get("split.tensors.count")
    if len(names) > 1 and isinstance(stated, int) and stated != len(tensors):
        raise CheckpointError(f"The parts of {file} hold {len(tensors):,} tensors, and {stated:,} are stated.")
    return tensors, metadata


def parts_of(file: str) -> list[str]:
    """The files that a file with "-00001-of-00003" in its name is one of."""
    said = SPLIT.fullmatch(file)
    if said is None:
        return [file]
    if not 1 <= int(said[2]) <= int(said[3]) <= 1000:
        raise SourceError(f"{file!r} is no part of a split GGUF file.")
    return [f"{said[1]}-{i:05d}-of-{said[3]}.gguf" for i in range(1, int(said[3]) + 1)]


def choices(listing: Mapping[str, int]) -> dict[str, int]:
    """The models among a listing's GGUF files with their bytes, split ones by their first part; projectors for images
    (mmproj) and importance matrices are none."""
    found: dict[str, int] = {}
    for name, size in sorted(listing.items()):
        last = name.rpartition("/")[2].lower()
        if last.endswith(".gguf") and "mmproj" not in last and "imatrix" not in last:
            first = parts_of(name)[0] if SPLIT.fullmatch(name) else name
            found[first] = found.get(first, 0) + size
    return found


def chosen(files: Files, wanted: str | None, how: str) -> str:
    """The file of that name or quantization ("Q4_K_M"), the only one where none is named.

    Args:
        how: what to write instead, to choose one.

    Raises:
        MissingFileError: there is no GGUF file. SourceError: there are several, or none of that name.
    """
    listing = choices(files.listing())
    if not listing:
        raise MissingFileError(f"{files.name} holds no GGUF file.")
    if wanted is None:
        found = list(listing)
    else:
        found = [n for n in listing if wanted.lower() in (n.lower(), n.rpartition("/")[2].lower())]
        found = found or [n for n in listing if wanted in parts_of(n)]
        named = re.compile(rf"(?:^|[-_./]){re.escape(wanted)}(?=[-./]|$)", re.IGNORECASE)
        found = found or [n for n in listing if named.search(n.removesuffix(".gguf"))]
    if len(found) == 1:
        return found[0]
    first = [f"{name} ({size / GIB:.2f} GiB)" for name, size in list(listing.items())[:40]]
    shown = ", ".join(first) + (f" and {len(listing) - 40:,} more" if len(listing) > 40 else "")
    what = "several GGUF files" if wanted is None else f"no single GGUF file for {wanted!r}"
    raise SourceError(f"{files.name} holds {what}; choose one as {how}. It has {shown}.")
