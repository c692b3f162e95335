"""The mixture of experts: a router over many MLPs of which each token visits a few, and those that all visit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.errors import ConfigError
from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.base import ACTIVATION_FLOPS, SOFTMAX_FLOPS, Part, project
from calculator.parts.mixture import EACH_APART, GATE, NONE_SHARED, Correction, Router, Shape, SharedMLP, Storage
from calculator.parts.mlp import MLP
from calculator.parts.symbols import EXPERT_WIDTH, EXPERTS, HIDDEN, TOP_K
from calculator.record.run import Run
from calculator.record.saved import Saved
from calculator.record.split import REPLICATED, ROW, Split


@dataclass(frozen=True)
class Experts(Part):
    """A router over `experts` MLPs of which each token visits `top_k`, and the shared experts every token visits.

    Attributes:
        intermediate: width of one routed expert.
        identity: experts beside those, which the router may choose too and which hold and compute nothing. A token is
            expected to choose top_k · experts / (experts + identity) of the real ones; rows, active parameters and
            bytes are of that many (LongCat-Flash, arXiv:2509.01322, keeps its average there).
        latent: the routed experts work on a projection of this width (Nemotron 3 Super), None for `hidden`.
    """

    hidden: int
    intermediate: int
    experts: int
    top_k: int
    gated: bool = True
    bias: bool = False
    identity: int = 0
    latent: int | None = None
    shared: SharedMLP = NONE_SHARED
    router: Router = GATE
    correction: Correction | None = None
    stored: Storage = EACH_APART
    ROUTED = True
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "intermediate": EXPERT_WIDTH,
        "experts": EXPERTS,
        "top_k": TOP_K,
        "latent": Symbol("d_l", "width that the routed experts work on, where it is not the hidden size"),
        "identity": Symbol("E_0", "experts that compute nothing, which the router may choose (LongCat-Flash)"),
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        sizes = (self.experts, self.top_k)
        if all(isinstance(n, int) for n in sizes) and not 1 <= self.top_k <= self.choices:
            raise ConfigError(
                f"{self.name}: a token visits {self.top_k} of {self.choices} experts; at least 1, at most all."
            )

    @property
    def choices(self) -> Number:
        """Experts that the router chooses among."""
        return self.experts + self.identity

    def write(self, run: Run) -> None:
        stream = run.tokens * self.hidden * run.width
        self._route(run, stream)
        if self.latent is not None:
            project(run, self.path("fc1_latent_proj"), self.hidden, self.latent, component="mlp", saves_input=False)
        self._routed(run, stream)
        if self.latent is not None:
            project(run, self.path("fc2_latent_proj"), self.latent, self.hidden, component="mlp", split=ROW)
        if self.shared.width:
            self._share(run, stream)

    def _share(self, run: Run, stream: Number) -> None:
        """The shared experts; the routed ones' output waits while they run."""
        shared = self.shared
        if shared.gate:
            project(
                run,
                self.path("shared_expert_gate"),
                self.hidden,
                1,
                component="mlp",
                role="router",
                split=REPLICATED,
                saves_input=False,
            )
        branch = run.parallel
        run.parallel = branch + stream
        gate, up, down = shared.names
        MLP(
            self.path(shared.name),
            self.hidden,
            shared.width,
            gated=self.gated,
            bias=shared.bias,
            gate=gate,
            up=up,
            down=down,
            fused=shared.fused,
            shares_input=True,
        ).write(run)
        run.parallel = branch

    def _route(self, run: Run, stream: Number) -> None:
        if self.router.name:
            project(
                run,
                self.path(self.router.name),
                self.hidden,
                self.choices + self.router.scored,
                component="router",
                role="router",
                bias=self.router.bias,
                split=REPLICATED,
            )
        scores = run.tokens * self.choices
        run.add(
            self.path("top_k"),
            "router",
            "elementwise",
            flops=SOFTMAX_FLOPS * scores,
            reads=scores * run.width,
            writes=run.tokens * self.top_k * run.width,
            saved=self._choice_keeps(run, scores) if run.saving else 0,
            launches=2,  # the choice, and the sorting of rows by expert
            stream=2 * stream,
            weights=self._correction(),
        )

    def _correction(self) -> tuple[Weight, ...]:
        """A buffer: held in the checkpoint, moved by no gradient, and in no published parameter count."""
        if self.correction is None:
            return ()
        name = self.correction.name or f"{self.router.name}.e_score_correction_bias"
        return (Weight(self.path(name), self.correction.shape or (self.choices,), self.correction.role),)

    def _inner_keeps(self, run: Run, inputs: Number, inner: Number) -> tuple[Saved, ...]:
        """Gate and up; modules apart keep the gate's activation, or the steps of one written in Python."""
        steps = (run.modules.expert_extra or 1 if self.gated else 0) * inner
        name, width = self._inside("activation"), run.width
        return (
            Saved(
                f"{name}.input",
                inputs,
                inputs,
                inputs,
                inputs * 2 // width,
                need="input",
                region="tensor",
                producer="matmul",
            ),
            Saved(f"{name}.steps", 0, 0, steps, steps * 2 // width, need="input", region="tensor"),
        )

    def _choice_keeps(self, run: Run, scores: Number) -> tuple[Saved, ...]:
        """The router's scores; modules apart keep them in 32 bit, with indices, and a 32-bit copy of their input where
        they choose by groups."""
        name, modules = self.path("top_k"), run.modules
        plain, cast = (
            run.tokens * modules.router_keeps(self.choices, self.top_k, autocast=autocast) for autocast in (False, True)
        )
        found = [Saved(f"{name}.scores", scores * run.width, scores * 4, plain, cast, need="input")]
        if modules.router == "groups":
            copy = run.tokens * self.hidden * (4 if self.shared.width else 2)
            found.append(Saved(f"{name}.input", plain=copy, need="weight"))
        return tuple(found)

    def _rows_keep(self, run: Run, rows: Number) -> tuple[Saved, ...]:
        """What sorting rows by expert keeps: three 64-bit indices and the weight a row, the end of each expert's."""
        width = rows * self._width()
        bias, weight = 8 if self.bias else 0, run.modules.weight_width
        each = rows * (24 + weight + bias) + 4 * self.experts
        cast = rows * (24 + (2 if run.modules.router == "groups" else weight) + bias) + 4 * self.experts
        name, inputs = self._inside("combine"), width * run.width
        return (
            Saved(
                f"{name}.input", inputs, inputs, inputs, 2 * width, need="input", region="sequence", producer="matmul"
            ),
            Saved(f"{name}.indices", 0, 0, each, cast, need="input"),
        )

    def _routed(self, run: Run, stream: Number) -> None:
        rows = self._real(run.expert_rows(self.choices, self.top_k))
        width = self._width()
        inputs, inner = rows * width * run.width, rows * self.intermediate * run.width
        outer = 2 if self.gated else 1
        known = self._inside(self.stored.names[2]) in run.steps_made
        into, out = ((), ()) if known else self._weights()
        self._matrix(
            run,
            self._inside(self.stored.label(self.gated)),
            into,
            rows * outer,
            saved=inputs,
            reads=inputs,
            writes=outer * inner,
            stream=2 * stream,
        )
        run.add(
            self._inside("activation"),
            "experts",
            "elementwise",
            split=self._split(),
            stream=2 * stream,
            flops=rows * self.intermediate * (ACTIVATION_FLOPS + outer - 1),
            reads=outer * inner,
            writes=inner,
            saved=self._inner_keeps(run, outer * inner, inner) if run.saving else 0,
        )
        self._matrix(
            run,
            self._inside(self.stored.names[2]),
            out,
            rows,
            saved=inner,
            reads=inner,
            writes=inputs,
            stream=2 * stream,
        )
        run.add(
            self._inside("combine"),
            "experts",
            "elementwise",
            flops=2 * rows * width,
            reads=inputs,
            writes=run.tokens * width * run.width,
            saved=self._rows_keep(run, rows) if run.saving else 0,
            stream=2 * stream,
            split=self._split(),
        )

    def _matrix(
        self,
        run: Run,
        name: str,
        weights: tuple[Weight, ...],
        rows: Number,
        *,
        saved: Number,
        reads: Number,
        writes: Number,
        stream: Number,
    ) -> None:
        known = run.steps_made.get(name)
        held = known.weight_bytes if known else sum(run.bytes_of(w) for w in weights)
        experts = self._real(run.experts_touched(self.choices, self.top_k))
        kept: tuple[Saved, ...] = ()
        if run.saving:
            matrices = known.weights if known else weights
            copy = 2 * sum(w.elements() for w in matrices if w.role == "experts")
            kept = (
                Saved(f"{name}.input", saved, saved, saved, saved * 2 // run.width, need="weight"),
                Saved(f"{name}.cast", autocast=copy, need="input", region="tensor", fixed=True),
            )
        run.add(
            name,
            "experts",
            "matmul",
            flops=2 * rows * self._width() * self.intermediate,
            reads=reads,
            writes=writes,
            weights=weights,
            active_share=(self.top_k, self.choices),
            weight_reads=held // self.experts * experts,
            groups=experts,
            saved=kept,
            stream=stream,
            split=self._split(),
        )

    def _split(self) -> Split:
        """Whole experts on each device, or a part of every expert's width."""
        return Split("expert", ((1, self.experts),), width=self.intermediate)

    def _real(self, number: Number) -> Number:
        """The expected share of the experts that compute in a number over all choices."""
        return number * self.experts // self.choices if self.identity else number

    def _width(self) -> Number:
        return self.hidden if self.latent is None else self.latent

    def _inside(self, name: str) -> str:
        return self.path(self.stored.inside(name))

    def _weights(self) -> tuple[tuple[Weight, ...], ...]:
        """The tensors of gate and up, and those of down."""
        shape = Shape(self.experts, self._width(), self.intermediate, self.gated, self.bias)
        found = self.stored.weights(shape)
        return tuple(tuple(w._replace(name=self.path(w.name)) for w in side) for side in found)
