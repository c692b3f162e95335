"""Delta-rule attention with every projection and convolution apart (OLMo Hybrid), and with a decay for each channel
(Kimi Linear)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.base import ACTIVATION_FLOPS, Part, project
from calculator.parts.recurrent import DELTA_FLOPS, gated_norm, scan, short_convolution
from calculator.parts.symbols import HEADS, HIDDEN, KEY_DIM, KEY_HEADS, VALUE_DIM, VALUE_HEADS
from calculator.record.run import Run
from calculator.record.split import HEAD, REPLICATED, ROW


@dataclass(frozen=True)
class DeltaAttention(Part):
    """The gated delta rule (arXiv:2412.06464) with a decay for each head, or for each channel of its keys (Kimi Delta
    Attention, arXiv:2510.26692). The state is one key × value matrix a head and sequence.

    Attributes:
        per_channel: the decay is a channel's, made by f_proj, or by f_a_proj and f_b_proj if `decay_rank` is given.
        decay_rank, gate_rank: width between the two projections that make the decay and the output's gate.
        decay_shape: the shape of A_log where it is not [value_heads].
    """

    hidden: int
    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    per_channel: bool = False
    decay_rank: int | None = None
    gate_rank: int | None = None
    decay_shape: tuple[int, ...] = ()
    out: str = "o_proj"
    state_width: int | None = None
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "key_heads": KEY_HEADS,
        "value_heads": VALUE_HEADS,
        "key_dim": KEY_DIM,
        "value_dim": VALUE_DIM,
        "decay_rank": Symbol("r_f", "rank of the decay"),
        "gate_rank": Symbol("r_g", "rank of the output gate"),
    }

    def write(self, run: Run) -> None:
        keys, values = self.key_heads * self.key_dim, self.value_heads * self.value_dim
        decays = self.value_heads * (self.key_dim if self.per_channel else 1)
        streams = (("q", keys), ("k", keys), ("v", values))
        for name, width in streams:
            project(run, self.path(f"{name}_proj"), self.hidden, width, component="recurrent", saves_input=name == "q")
        for name, width in streams:
            short_convolution(run, self.path(f"{name}_conv1d"), width, self.kernel, bias=False)
        if not self.per_channel:
            self._from_input(run, "a_proj", decays)
        else:
            self._gate(run, "f", self.decay_rank, decays)
        self._from_input(run, "b_proj", self.value_heads)
        scan(
            run,
            self.path("scan"),
            self.value_heads * self.key_dim * self.value_dim,
            DELTA_FLOPS,
            2 * keys + values + decays + self.value_heads,
            values,
            self.state_width or run.width,
            (
                Weight(self.path("A_log"), self.decay_shape or (self.value_heads,), "vector"),
                Weight(self.path("dt_bias"), (decays,), "vector"),
            ),
        )
        self._gate(run, "g", self.gate_rank, values)
        gated_norm(run, self.path("o_norm"), self.value_heads, self.value_dim, self.value_dim)
        project(run, self.path(self.out), values, self.hidden, component="recurrent", split=ROW)

    def _from_input(self, run: Run, name: str, outputs: Number) -> None:
        project(run, self.path(name), self.hidden, outputs, component="recurrent", saves_input=False)

    def _gate(self, run: Run, letter: str, rank: int | None, outputs: Number) -> None:
        """A gate made by one projection, or by two with `rank` features between them."""
        if rank is None:
            self._from_input(run, f"{letter}_proj", outputs)
            return
        project(
            run,
            self.path(f"{letter}_a_proj"),
            self.hidden,
            rank,
            component="recurrent",
            split=REPLICATED,
            saves_input=False,
        )
        project(run, self.path(f"{letter}_b_proj"), rank, outputs, component="recurrent")


@dataclass(frozen=True)
class HeadGate(Part):
    """A sigmoid gate on each head's output, made by a projection of the layer's input (Ling 3.0's latent attention)."""

    hidden: int
    heads: int
    head_dim: int
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "heads": HEADS, "head_dim": VALUE_DIM}

    def write(self, run: Run) -> None:
        project(run, self.name, self.hidden, self.heads, component="attention", saves_input=False)
        gates, elements = run.tokens * self.heads, run.tokens * self.heads * self.head_dim
        run.add(
            f"{self.name}.gate",
            "attention",
            "elementwise",
            flops=ACTIVATION_FLOPS * gates + elements,
            reads=(gates + elements) * run.width,
            writes=elements * run.width,
            saved=(gates + elements) * run.width,
            split=HEAD,
            stream=0,
        )
