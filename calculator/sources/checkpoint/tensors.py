"""What a checkpoint's headers say: tensors with their types, shapes and bytes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from calculator.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor as a file's header lists it: the type as the format spells it (F8_E4M3, U8, Q4_K), the shape with the
    inputs last, and exactly the bytes that its data take."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nbytes: int
    file: str

    @property
    def elements(self) -> int:
        """Elements of the tensor."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class Checkpoint:
    """The headers of a checkpoint's files.

    Attributes:
        name: what it is called. source: where it was read, for people.
        format: "safetensors" or "gguf".
        metadata: what the files say beside their tensors.
        config: the parsed config.json beside them, None where there is none.
    """

    name: str
    source: str
    format: str
    tensors: tuple[StoredTensor, ...] = field(repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)
    config: Mapping[str, Any] | None = field(default=None, repr=False)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of tensor data, headers and padding left out."""
        return sum(t.nbytes for t in self.tensors)

    @cached_property
    def elements(self) -> int:
        """Elements as they are stored: several quantized weights may share one."""
        return sum(t.elements for t in self.tensors)

    @cached_property
    def by_dtype(self) -> Mapping[str, int]:
        """type -> bytes, the largest first."""
        found: dict[str, int] = {}
        for t in self.tensors:
            found[t.dtype] = found.get(t.dtype, 0) + t.nbytes
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @cached_property
    def files(self) -> tuple[str, ...]:
        """The files the tensors are in."""
        return tuple(dict.fromkeys(t.file for t in self.tensors))

    @cached_property
    def _by_name(self) -> Mapping[str, StoredTensor]:
        return {t.name: t for t in self.tensors}

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    def tensor(self, name: str) -> StoredTensor:
        """The tensor of that name.

        Raises:
            CheckpointError: there is none.
        """
        if name not in self._by_name:
            raise CheckpointError(f"{self.name} holds no tensor {name!r}; it has {len(self.tensors):,} others.")
        return self._by_name[name]
