"""Attention with learned relative positions behind short convolutions (Inkling)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.operation import Weight
from calculator.parts.attention import attend
from calculator.parts.basic import Norm, Part, activation, project
from calculator.parts.recurrent import short_convolution
from calculator.run import Run
from calculator.symbolic import Number, half


@dataclass(frozen=True)
class ShortConvolution(Part):
    """A causal depthwise convolution added to its input. It runs in 32 bit, and so are the inputs it keeps."""

    size: int
    kernel: int
    SYMBOLS: ClassVar[dict[str, str]] = {"size": "d"}

    def write(self, run: Run) -> None:
        short_convolution(
            run, self.name, self.size, self.kernel, bias=False, component="norm", activated=False, state_width=4
        )
        elements = run.tokens * self.size
        run.add(
            f"{self.name}.residual",
            "norm",
            "elementwise",
            flops=elements,
            reads=2 * elements * run.width,
            writes=elements * run.width,
            split="head",
        )


@dataclass(frozen=True)
class RelativeAttention(Part):
    """Grouped-query attention whose keys and values pass a short convolution, and whose scores are shifted by distance:
    every query mixes `relative` learned profiles over the last `extent` distances."""

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    relative: int
    extent: int
    kernel: int
    window: int | None = None
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, str]] = {
        "hidden": "d",
        "heads": "n_h",
        "kv_heads": "n_kv",
        "head_dim": "d_h",
        "relative": "d_rel",
        "extent": "L_r",
        "window": "W",
    }

    def write(self, run: Run) -> None:
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        for name, outputs in (
            ("q_proj", queries),
            ("k_proj", keys),
            ("v_proj", keys),
            ("r_proj", self.heads * self.relative),
        ):
            project(run, self.path(name), self.hidden, outputs, component="attention", saves_input=name == "q_proj")
        for name in ("k_sconv", "v_sconv"):
            ShortConvolution(self.path(f"{name}.conv1d"), keys, self.kernel).write(run)
        Norm(self.path("q_norm"), self.head_dim, groups=self.heads).write(run)
        Norm(self.path("k_norm"), self.head_dim, groups=self.kv_heads).write(run)
        mixed = run.tokens * self.heads * self.relative * run.width
        run.add(
            self.path("rel_logits_proj"),
            "attention",
            "matmul",
            flops=2 * run.tokens * self.heads * self.relative * self.extent,
            reads=mixed,
            writes=run.tokens * self.heads * self.extent * run.width,
            weights=(Weight(self.path("rel_logits_proj.proj"), (self.relative, self.extent), "linear"),),
            saved=mixed,
            stream=run.stream,
        )
        run.add(
            self.path("rel_logits"),
            "attention",
            "elementwise",
            flops=half(run.batch * run.attended(self.window) * self.heads),
            split="head",
        )
        attend(
            run,
            self.path("attention"),
            heads=self.heads,
            kv_heads=self.kv_heads,
            key_dim=self.head_dim,
            value_dim=self.head_dim,
            window=self.window,
            dropout=self.dropout,
        )
        project(run, self.path("o_proj"), queries, self.hidden, component="attention", split="row")


@dataclass(frozen=True)
class SharedExperts(Part):
    """Experts that every token visits, in tensors that hold all of them, each with a weight that the router gives."""

    hidden: int
    intermediate: int
    experts: int
    SYMBOLS: ClassVar[dict[str, str]] = {"hidden": "d", "intermediate": "d_e", "experts": "E_s"}

    def write(self, run: Run) -> None:
        for name, inputs, outputs in (
            ("gate_proj", self.hidden, self.intermediate),
            ("up_proj", self.hidden, self.intermediate),
            ("down_proj", self.intermediate, self.hidden),
        ):
            if name == "down_proj":
                activation(
                    run,
                    self.path("activation"),
                    run.tokens * self.experts,
                    self.intermediate,
                    gated=True,
                    component="mlp",
                    stream=run.stream,
                )
            read: Number = run.tokens * inputs * run.width * (self.experts if name == "down_proj" else 1)
            run.add(
                self.path(name),
                "mlp",
                "matmul",
                flops=2 * run.tokens * self.experts * inputs * outputs,
                reads=read,
                writes=run.tokens * self.experts * outputs * run.width,
                weights=(Weight(self.path(name), (self.experts, outputs, inputs), "linear"),),
                saved=0 if name == "up_proj" else read,
                stream=run.stream,
                split="row" if name == "down_proj" else "column",
            )
        run.add(
            self.path("combine"),
            "mlp",
            "elementwise",
            flops=2 * self.experts * run.tokens * self.hidden,
            reads=run.tokens * self.experts * self.hidden * run.width,
            writes=run.tokens * self.hidden * run.width,
            stream=run.stream,
        )
