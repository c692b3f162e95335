"""Attention whose heads a router chooses, and attention whose queries and keys pass a convolution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.attend import attend, rotate
from calculator.parts.base import SOFTMAX_FLOPS, Part, elementwise, project
from calculator.parts.heads import Heads
from calculator.parts.recurrent import short_convolution, state_bytes
from calculator.parts.symbols import EXPERTS, HEAD_DIM, HIDDEN, KV_HEADS, OF_HEADS, ROTATED, TOP_K, WINDOW
from calculator.record.run import Run
from calculator.record.split import EXPERT, HEAD, REPLICATED, ROW


@dataclass(frozen=True)
class ChosenHeads(Part):
    """A mixture of attention heads (JetMoE, arXiv:2404.07413): keys and values are of every token, queries and output
    projections of the `top_k` experts that the router sends it to. An expert has as many query heads as there are
    key-value heads."""

    hidden: int
    kv_heads: int
    head_dim: int
    experts: int
    top_k: int
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "kv_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "experts": EXPERTS,
        "top_k": TOP_K,
    }

    def write(self, run: Run) -> None:
        inner, heads = self.kv_heads * self.head_dim, self.top_k * self.kv_heads
        name = self.path("experts.router.layer")
        project(run, name, self.hidden, self.experts, component="router", role="router", split=REPLICATED)
        scores = run.tokens * self.experts
        run.add(
            self.path("top_k"),
            "router",
            "elementwise",
            flops=SOFTMAX_FLOPS * scores,
            reads=scores * run.width,
            saved=scores * run.width,
        )
        self._project(run, "experts.input_linear", self.hidden, inner)
        project(run, self.path("kv_proj"), self.hidden, 2 * inner, component="attention", saves_input=False)
        rotate(run, self.path("rotary"), (heads + self.kv_heads) * self.head_dim)
        attend(
            run, self.path("attention"), Heads(heads, self.kv_heads, self.head_dim, self.head_dim), dropout=self.dropout
        )
        self._project(run, "experts.output_linear", inner, self.hidden)
        rows = run.tokens * self.top_k * self.hidden
        run.add(
            self.path("combine"),
            "experts",
            "elementwise",
            flops=2 * rows,
            reads=rows * run.width,
            writes=run.tokens * self.hidden * run.width,
            weights=(Weight(self.path("experts.bias"), (self.hidden,), "vector"),),
            saved=rows * run.width,
        )

    def _project(self, run: Run, name: str, inputs: Number, outputs: Number) -> None:
        """A product of each choice's row with its expert's matrix."""
        rows = run.expert_rows(self.experts, self.top_k)
        weight = Weight(self.path(f"{name}.weight"), (self.experts, outputs, inputs), "experts")
        held = run.bytes_of(weight)
        run.add(
            self.path(name),
            "experts",
            "matmul",
            flops=2 * rows * inputs * outputs,
            reads=rows * inputs * run.width,
            writes=rows * outputs * run.width,
            weights=(weight,),
            active_share=(self.top_k, self.experts),
            weight_reads=held // self.experts * run.experts_touched(self.experts, self.top_k),
            saved=rows * inputs * run.width,
            split=EXPERT,
        )


@dataclass(frozen=True)
class ConvolvedAttention(Part):
    """Compressed convolutional attention (ZAYA1, arXiv:2510.04476): queries and keys pass two short convolutions over
    time, one by channel and one by head, and are scaled to one length; half of each value is the token before's.

    Its cache is keys and values, and for each sequence the last inputs of the convolutions and half a value.
    """

    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    kernels: tuple[int, int]
    window: int | None = None
    rotary: int = 0
    bias: bool = False
    dropout: bool = False
    SYMBOLS: ClassVar[dict[str, Symbol]] = OF_HEADS | {"window": WINDOW, "rotary": ROTATED}

    def write(self, run: Run) -> None:
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        halves = (("v_proj_current", keys // 2), ("v_proj_delayed", keys // 2))
        for name, width in (("q_proj", queries), ("k_proj", keys), *halves):
            path, first = self.path(f"qkv_proj.{name}"), name == "q_proj"
            project(run, path, self.hidden, width, component="attention", bias=self.bias, saves_input=first)
        channels = queries + keys
        name = self.path("qkv_proj.conv_qk_depthwise")
        short_convolution(run, name, channels, self.kernels[0], bias=True, component="attention", activated=False)
        self._by_head(run, channels)
        elements = run.tokens * channels
        elementwise(
            run,
            self.path("qk_norm"),
            "attention",
            elements,
            8,
            inputs=2,
            weights=(Weight(self.path("qk_norm.temp"), (self.kv_heads,), "vector"),),
            cache=state_bytes(run, keys // 2, run.width),
            split=HEAD,
            stream=0,
        )
        rotate(run, self.path("rotary"), (self.heads + self.kv_heads) * self.rotary)
        attend(
            run,
            self.path("attention"),
            Heads(self.heads, self.kv_heads, self.head_dim, self.head_dim),
            window=self.window,
            dropout=self.dropout,
        )
        project(run, self.path("o_proj"), queries, self.hidden, component="attention", bias=self.bias, split=ROW)

    def _by_head(self, run: Run, channels: Number) -> None:
        """The second convolution, whose groups are the heads."""
        name, kernel = self.path("qkv_proj.conv_qk_grouped"), self.kernels[1]
        elements = run.tokens * channels * run.width
        weights = (
            Weight(f"{name}.weight", (channels, self.head_dim, kernel), "convolution"),
            Weight(f"{name}.bias", (channels,), "vector"),
        )
        run.add(
            name,
            "attention",
            "convolution",
            flops=2 * run.tokens * channels * self.head_dim * kernel,
            reads=elements,
            writes=elements,
            weights=weights,
            cache=state_bytes(run, channels * (kernel - 1), run.width),
            saved=elements,
            split=HEAD,
        )


@dataclass(frozen=True)
class RouterMLP(Part):
    """ZAYA1's router: a projection to `size` features, to which the layer before's are added where `follows`, and an
    MLP of three matrices. The last of its `choices` is no expert: such a token passes unchanged."""

    hidden: int
    size: int
    choices: int
    follows: bool
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "size": ROTATED, "choices": EXPERTS}

    def write(self, run: Run) -> None:
        def step(name: str, inputs: Number, outputs: Number, bias: bool) -> None:
            path = self.path(name)
            project(run, path, inputs, outputs, component="router", role="router", bias=bias, split=REPLICATED)

        step("down_proj", self.hidden, self.size, True)
        vectors: tuple[Weight, ...] = (Weight(self.path("router_mlp.norm.weight"), (self.size,), "norm"),)
        if self.follows:
            vectors += (Weight(self.path("router_states_scale"), (self.size,), "vector"),)
        elements = run.tokens * self.size
        elementwise(run, self.path("router_mlp.norm"), "router", elements, 6, inputs=2, weights=vectors, stream=0)
        step("router_mlp.fc1", self.size, self.size, True)
        step("router_mlp.fc2", self.size, self.size, True)
        step("router_mlp.out_proj", self.size, self.choices, False)
