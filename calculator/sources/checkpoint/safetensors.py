"""safetensors headers, read strictly: eight bytes with the header's length, and the header, a JSON object.

Format: https://github.com/huggingface/safetensors (README.md, "Format"; limits in safetensors/src/tensor.rs).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import Any

from calculator.errors import CheckpointError, MissingFileError, shown
from calculator.sources.checkpoint.files import LONGEST_INDEX, Files, one
from calculator.sources.checkpoint.tensors import StoredTensor

LONGEST_HEADER = 100_000_000
"""Bytes, the format's own limit."""

LONGEST_NAME = 1000
FIRST_READ = 100_000
"""Bytes of a file that are asked for first; most headers are shorter."""

MARKS = 16
"""Commas and brackets of a tensor in a header, rather too many."""

MOST_SHARDS = 1_000
SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"

BITS = {
    "BOOL": 8,
    "F4": 4,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "U8": 8,
    "I8": 8,
    "F8_E5M2": 8,
    "F8_E4M3": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I16": 16,
    "U16": 16,
    "F16": 16,
    "BF16": 16,
    "I32": 32,
    "U32": 32,
    "F32": 32,
    "C64": 64,
    "F64": 64,
    "I64": 64,
    "U64": 64,
}
"""Bits of an element."""

Found = tuple[tuple[StoredTensor, ...], dict[str, str]]


def parse_header(header: bytes, file: str, data: int | None = None) -> Found:
    """The tensors and the metadata of a header; `data` is the length of what follows it, where that is known.

    Raises:
        CheckpointError: the header breaks a rule of the format.
    """
    try:
        parsed = json.loads(header.decode("utf-8"), object_pairs_hook=partial(_unique, file), parse_int=_integer)
    except UnicodeDecodeError:
        raise _broken(file, "its header is not UTF-8") from None
    except (ValueError, RecursionError):
        raise _broken(file, "its header is not JSON") from None
    return parse_entries(parsed, file, data)


def parse_entries(parsed: Any, file: str, data: int | None = None) -> Found:
    """The same of a header that is already parsed.

    Raises:
        CheckpointError: the header breaks a rule of the format.
    """
    if not isinstance(parsed, dict):
        raise _broken(file, "its header is not a JSON object")
    metadata = parsed.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise _broken(file, "its __metadata__ is not an object of texts")
    placed = sorted((_entry(file, name, entry) for name, entry in parsed.items()), key=lambda found: found[1:])
    end = 0
    for tensor, start, stop in placed:
        if start != end:
            what = "overlaps another" if start < end else "leaves a gap before it"
            raise _broken(file, f"tensor {tensor.name!r} {what} (its data begin at byte {start:,}, not {end:,})")
        end = stop
    if data is not None and end != data:
        what = "cut short" if end > data else "longer than its header says"
        raise _broken(file, f"it is {what}: the tensors take {end:,} bytes and {data:,} follow the header")
    return tuple(tensor for tensor, _, _ in placed), metadata


def _unique(file: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise _broken(file, f"its header has {twice[:100]!r} twice")
    return found


def _entry(file: str, name: str, entry: Any) -> tuple[StoredTensor, int, int]:
    """A tensor with where its data begin and end."""
    if len(name) > LONGEST_NAME:
        raise _broken(file, f"the name of a tensor has {len(name):,} characters")
    try:
        dtype, shape, (start, stop) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError):
        raise _broken(file, f"tensor {name[:100]!r} lacks its dtype, shape or data_offsets") from None
    if not isinstance(dtype, str) or dtype not in BITS:
        raise _broken(file, f"tensor {name[:100]!r} has the type {str(dtype)[:20]!r}, which the format does not have")
    if not isinstance(shape, list) or len(shape) > 100 or not all(map(_whole, (*shape, start, stop))):
        raise _broken(file, f"the shape or the data_offsets of tensor {name[:100]!r} are no whole numbers")
    bits = math.prod(shape) * BITS[dtype]
    if bits != (stop - start) * 8:
        taken = f"{bits / 8:,.15g}" if bits < 2**64 else shown(bits // 8)
        said = f"{dtype} of shape {shown(shape)} takes {taken} bytes, and its data_offsets hold "
        said += f"{stop - start:,}"
        raise _broken(file, f"tensor {name[:100]!r} does not add up: {said}")
    return StoredTensor(name, dtype, tuple(shape), stop - start, file), start, stop


def _integer(digits: str) -> int:
    """A whole number; of those that no 64 bits hold, one that is refused later."""
    return int(digits) if len(digits) < 25 else 2**63


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _broken(file: str, what: str) -> CheckpointError:
    return CheckpointError(f"The file {file} is no usable safetensors file: {what}. Download or save it again.")


def read_header(files: Files, file: str) -> Found:
    """The tensors and the metadata of one file, of which no more than the header is read."""
    body, total = files.read(file, 0, FIRST_READ)
    if len(body) < 8:
        raise _broken(file, f"it has {len(body)} bytes, fewer than the length of a header takes")
    length = int.from_bytes(body[:8], "little")
    if length > LONGEST_HEADER:
        said = f"it claims a header of {length:,} bytes, and at most {LONGEST_HEADER:,} are allowed"
        raise _broken(file, said)
    if total is not None and length + 8 > total:
        raise _broken(file, f"it is cut short: the header alone takes {length + 8:,} bytes and the file has {total:,}")
    files.budget.take(length)
    header = body[8 : 8 + length]
    if len(header) < length:
        header += files.read(file, 8 + len(header), length - len(header))[0]
    if len(header) < length:
        raise _broken(file, "it ends within its header")
    marks = sum(header.count(mark) for mark in (b",", b"[", b"{"))
    files.budget.take(tensors=max(header.count(b'"data_offsets"'), marks // MARKS))
    return parse_header(header, file, None if total is None else total - 8 - length)


def read_files(files: Files, names: list[str]) -> Found:
    """The tensors and the metadata of several files as one."""
    return _joined(files, files.all([partial(read_header, files, name) for name in names]))


def _joined(files: Files, read: list[Found]) -> Found:
    tensors = tuple(tensor for found, _ in read for tensor in found)
    metadata = {key: value for _, found in read for key, value in found.items()}
    seen: dict[str, str] = {}
    for tensor in tensors:
        if tensor.name in seen:
            raise CheckpointError(
                f"{files.name} holds tensor {tensor.name!r} in {seen[tensor.name]} and in {tensor.file}; give the "
                "path of one of them, or a folder with one checkpoint."
            )
        seen[tensor.name] = tensor.file
    return tensors, metadata


def read_indexed(files: Files, index: str = INDEX) -> Found:
    """The tensors of the shards that an index lists.

    Raises:
        CheckpointError: the index is no index, a shard is missing, or the two do not hold the same tensors.
    """
    body = files.whole(index, min(LONGEST_INDEX, files.budget.bound.header_bytes))
    files.budget.take(len(body))
    files.budget.take(tensors=body.count(b",") // 4)
    places = _weight_map(files, body, index)
    shards = sorted(set(places.values()))
    try:
        tensors, metadata = read_files(files, shards)
    except MissingFileError as error:
        raise CheckpointError(f"A shard that {index} lists is missing: {error}") from error
    stored = {tensor.name: tensor.file for tensor in tensors}
    for name, shard in places.items():
        if stored.get(name) != shard:
            where = f"{stored[name]} holds it" if name in stored else "no shard holds it"
            raise CheckpointError(f"The {index} of {files.name} says that {name!r} is in {shard}, but {where}.")
    extra = next((name for name in stored if name not in places), None)
    if extra is not None:
        raise CheckpointError(f"The file {stored[extra]} of {files.name} holds {extra!r}, which {index} does not list.")
    return tensors, metadata


def _weight_map(files: Files, body: bytes, index: str) -> Mapping[str, str]:
    try:
        places = json.loads(body)["weight_map"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CheckpointError(f"The {index} of {files.name} is no JSON object with a weight_map.") from None
    usable = isinstance(places, dict) and places and all(map(_is_plain, places.values()))
    if not usable or len(set(places.values())) > MOST_SHARDS:
        said = f"The {index} of {files.name} names something other than safetensors files in its folder."
        raise CheckpointError(said)
    found: Mapping[str, str] = places
    return found


def _is_plain(name: Any) -> bool:
    """Whether it is the name of a safetensors file in the same folder."""
    return isinstance(name, str) and bool(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]{0,200}\.safetensors", name))


def read_model(files: Files) -> Found:
    """The checkpoint of a folder or repository: model.safetensors, the shards of model.safetensors.index.json, else
    what its list of files holds.

    Raises:
        MissingFileError: it holds no safetensors file.
    """
    try:
        return one(files, partial(read_header, files, SINGLE))
    except MissingFileError:
        pass
    together = files.headers(INDEX)
    if together is not None:
        return _joined(files, [parse_entries(header, file) for file, header in together.items()])
    try:
        return read_indexed(files)
    except MissingFileError:
        pass
    return read_files(files, listed(files))


def listed(files: Files) -> list[str]:
    """The safetensors files that make one checkpoint; Mistral's consolidated ones only where there is nothing else."""
    found = sorted(name for name in files.listing() if _is_plain(name) and not name.startswith("adapter_"))
    named = [name for name in found if not name.startswith("consolidated")] or found
    if not named:
        raise MissingFileError(
            f"{files.name} holds no safetensors file at the top; the headers of other formats are not read."
        )
    sharded = [name for name in named if re.search(r"-\d{5}-of-\d{5}\.safetensors$", name)]
    if sharded:
        named = [name for name in sharded if name.rsplit("-", 3)[0] == sharded[0].rsplit("-", 3)[0]]
        count = int(named[0][-17:-12])
        if len(named) != count:
            raise CheckpointError(f"{files.name} holds {len(named)} of the {count} shards that {named[0]} is one of.")
    return named
