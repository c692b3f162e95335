"""Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from calculator.formats.cache import LATENT
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend, gate, rotate, sinks
from calculator.parts.base import Part, project
from calculator.parts.heads import Heads, Shared
from calculator.parts.norm import Norm
from calculator.parts.symbols import (
    HEADS,
    HIDDEN,
    KV_RANK,
    OUTPUTS,
    QUERY_RANK,
    ROTATED,
    SELECTED,
    UNROTATED,
    VALUE_DIM,
    WINDOW,
)
from calculator.record.run import Run
from calculator.record.split import REPLICATED, ROW
from calculator.record.tokens import Reach


@dataclass(frozen=True)
class LatentAttention(Part):
    """Attention whose cache is one compressed vector and one rotated key per token, shared by all heads.

    Prefill and pretraining expand the latent to every head's keys and values. A decode step absorbs the expansion into
    the query and the output (section 2.1.2 of the paper): the same FLOPs for kv_b_proj, once per new token, and scores
    and sums over the latent itself, which is read once.

    Attributes:
        selected: tokens that an indexer picks for each query (GLM-5, DeepSeek-V3.2).
        window: a query sees its own and the window − 1 tokens before it (Dots 3 Note).
        gate_name: a projection of the input makes a sigmoid gate for the output, one value a head if `gate_per_head`.
        gated_query: q_b_proj reads the compressed query as it was before its norm too, and makes that gate (A.X-K2).
        sink_name: one learned logit per head in the softmax's denominator (Hy4).
        rope_norm: a norm of that name on the shared rotated key (Dots 3 Note).
        rotates: False where the shared part of the keys carries no position (Kimi Linear).
        out: the output projection's name; gate: a part that runs on the heads' outputs before it.
        output: features of the result where they are not `hidden` (an EAGLE-3 draft reads two vectors a token).
    """

    hidden: int
    heads: int
    kv_rank: int
    rope_dim: int
    nope_dim: int
    value_dim: int
    query_rank: int | None = None
    bias: bool = False
    dropout: bool = False
    selected: int | None = None
    window: int | None = None
    gate_name: str = ""
    gate_per_head: bool = False
    gated_query: bool = False
    sink_name: str = ""
    rope_norm: str = ""
    rotates: bool = True
    out: str = "o_proj"
    gate: Part | None = None
    output: int | None = None
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "heads": HEADS,
        "kv_rank": KV_RANK,
        "rope_dim": ROTATED,
        "nope_dim": UNROTATED,
        "value_dim": VALUE_DIM,
        "query_rank": QUERY_RANK,
        "selected": SELECTED,
        "window": WINDOW,
        "output": OUTPUTS,
    }

    def _seen(self, run: Run) -> Reach:
        """What a prefill attends to: beside the new tokens' keys, those that are made of the cached latents."""
        seen = run.reach(self.window if self.selected is None else self.selected, self.window)
        return seen._replace(fresh=run.past + run.queries) if run.past else seen

    def write(self, run: Run) -> None:
        key_dim = self.nope_dim + self.rope_dim
        if self.query_rank:
            project(
                run,
                self.path("q_a_proj"),
                self.hidden,
                self.query_rank,
                component="attention",
                bias=self.bias,
                split=REPLICATED,
            )
            Norm(self.path("q_a_layernorm"), self.query_rank).write(run)
            inputs, outputs = self.query_rank, self.heads * key_dim
            if self.gated_query:
                inputs, outputs = 2 * inputs, outputs + self.heads * self.value_dim
            project(run, self.path("q_b_proj"), inputs, outputs, component="attention", pieces=self.heads)
        else:
            project(
                run,
                self.path("q_proj"),
                self.hidden,
                self.heads * key_dim,
                component="attention",
                pieces=self.heads,
            )
        project(
            run,
            self.path("kv_a_proj_with_mqa"),
            self.hidden,
            self.kv_rank + self.rope_dim,
            component="attention",
            bias=self.bias,
            saves_input=False,
            split=REPLICATED,
        )
        Norm(self.path("kv_a_layernorm"), self.kv_rank).write(run)
        if self.rope_norm:
            Norm(self.path(self.rope_norm), self.rope_dim).write(run)
        # A prefill that goes on from a past expands the cached latents again, as vLLM's chunked prefill does.
        expands = run.batch * (run.past + run.queries) if run.past and not run.decoding else run.tokens
        project(
            run,
            self.path("kv_b_proj"),
            self.kv_rank,
            self.heads * (self.nope_dim + self.value_dim),
            component="attention",
            pieces=self.heads,
            tokens=expands,
        )
        if self.rotates:
            rotate(run, self.path("rotary"), (self.heads + 1) * self.rope_dim)
        latent = self.kv_rank + self.rope_dim
        shared = Shared(self.rope_dim, LATENT)
        expanded = (self.heads * (key_dim + self.value_dim), self.kv_rank)
        if run.decoding:
            # Keys are the whole cached vector, values its latent part: one vector a token serves as both.
            attend(
                run,
                self.path("attention"),
                Heads(
                    self.heads,
                    1,
                    latent,
                    self.kv_rank,
                    cached_dim=latent,
                    fresh_dim=latent,
                    latent=expanded,
                    shared=shared,
                ),
                selected=self.selected,
                window=self.window,
            )
        else:
            attend(
                run,
                self.path("attention"),
                Heads(
                    self.heads, self.heads, key_dim, self.value_dim, cached_dim=latent, latent=expanded, shared=shared
                ),
                selected=self.selected,
                window=self.window,
                dropout=self.dropout,
                seen=self._seen(run),
                # Modules apart pad values and output to the keys' size, and copy the output back.
                layout=(self.heads * (key_dim - self.value_dim), self.heads * key_dim),
            )
        if self.sink_name:
            sinks(run, self.path("sinks"), self.path(self.sink_name), self.heads)
        outputs = self.heads * self.value_dim
        if self.gate_name:
            gates = self.heads if self.gate_per_head else outputs
            project(run, self.path(self.gate_name), self.hidden, gates, component="attention", saves_input=False)
        if self.gate_name or self.gated_query:
            gate(run, self.path("gate"), outputs)
        if self.gate is not None:
            replace(self.gate, name=self.path(self.gate.name)).write(run)
        project(
            run,
            self.path(self.out),
            self.heads * self.value_dim,
            self.hidden if self.output is None else self.output,
            component="attention",
            bias=self.bias,
            split=ROW,
            pieces=self.heads,
            need="weight" if run.eager or self.gate_name or self.gated_query or self.gate else "both",
        )
