"""Channel mixers: the MLP and the mixture of experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from calculator.errors import ConfigError
from calculator.formats.weight import Weight
from calculator.numbers.symbolic import Number
from calculator.numbers.symbols import Symbol
from calculator.parts.basic import ACTIVATION_FLOPS, SOFTMAX_FLOPS, Norm, Part, activation, project
from calculator.parts.symbols import EXPERT_WIDTH, EXPERTS, HIDDEN, MLP_WIDTH, TOP_K
from calculator.record.run import Run
from calculator.record.saved import Saved
from calculator.record.split import EXPERT, REPLICATED, ROW, Split


@dataclass(frozen=True)
class MLP(Part):
    """Two projections around a nonlinearity, or three with a gate (arXiv:2002.05202).

    Attributes:
        fused: name of one projection that holds gate and up ("gate_up_proj"); None for two.
        shares_input: another part keeps the same input for the backward pass.
        inner_norm: an RMSNorm before the last projection (BitNet).
        down_bias: the last projection has a bias, whether or not the others have (GTE, TeleChat).
    """

    hidden: int
    intermediate: int
    gated: bool = True
    bias: bool = False
    down_bias: bool = False
    up: str = "up_proj"
    gate: str = "gate_proj"
    down: str = "down_proj"
    fused: str | None = None
    shares_input: bool = False
    inner_norm: str = ""
    SYMBOLS: ClassVar[dict[str, Symbol]] = {"hidden": HIDDEN, "intermediate": MLP_WIDTH}

    def write(self, run: Run) -> None:
        if self.fused:
            projections: tuple[tuple[str, Number], ...] = ((self.fused, 2 * self.intermediate),)
        elif self.gated:
            projections = ((self.gate, self.intermediate), (self.up, self.intermediate))
        else:
            projections = ((self.up, self.intermediate),)
        for name, width in projections:
            project(
                run,
                self.path(name),
                self.hidden,
                width,
                component="mlp",
                bias=self.bias,
                saves_input=name == projections[0][0] and not self.shares_input,
                kernel=self.path("gate_up"),
            )
        activation(
            run,
            self.path("activation"),
            run.tokens,
            self.intermediate,
            gated=self.gated,
            component="mlp",
            stream=run.stream,
        )
        if self.inner_norm:
            Norm(self.path(self.inner_norm), self.intermediate).write(run)
        project(
            run,
            self.path(self.down),
            self.intermediate,
            self.hidden,
            component="mlp",
            bias=self.bias or self.down_bias,
            split=ROW,
            stream=False,
        )


@dataclass(frozen=True)
class Experts(Part):
    """A router over `experts` MLPs of which each token visits `top_k`, and the shared experts every token visits.

    Attributes:
        intermediate: width of one routed expert.
        shared: width of the shared experts together; 0 for none.
        shared_bias: the shared experts' projections have biases (DeepSeek-V2 with mlp_bias).
        shared_gate: a sigmoid scales the shared experts' output (Qwen2-MoE).
        router_bias: the router's projection has a bias (gpt-oss); `correction`: a score bias steers the choice only
            (DeepSeek-V3, arXiv:2408.15664).
        correction_name: where that bias is inside the part, if not in the router; it is a "buffer", or a "vector" where
            published counts include it (ERNIE 4.5).
        packed: experts are stored as one three-dimensional tensor (gate_up_proj, down_proj), not one tensor each.
        apart: experts are stored as three such tensors, one for each projection (Step 3.5).
        stacked: experts are stored below one another in one matrix each for gate, up and down, all three of them
            [experts · intermediate, hidden] (DBRX).
        identity: experts beside those, which the router may choose too and which hold and compute nothing. A token is
            expected to choose top_k · experts / (experts + identity) of the real ones; rows, active parameters and
            bytes are of that many (LongCat-Flash, arXiv:2509.01322, keeps its average there).
        latent: the routed experts work on a projection of this width (Nemotron 3 Super), None for `hidden`.
        scored: shared experts that the router scores, too (Inkling).
        shared_fused: name of one projection that holds the shared experts' gate and up (MiniMax-M3).
        router: the router's module, inside the part, "" where another part computes its scores (ZAYA1); `prefix`: where
            the experts are, inside the part; `each`: what one of them is called there, with * for its number.
    """

    hidden: int
    intermediate: int
    experts: int
    top_k: int
    shared: int = 0
    shared_gate: bool = False
    gated: bool = True
    bias: bool = False
    router: str = "gate"
    router_bias: bool = False
    correction: bool = False
    packed: bool = False
    prefix: str = "experts"
    each: str = "*"
    names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    shared_name: str = "shared_experts"
    shared_bias: bool = False
    shared_names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    correction_name: str = ""
    correction_role: str = "buffer"
    correction_shape: tuple[int, ...] = ()  # where it is not [experts]
    packed_name: str = "gate_up_proj"
    latent: int | None = None
    stacked: bool = False
    identity: int = 0
    shared_fused: str | None = None
    apart: bool = False
    scored: int = 0
    SYMBOLS: ClassVar[dict[str, Symbol]] = {
        "hidden": HIDDEN,
        "intermediate": EXPERT_WIDTH,
        "experts": EXPERTS,
        "top_k": TOP_K,
        "shared": Symbol("d_s", "width of the shared experts"),
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
        if self.shared:
            if self.shared_gate:
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
            # The routed output waits while the shared experts run.
            branch = run.parallel
            run.parallel = branch + stream
            gate, up, down = self.shared_names
            MLP(
                self.path(self.shared_name),
                self.hidden,
                self.shared,
                gated=self.gated,
                bias=self.shared_bias,
                gate=gate,
                up=up,
                down=down,
                fused=self.shared_fused,
                shares_input=True,
            ).write(run)
            run.parallel = branch

    def _route(self, run: Run, stream: Number) -> None:
        if self.router:
            project(
                run,
                self.path(self.router),
                self.hidden,
                self.choices + self.scored,
                component="router",
                role="router",
                bias=self.router_bias,
                split=REPLICATED,
            )
        scores = run.tokens * self.choices
        # A buffer: held in the checkpoint, moved by no gradient, and in no published parameter count.
        name = self.correction_name or f"{self.router}.e_score_correction_bias"
        correction = (Weight(self.path(name), self.correction_shape or (self.choices,), self.correction_role),)
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
            weights=correction if self.correction else (),
        )

    def _inner_keeps(self, run: Run, inputs: Number, inner: Number) -> tuple[Saved, ...]:
        """Gate and up; modules apart keep the gate's activation, or the steps of one written in Python."""
        steps = (run.modules.expert_extra or 1 if self.gated else 0) * inner
        name, width = self._inside("activation"), run.width
        return (
            Saved(f"{name}.input", inputs, inputs, inputs, inputs * 2 // width, "input", "tensor", "matmul"),
            Saved(f"{name}.steps", 0, 0, steps, steps * 2 // width, "input", "tensor"),
        )

    def _choice_keeps(self, run: Run, scores: Number) -> tuple[Saved, ...]:
        """The router's scores; modules apart keep them in 32 bit, with indices, and a 32-bit copy of their input where
        they choose by groups."""
        name, modules = self.path("top_k"), run.modules
        plain, cast = (
            run.tokens * modules.router_keeps(self.choices, self.top_k, autocast=autocast) for autocast in (False, True)
        )
        found = [Saved(f"{name}.scores", scores * run.width, scores * 4, plain, cast, "input")]
        if modules.router == "groups":
            copy = run.tokens * self.hidden * (4 if self.shared else 2)
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
            Saved(f"{name}.input", inputs, inputs, inputs, 2 * width, "input", "sequence", "matmul"),
            Saved(f"{name}.indices", 0, 0, each, cast, "input"),
        )

    def _routed(self, run: Run, stream: Number) -> None:
        rows = self._real(run.expert_rows(self.choices, self.top_k))
        width = self._width()
        inputs, inner = rows * width * run.width, rows * self.intermediate * run.width
        outer = 2 if self.gated else 1
        known = self._inside(self.names[2]) in run.steps_made
        into, out = ((), ()) if known else self._weights()
        self._matrix(
            run,
            self._inside(self._label()),
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
            run, self._inside(self.names[2]), out, rows, saved=inner, reads=inner, writes=inputs, stream=2 * stream
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
                Saved(f"{name}.input", saved, saved, saved, saved * 2 // run.width, "weight"),
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
        return self.path(f"{self.prefix}.{name}" if self.prefix else name)

    def _label(self) -> str:
        return (
            self.packed_name if self.packed and self.gated else self.names[1] if not self.gated else "gate_proj+up_proj"
        )

    def _weights(self) -> tuple[tuple[Weight, ...], tuple[Weight, ...]]:
        gate, up, down = self.names
        outer, width = 2 if self.gated else 1, self._width()
        into: tuple[Weight, ...]
        out: tuple[Weight, ...]
        if self.packed:
            label = self._label()
            into = (Weight(self._inside(label), (self.experts, outer * self.intermediate, width), "experts"),)
            out = (Weight(self._inside(down), (self.experts, width, self.intermediate), "experts"),)
            if self.bias:
                into += (Weight(self._inside(f"{label}_bias"), (self.experts, outer * self.intermediate), "vector"),)
                out += (Weight(self._inside(f"{down}_bias"), (self.experts, width), "vector"),)
            return into, out
        names = (gate, up) if self.gated else (up,)
        matrix = (self.intermediate, width)
        if self.stacked:
            whole = (self.experts * self.intermediate, width)
            into = tuple(Weight(self._inside(n), whole, "experts") for n in names)
            return into, (Weight(self._inside(down), whole, "experts"),)
        if self.apart:
            into = tuple(Weight(self._inside(f"{n}.weight"), (self.experts, *matrix), "experts") for n in names)
            out = (Weight(self._inside(f"{down}.weight"), (self.experts, width, self.intermediate), "experts"),)
            return into, out
        one, copies = self._inside(self.each), self.experts
        into = tuple(Weight(f"{one}.{n}.weight", matrix, "experts", copies) for n in names)
        out = (Weight(f"{one}.{down}.weight", (width, self.intermediate), "experts", copies),)
        if self.bias:
            into += tuple(Weight(f"{one}.{n}.bias", (self.intermediate,), "vector", copies) for n in names)
            out += (Weight(f"{one}.{down}.bias", (width,), "vector", copies),)
        return into, out


@dataclass(frozen=True)
class IdleExperts(Part):
    """Experts that no text token is sent to (ERNIE 4.5 VL's for images), numbered on from the `first` others in the
    same list, with a router of their own."""

    hidden: int
    intermediate: int
    experts: int
    first: int
    router: str = "gate.weight_1"

    def write(self, run: Run) -> None:
        router = (Weight(self.path(self.router), (self.experts, self.hidden), "router"),)
        run.add(
            self.path(self.router), "router", "matmul", weights=router, active_share=(0, 1), weight_reads=0, stream=0
        )
        shapes = {
            "gate_proj": (self.intermediate, self.hidden),
            "up_proj": (self.intermediate, self.hidden),
            "down_proj": (self.hidden, self.intermediate),
        }
        weights = tuple(
            Weight(self.path(f"experts.*.{name}.weight"), shape, "experts", self.experts, self.first)
            for name, shape in shapes.items()
        )
        name = self.path("experts of images")
        run.add(
            name,
            "experts",
            "matmul",
            weights=weights,
            active_share=(0, 1),
            weight_reads=0,
            split=EXPERT,
            stream=0,
        )
