"""What a rack's plan says: its phases, its rates, its cost and the guard rails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from calculator.engines.memory.ask import layout_counts
from calculator.engines.memory.fit import Fit
from calculator.hardware import Device
from calculator.model import Model
from calculator.numbers.blocks import Block, Facts, Grid, Shown
from calculator.numbers.units import seconds
from calculator.search.racks import Rack, Traffic
from calculator.serving.seconds import spread
from calculator.serving.timing import PassTime

BOUNDS = {
    "products": "the arithmetic of its matrix products",
    "memory": "reading weights and cache from memory",
    "collectives": "communication between its devices",
    "launches": "starting kernels",
}
"""Parts of a pass's time, and what a person calls them."""

Guard = tuple[str, bool, str]
"""What is asked, whether it holds, and the figures."""


@dataclass(frozen=True, eq=False)
class Phase:
    """Replicas that run prompts, or that generate.

    Attributes:
        name: "prefill" or "decode". fit: of one replica. passed: its prompt's pass, or its step's. batch: sequences of
            one replica at once. seconds: of a prompt, or of a token. tokens_per_second: of one replica, as many as it
            can. replicas: of the rack.
    """

    name: str
    fit: Fit = field(repr=False)
    passed: PassTime = field(repr=False)
    batch: int
    seconds: float
    tokens_per_second: float
    replicas: int = 0

    @property
    def bottleneck(self) -> str:
        """What takes most of the pass's time, of BOUNDS."""
        return max(BOUNDS, key=lambda part: float(getattr(self.passed, part)))

    @property
    def share(self) -> float:
        """The bottleneck's part of the pass."""
        return float(getattr(self.passed, self.bottleneck) / (sum(getattr(self.passed, p) for p in BOUNDS) or 1))

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.fit.layout.devices

    @property
    def per_device(self) -> float:
        """Tokens per second and device."""
        return self.tokens_per_second / self.devices

    def row(self) -> dict[str, Any]:
        """A row of the plan's table."""
        return {
            "phase": self.name,
            "layout": str(self.fit.layout),
            **layout_counts(self.fit.layout),
            "devices_a_replica": self.devices,
            "replicas": self.replicas,
            "batch": self.batch,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second * self.replicas,
            "tokens_per_second_per_device": self.per_device,
            "bottleneck": self.bottleneck,
            "bottleneck_share": self.share,
            "weights": self.fit.weights,
            "cache_pool": self.fit.cache_pool,
            "cache_tokens": self.fit.cache_tokens,
        }


@dataclass(frozen=True)
class Loaded:
    """What users see at a rate: requests a second of one rack, expected seconds to the first token and for each further
    one, and the requests that generate at once."""

    requests_per_second: float
    ttft: float
    tpot: float
    users: int


@dataclass(frozen=True, eq=False, repr=False)
class Plan(Shown):
    """How a rack serves a model. Rates are of the whole rack.

    Attributes:
        model, rack, device, traffic: what was asked. prefill, decode: the two phases; None where nothing fits.
        together: whether the same replicas do both, rather than pools of their own.
        most: the requests that it carries, and what users see then, with the queue of prompts; None where nothing fits.
        racks: how many are needed for the traffic.
        guards: guard rails, each (what, whether it holds, the figures).
        asked: what users see at the rate that is asked of each rack; None where none is asked or nothing fits.
    """

    model: Model = field(repr=False)
    rack: Rack
    device: Device = field(repr=False)
    traffic: Traffic
    prefill: Phase | None
    decode: Phase | None
    together: bool
    most: Loaded | None
    racks: int
    guards: tuple[Guard, ...]
    asked: Loaded | None = None

    @property
    def requests_per_second(self) -> float:
        """The most that it carries; 0 where nothing fits."""
        return self.most.requests_per_second if self.most else 0.0

    @property
    def ttft(self) -> float | None:
        """Expected seconds to the first token at that rate; None where nothing fits."""
        return self.most.ttft if self.most else None

    @property
    def tpot(self) -> float | None:
        """Expected seconds for each further token at that rate; None where nothing fits."""
        return self.most.tpot if self.most else None

    @property
    def output_tokens_per_second(self) -> float:
        """Output tokens a second of the whole rack, at the rate of requests."""
        return self.requests_per_second * self.traffic.output_length

    @property
    def per_device(self) -> float:
        """Output tokens per second and device of the rack."""
        return self.output_tokens_per_second / self.rack.devices

    def likely(self, kind: str, of: Loaded | None = None) -> tuple[float, float] | None:
        """Seconds between which 8 of 10 measured cases lie, for "ttft" or "tpot", at the most that it carries or `of`
        another rate; None where nothing fits."""
        time = getattr(of or self, kind)
        if time is None or self.decode is None:
            return None
        low, high = spread(kind, self.decode.fit.engine if self.together else "pools", self.device)
        return time * low, time * high

    @property
    def users(self) -> int:
        """Requests that generate at once at that rate."""
        return self.most.users if self.most else 0

    @property
    def cost_per_hour(self) -> float | None:
        """Dollars an hour of one rack at the catalogue's example price."""
        return self.device.price * self.rack.devices if self.device.price else None

    @property
    def cost_per_million_tokens(self) -> float | None:
        """Dollars for a million output tokens."""
        if self.cost_per_hour is None or not self.output_tokens_per_second:
            return None
        return self.cost_per_hour / 3600 / self.output_tokens_per_second * 1e6

    @property
    def joules_per_token(self) -> float | None:
        """Of the whole rack at its rated power; None where that is not known."""
        rate, watts = self.output_tokens_per_second, self.rack.watts
        return watts / rate if rate and watts else None

    @property
    def fits(self) -> bool:
        """Whether all guard rails hold."""
        return all(holds for _, holds, _ in self.guards)

    @property
    def verdict(self) -> str:
        """The plan in a sentence or two."""
        if self.prefill is None or self.decode is None:
            return f"{self.model.name} does not run on {self.rack.name}: {next(g[2] for g in self.guards if not g[1])}"
        broken = [what for what, holds, _ in self.guards if not holds]
        return (
            f"{self.model.name} on {self.rack.name}: {self.shape}: {self.requests_per_second:,.1f} requests and "
            f"{self.output_tokens_per_second:,.0f} tokens a second for {self.users:,} users."
            + (f" Not kept: {', '.join(broken)}." if broken else "")
        )

    @property
    def shape(self) -> str:
        """Replicas and their layouts in a phrase."""
        p, d = self.prefill, self.decode
        if p is None or d is None:
            return "nothing"
        if self.together:
            if d.replicas == d.devices == 1:
                return "one device, which reads prompts and generates"
            each = f"{d.devices} devices ({d.fit.layout})" if d.devices > 1 else "one device"
            return f"{d.replicas} × {each}, each of which reads prompts and generates"
        return (
            f"{p.replicas} × {p.devices} devices for prompts ({p.fit.layout}) and {d.replicas} × {d.devices} to "
            f"generate ({d.fit.layout})"
        )

    def summary(self) -> str:
        """The verdict."""
        return self.verdict

    def blocks(self) -> Sequence[Block]:
        """The verdict with its rates, the two phases, and the guard rails."""
        facts = [
            ("requests", f"{self.requests_per_second:,.1f} a second"),
            ("tokens", f"{self.output_tokens_per_second:,.0f} a second, {self.per_device:,.0f} a device"),
            ("users at once", f"{self.users:,}"),
        ]
        if self.asked is not None:
            said = f"first token {seconds(self.asked.ttft)}, then {seconds(self.asked.tpot)} each"
            facts.append((f"at {self.asked.requests_per_second:,.4g} requests a second", said))
        if self.cost_per_million_tokens is not None:
            facts.append(("a million output tokens", f"${self.cost_per_million_tokens:,.2f}"))
        named = ("phase", "replicas", "devices_a_replica", "layout", "batch", "tokens_per_second", "bottleneck")
        lines = [tuple(v if isinstance(v := r[n], str) else f"{v:,.6g}" for n in named) for r in self.rows()]
        rails = [(what, "yes" if holds else "no", said) for what, holds, said in self.guards]
        return [
            Facts(self.verdict, facts),
            Grid("Phases", tuple(n.replace("_", " ") for n in named), lines),
            Grid("Guard rails", ("Guard", "Holds", "Figures"), rails, left=3),
        ]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each phase."""
        return [phase.row() for phase in (self.prefill, self.decode) if phase]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for json.dumps."""
        rates = ("requests_per_second", "output_tokens_per_second", "per_device", "ttft", "tpot", "users")
        costs = ("cost_per_hour", "cost_per_million_tokens", "joules_per_token", "fits", "verdict", "racks", "together")
        return {
            "model": self.model.name,
            "rack": {f.name: getattr(self.rack, f.name) for f in fields(Rack)} | {"device": self.device.id},
            "traffic": {f.name: getattr(self.traffic, f.name) for f in fields(Traffic)},
            "phases": self.rows(),
            **{name: getattr(self, name) for name in (*rates, *costs)},
            "likely": {kind: self.likely(kind) for kind in ("ttft", "tpot")},
            "asked": asdict(self.asked) if self.asked else None,
            "guards": [{"guard": what, "holds": holds, "figures": said} for what, holds, said in self.guards],
        }
