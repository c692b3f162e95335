"""A model of bytes that runs most of its layers once for a patch of them (Byte Latent Transformer)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number, ceil_div, half
from calculator.numbers.symbols import Symbol
from calculator.parts.base import SOFTMAX_FLOPS, Part, project
from calculator.parts.norm import Norm
from calculator.parts.symbols import HEADS, HIDDEN, KV_HEADS
from calculator.record.run import Run
from calculator.record.split import HEAD, ROW


@dataclass(frozen=True)
class AtPatches(Part):
    """A part that runs once for every `patch` bytes."""

    part: Part
    patch: int

    def write(self, run: Run) -> None:
        self.part.write(at_patches(run, self.patch))


def at_patches(run: Run, patch: int) -> Run:
    """The same pass counted in patches. A single decode step ends one; of several, one in `patch` does."""
    return replace(
        run,
        queries=ceil_div(run.queries, patch),
        past=ceil_div(run.past, patch),
        steps=1 if run.steps == 1 else -(-run.steps // patch),
    )


@dataclass(frozen=True)
class Frozen(Part):
    """A part whose weights no training changes: it runs forward only, and keeps nothing for a backward pass."""

    part: Part

    def write(self, run: Run) -> None:
        self.part.write(replace(run, differentiated=False))


@dataclass(frozen=True)
class HashEmbedding(Part):
    """Rows of `tables` tables of hashed groups of bytes, one each a byte, added to its embedding."""

    rows: int
    size: int
    tables: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "rows": Symbol("V_h", "rows of a table of hashed groups"),
        "size": HIDDEN,
        "tables": Symbol("n_ht", "tables of hashed groups"),
    }

    def write(self, run: Run) -> None:
        elements = run.tokens * self.size
        run.add(
            self.name,
            "embedding",
            "lookup",
            flops=elements * self.tables,
            reads=elements * run.width,
            writes=elements * run.width,
            weights=(Weight(f"{self.name}.weight", (self.rows, self.size), "embedding"),),
            active_share=(self.tables, self.rows),
            weight_reads=elements * self.tables * run.width,
            stream=0,
        )


@dataclass(frozen=True)
class PatchAttention(Part):
    """Attention between bytes and patches, each patch standing for `each` vectors, with a norm of both sides inside and
    the queries added to the output: patches read their own bytes, or (`to_bytes`) bytes their own patch."""

    hidden: int
    heads: int
    kv_heads: int
    patch: int
    each: int
    to_bytes: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": HEADS,
        "kv_heads": KV_HEADS,
        "patch": Symbol("b_p", "bytes of a patch"),
        "each": Symbol("n_e", "vectors that a patch stands for"),
    }

    def write(self, run: Run) -> None:
        size = self.hidden // self.heads
        patches = at_patches(run, self.patch)
        bytes_, vectors = run.queries, patches.queries * self.each
        queries, keys = (bytes_, vectors) if self.to_bytes else (vectors, bytes_)
        Norm(self.path("q_norm"), self.hidden).write(run if self.to_bytes else patches)
        Norm(self.path("k_norm"), self.hidden).write(patches if self.to_bytes else run)
        for name, rows, outputs in (
            ("q_proj", queries, self.heads * size),
            ("k_proj", keys, self.kv_heads * size),
            ("v_proj", keys, self.kv_heads * size),
        ):
            project(
                run,
                self.path(name),
                self.hidden,
                outputs,
                component="attention",
                tokens=run.batch * rows,
                saves_input=name != "v_proj",
            )
        full = not run.decoding and run.workload.attention_flops == "full"
        doubled: Number = 2 * run.batch * (queries * keys if full else bytes_ * self.each)
        moved = run.batch * (2 * queries * self.heads + 2 * keys * self.kv_heads) * size * run.width
        run.add(
            self.path("attention"),
            "attention",
            "attention",
            flops=doubled * self.heads * 2 * size,
            reads=moved // 2,
            writes=run.batch * queries * self.heads * size * run.width,
            saved=moved,
            split=HEAD,
        )
        run.add(
            self.path("attention.softmax"),
            "attention",
            "elementwise",
            flops=half(SOFTMAX_FLOPS * doubled * self.heads),
            split=HEAD,
            stream=0,
        )
        project(
            run,
            self.path("o_proj"),
            self.heads * size,
            self.hidden,
            component="attention",
            split=ROW,
            tokens=run.batch * queries,
        )
