"""Softmax attention: full, grouped-query and multi-query, with or without a window, and the cache it keeps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend, gate, rotate, sinks
from calculator.parts.base import Part, Pieces, project
from calculator.parts.heads import EVERYTHING, SEPARATE, UNBIASED, UNNORMED, Biases, Gate, HeadNorms, Heads, Names, Sees
from calculator.parts.norm import Norm
from calculator.parts.symbols import OF_HEADS, OUTPUTS, ROTATED, VALUE_DIM
from calculator.record.run import Run
from calculator.record.split import ROW
from calculator.record.vocabulary import ALIBI


@dataclass(frozen=True)
class Attention(Part):
    """Multi-head attention with `kv_heads` shared key and value heads (GQA, arXiv:2305.13245).

    Attributes:
        rotary: elements of each head that are rotated.
        value_dim: elements of a value head where they are not `head_dim` (MiMo-V2-Flash).
        output: features of the result where they are not `hidden` (Zamba 2).
        sinks: the tensor of one learned logit per head in the softmax's denominator (gpt-oss); "" for none.
        dropout: on the attention probabilities, in pretraining.
        shares_input: another part keeps the same input for the backward pass.
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int | None = None
    output: int | None = None
    rotary: int = 0
    sees: Sees = EVERYTHING
    names: Names = SEPARATE
    biases: Biases = UNBIASED
    norms: HeadNorms = UNNORMED
    gate: Gate | None = None
    sinks: str = ""
    dropout: bool = False
    shares_input: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = OF_HEADS | {
        "rotary": ROTATED,
        "value_dim": VALUE_DIM,
        "output": OUTPUTS,
    }

    def write(self, run: Run) -> None:
        value_dim = self.head_dim if self.value_dim is None else self.value_dim
        self._project(run, value_dim)
        self._normalise(run)
        if self.rotary:
            heads = self.heads + (0 if self.sees.shared else self.kv_heads)
            rotate(run, self.path("rotary"), heads * self.rotary)
        attend(
            run,
            self.path("attention"),
            Heads(self.heads, self.kv_heads, self.head_dim, value_dim),
            window=self.sees.window,
            dropout=self.dropout,
            caches=not self.sees.shared,
            chunked=self.sees.chunked,
            selected=self.sees.selected,
            layout=self._layout(run, value_dim) if run.saving else (0, 0),
            kernel=self.path(f"attention{ALIBI}") if self.sees.alibi else "",
        )
        if self.sinks:
            sinks(run, self.path("sinks"), self.path(self.sinks), self.heads)
        self._finish(run, self.heads * value_dim)

    def _finish(self, run: Run, outputs: Number) -> None:
        """The gate, the norm of the results and the output projection."""
        if self.gate is not None:
            if self.gate.name:
                gates = self.heads if self.gate.per_head else outputs
                name = self.path(self.gate.name)
                project(run, name, self.hidden, gates, component="attention", saves_input=False, pieces=self.heads)
            gate(run, self.path("gate"), outputs)
        if self.norms.out:
            Norm(self.path(self.norms.out), outputs).write(run)
        project(
            run,
            self.path(self.names.out),
            outputs,
            self.hidden if self.output is None else self.output,
            component="attention",
            bias=self.biases.out,
            split=ROW,
            pieces=self.heads,
            need="weight" if run.eager or self.gate or self.norms.out else "both",  # flash keeps it
        )

    def _layout(self, run: Run, value_dim: Number) -> tuple[Number, Number]:
        """Elements a token that modules apart keep because of how queries, keys and values lie in memory: a slice of a
        packed projection holds all of it; an output that lies head first is copied for what reads it."""
        rotated = bool(self.rotary)
        packed = self.heads * self.head_dim + self.kv_heads * self.head_dim if self.names.fused and rotated else 0
        partly = isinstance(self.rotary, int) and isinstance(self.head_dim, int) and 0 < self.rotary < self.head_dim
        return packed, self.heads * value_dim if run.modules.joined or partly else 0

    def _projections(self, value_dim: Number) -> tuple[tuple[str, Pieces], ...]:
        """name -> (features, pieces that stay whole on a device) of what it makes."""
        queries = self.heads * self.head_dim * (2 if self.gate and not self.gate.name else 1)
        keys, values = self.kv_heads * self.head_dim, self.kv_heads * value_dim
        of_queries, of_keys, of_values = ((queries, self.heads), (keys, self.kv_heads), (values, self.kv_heads))
        names = self.names
        if names.fused:
            return ((names.fused, (of_queries, of_keys, of_values)),)
        if self.sees.shared:
            return ((names.query, (of_queries,)),)
        if names.fused_kv:
            return ((names.query, (of_queries,)), (names.fused_kv, (of_keys, of_values)))
        return ((names.query, (of_queries,)), (names.key, (of_keys,)), (names.value, (of_values,)))

    def _project(self, run: Run, value_dim: Number) -> None:
        """Queries, keys and values of the new tokens: one kernel, however many matrices."""
        parts = self._projections(value_dim)
        for name, pieces in parts:
            if not name:
                continue
            project(
                run,
                self.path(name),
                self.hidden,
                sum(features for features, _ in pieces),
                component="attention",
                bias=self.biases.of_keys if name == self.names.key else self.biases.qkv,
                saves_input=name == parts[0][0] and not self.shares_input,
                pieces=pieces,
                kernel=self.path("qkv"),
            )

    def _normalise(self, run: Run) -> None:
        if self.norms.values and not self.sees.shared:
            Norm(self.path("v_norm"), self.head_dim, groups=self.kv_heads, affine=False).write(run)
        normed = zip(self.norms.names, (self.heads, self.kv_heads), strict=True)
        for name, heads in tuple(normed)[: 1 if self.sees.shared else 2]:
            if self.norms.kind is not None:
                self._norm(self.path(name), heads).write(run)

    def _norm(self, name: str, heads: int) -> Norm:
        """The norm of queries or keys."""
        kind = self.norms.kind
        if kind == "full":
            return Norm(name, heads * self.head_dim)
        if kind == "per_head":
            apart = "*" in name  # one tensor for each head (StableLM 2)
            shape = (self.head_dim,) if apart else (heads, self.head_dim)
            return Norm(
                name, self.head_dim, kind="layer", groups=heads, weight_shape=shape, copies=heads if apart else 1
            )
        if kind == "layer":
            return Norm(name, self.head_dim, kind="layer", bias=True, groups=heads)
        return Norm(name, self.head_dim, groups=heads, affine=kind != "plain")
