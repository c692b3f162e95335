"""`provision(model, rack=...)`: how a machine or a rack serves a model: layouts for prompts and for generation, how
many replicas of each, what bounds them, how fast, how many tokens a second, and what it costs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

from calculator.config import DATA
from calculator.engines.memory.ask import layout_counts
from calculator.engines.memory.fit import Fit, fit
from calculator.errors import CalculatorError, WorkloadError, shown
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.model import Model
from calculator.numbers.blocks import Block, Facts, Grid, Shown
from calculator.numbers.units import GIB
from calculator.search.layouts import divisors, layouts
from calculator.search.solve import sequences
from calculator.serving.serve import Serving, serve

BOUNDS = {
    "products": "the arithmetic of its matrix products",
    "memory": "reading weights and cache from memory",
    "collectives": "communication between its devices",
    "launches": "starting kernels",
}
"""Parts of a pass's time, and what a person calls them."""
MOST_STAGES = 4  # pipeline stages: more of them add latency that no phase wins back


@dataclass(frozen=True)
class Rack:
    """A machine or rack that is sold whole.

    Attributes:
        device: its device's id; devices: how many. watts: of the whole. source: where that was read.
    """

    id: str
    name: str
    device: str
    devices: int
    watts: int
    source: str


@cache
def racks() -> tuple[Rack, ...]:
    """The racks and machines that are known."""
    return tuple(Rack(**row) for row in _read()["racks"])


@cache
def _read() -> dict[str, Any]:
    read: dict[str, Any] = json.loads((DATA / "racks.json").read_text(encoding="utf-8"))
    return read


def rack_named(named: str | Rack) -> Rack:
    """A rack by its id.

    Raises:
        WorkloadError: there is none of that name.
    """
    if isinstance(named, Rack):
        return named
    key = str(named).lower()
    key = _read()["also"].get(key, key)
    for rack in racks():
        if rack.id == key:
            return rack
    raise WorkloadError(f"Rack {named!r} is not known; choose one of {', '.join(r.id for r in racks())}.")


@dataclass(frozen=True)
class Traffic:
    """What is asked of the rack.

    Attributes:
        prompt_length, output_length: tokens of a request. requests_per_second: that arrive; None: as many as it can.
        ttft, tpot: seconds that the first and each further token may take.
    """

    prompt_length: int = 4096
    output_length: int = 1024
    requests_per_second: float | None = None
    ttft: float = 2.0
    tpot: float = 0.05

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "requests_per_second" and value is None:
                continue
            whole = f.name.endswith("_length")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not 0 < value <= 1e9:
                kind = "a whole number of tokens" if whole else "a number"
                raise WorkloadError(f"{f.name} of the traffic must be {kind} above 0, up to 10^9, not {shown(value)}.")

    @staticmethod
    def of(said: Traffic | Mapping[str, Any] | None) -> Traffic:
        """Traffic from its fields by name.

        Raises:
            WorkloadError: there is no such field.
        """
        if isinstance(said, Traffic):
            return said
        given = dict(said or {})
        known = [f.name for f in fields(Traffic)]
        for name in given:
            if name not in known:
                raise WorkloadError(f"Traffic has no {name!r}; its fields are {', '.join(known)}.")
        return Traffic(**given)


@dataclass(frozen=True, eq=False)
class Phase:
    """Replicas that run prompts, or that generate.

    Attributes:
        name: "prefill" or "decode". fit, served: of one replica. batch: sequences of one replica at once.
        seconds: of a prompt, or of a token. tokens_per_second: of one replica.
        replicas: of the rack. bottleneck: what takes most of the time (of BOUNDS); share: its part of it.
    """

    name: str
    fit: Fit = field(repr=False)
    served: Serving = field(repr=False)
    batch: int
    seconds: float
    tokens_per_second: float
    bottleneck: str
    share: float
    replicas: int = 0

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


@dataclass(frozen=True, eq=False, repr=False)
class Plan(Shown):
    """How a rack serves a model. Rates are of the whole rack.

    Attributes:
        model, rack, device, traffic: what was asked. prefill, decode: the two phases; None where nothing fits.
        racks: how many are needed for the traffic.
        guards: guard rails, each (what, whether it holds, the figures).
    """

    model: Model = field(repr=False)
    rack: Rack
    device: Device = field(repr=False)
    traffic: Traffic
    prefill: Phase | None
    decode: Phase | None
    racks: int
    guards: tuple[tuple[str, bool, str], ...]

    @property
    def requests_per_second(self) -> float:
        """What the slower of the phases lets through."""
        return _rate(self.prefill, self.decode, self.traffic)

    @property
    def output_tokens_per_second(self) -> float:
        """Output tokens a second of the whole rack, at the rate of requests."""
        return self.requests_per_second * self.traffic.output_length

    @property
    def per_device(self) -> float:
        """Output tokens per second and device of the rack."""
        return self.output_tokens_per_second / self.rack.devices

    @property
    def ttft(self) -> float | None:
        """Expected seconds to the first token, without queueing."""
        return self.prefill.served.ttft.expected if self.prefill else None

    @property
    def tpot(self) -> float | None:
        """Seconds from one output token to the next; None where the rack decodes nothing."""
        return self.decode.seconds if self.decode else None

    @property
    def users(self) -> int:
        """Requests that generate at once."""
        return self.decode.batch * self.decode.replicas if self.decode else 0

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
        """Of the whole rack at its rated power."""
        return self.rack.watts / self.output_tokens_per_second if self.output_tokens_per_second else None

    @property
    def fits(self) -> bool:
        """Whether all guard rails hold."""
        return all(holds for _, holds, _ in self.guards)

    @property
    def verdict(self) -> str:
        """The plan in a sentence or two."""
        if self.prefill is None or self.decode is None:
            return f"{self.model.name} does not run on {self.rack.name}: {next(g[2] for g in self.guards if not g[1])}"
        p, d = self.prefill, self.decode
        broken = [what for what, holds, _ in self.guards if not holds]
        return (
            f"{self.model.name} on {self.rack.name}: {p.replicas} × {p.devices} devices for prompts ({p.fit.layout}) "
            f"and {d.replicas} × {d.devices} to generate ({d.fit.layout}): {self.requests_per_second:,.1f} requests "
            f"and {self.output_tokens_per_second:,.0f} tokens a second for {self.users:,} users."
            + (f" Not kept: {', '.join(broken)}." if broken else "")
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
        costs = ("cost_per_hour", "cost_per_million_tokens", "joules_per_token", "fits", "verdict", "racks")
        return {
            "model": self.model.name,
            "rack": {f.name: getattr(self.rack, f.name) for f in fields(Rack)},
            "traffic": {f.name: getattr(self.traffic, f.name) for f in fields(Traffic)},
            "phases": self.rows(),
            **{name: getattr(self, name) for name in (*rates, *costs)},
            "guards": [{"guard": what, "holds": holds, "figures": said} for what, holds, said in self.guards],
        }


def provision(
    model: Model,
    rack: str | Rack = "gb300-nvl72",
    traffic: Traffic | Mapping[str, Any] | None = None,
    *,
    engine: str = "vllm",
    dtype: str = "auto",
    kv_dtype: str = "auto",
    **settings: Any,
) -> Plan:
    """How a rack serves a model, prompts and generation on replicas of their own.

    Args:
        rack: an id (`calculator.search.provision.racks()`), for instance "gb300-nvl72" or "dgx-h100".
        traffic: a Traffic or its fields by name.
        settings: of the engine, as `fit` takes them.

    Raises:
        CalculatorError: a rack, a field of the traffic or a setting that is not known.
    """
    chosen, wanted = rack_named(rack), Traffic.of(traffic)
    card = device_named(chosen.device)
    length = wanted.prompt_length + wanted.output_length
    given = {**settings, "engine": engine, "dtype": dtype, "kv_dtype": kv_dtype, "max_model_len": length}
    fitting, nearest = _fitting(model, card, chosen, engine, given)
    prefill = _best(_prompts(found, wanted) for found in fitting)
    decode = _best(_generation(found, wanted) for found in fitting)
    if prefill and decode:
        prefill, decode = _shared(prefill, decode, chosen.devices, wanted)
    needed = 1
    rate = _rate(prefill, decode, wanted)
    if wanted.requests_per_second and rate:
        needed = max(1, -int(-wanted.requests_per_second // rate))
    guards = tuple(_guards(model, chosen, card, wanted, prefill, decode, nearest, needed))
    return Plan(model, chosen, card, wanted, prefill, decode, needed, guards)


def _rate(prefill: Phase | None, decode: Phase | None, traffic: Traffic) -> float:
    if prefill is None or decode is None:
        return 0.0
    return min(
        prefill.tokens_per_second * prefill.replicas / traffic.prompt_length,
        decode.tokens_per_second * decode.replicas / traffic.output_length,
    )


def _fitting(
    model: Model, card: Device, rack: Rack, engine: str, given: Mapping[str, Any]
) -> tuple[list[Fit], Fit | None]:
    """One replica in every layout that fits, and where none does the one that lacks the least."""
    found, nearest = [], None
    for count in divisors(rack.devices):
        if count == rack.devices and rack.devices > card.domain:
            continue
        for layout in layouts(model, count, engine, largest_tp=card.domain):
            if layout.dp > 1 or layout.pp > MOST_STAGES:
                continue
            answer = fit(model, card, layout=layout, **given)
            if answer.fits:
                found.append(answer)
            elif nearest is None or answer.short_by < nearest.short_by:
                nearest = answer
    return found, nearest


def _served(found: Fit, traffic: Traffic, users: int) -> Serving | None:
    try:
        return serve(
            found.model,
            device=found.device,
            engine=found.engine,
            layout=found.layout,
            prompt_length=traffic.prompt_length,
            output_length=traffic.output_length,
            concurrency=users,
            dtype=found.dtype,
            kv_dtype=found.kv_dtype,
            **found.settings,
        )
    except CalculatorError:  # no time is known for the layout: it is not a candidate
        return None


def _phase(name: str, found: Fit, served: Serving, batch: int, seconds: float, tokens: float) -> Phase:
    timed = served.prefill if name == "prefill" else served.decode
    parts = {part: getattr(timed, part) for part in BOUNDS}
    largest = max(parts, key=lambda part: parts[part])
    return Phase(name, found, served, batch, seconds, tokens, largest, parts[largest] / (sum(parts.values()) or 1))


def _prompts(found: Fit, traffic: Traffic) -> tuple[bool, Phase] | None:
    """A replica that runs one prompt at a time in each of its copies of the attention."""
    served = _served(found, traffic, 1)
    if served is None:
        return None
    seconds, copies = served.prefill.expected, found.layout.attention_dp
    phase = _phase("prefill", found, served, copies, seconds, copies * traffic.prompt_length / seconds)
    return served.ttft.expected <= traffic.ttft, phase


def _generation(found: Fit, traffic: Traffic) -> tuple[bool, Phase] | None:
    """A replica with the most sequences whose steps are within the target; the steps of a disaggregated replica are
    not interrupted by prompts. What the engine's host adds is that of a single sequence."""
    alone = _served(found, traffic, 1)
    if alone is None:
        return None
    host = max(0.0, alone.tpot.expected - alone.decode.expected)

    def at(users: int) -> tuple[Serving, float] | None:
        served = _served(found, traffic, users)
        return (served, served.decode.expected + host) if served else None

    most, best = sequences(found), (1, alone, alone.decode.expected + host)
    users = 2
    while users <= most:
        tried = at(users)
        if tried is None or tried[1] > traffic.tpot:
            break
        best = (users, *tried)
        users = users * 2 if users * 2 <= most or users == most else most
    batch, served, seconds = best
    return seconds <= traffic.tpot, _phase("decode", found, served, batch, seconds, batch / seconds)


def _best(candidates: Iterable[tuple[bool, Phase] | None]) -> Phase | None:
    """Of those within the target the one with the most tokens a device; of none, the fastest."""
    known = [c for c in candidates if c]
    kept = [phase for within, phase in known if within]
    if kept:
        return max(kept, key=lambda p: (p.per_device, -p.devices))
    return min((phase for _, phase in known), key=lambda p: p.seconds, default=None)


def _shared(prefill: Phase, decode: Phase, devices: int, traffic: Traffic) -> tuple[Phase, Phase]:
    """The numbers of replicas that let the most requests through."""
    best: tuple[float, int, int] = (0.0, 0, 0)
    for prompts in range(1, devices // prefill.devices + 1):
        generating = (devices - prompts * prefill.devices) // decode.devices
        rate = min(
            prompts * prefill.tokens_per_second / traffic.prompt_length,
            generating * decode.tokens_per_second / traffic.output_length,
        )
        best = max(best, (rate, -prompts, generating))
    _, prompts, generating = best
    return _times(prefill, -prompts), _times(decode, generating)


def _times(phase: Phase, replicas: int) -> Phase:
    values = {f.name: getattr(phase, f.name) for f in fields(Phase)}
    return Phase(**{**values, "replicas": replicas})


Guard = tuple[str, bool, str]


def _guards(
    model: Model,
    rack: Rack,
    card: Device,
    traffic: Traffic,
    prefill: Phase | None,
    decode: Phase | None,
    nearest: Fit | None,
    needed: int,
) -> Iterable[Guard]:
    if prefill is None or decode is None:
        lack = f"short by {nearest.short_by / GIB:.1f} GiB a device" if nearest else "no time is known for its device"
        yield "one replica fits", False, f"no replica fits or can be timed: {lack}."
        return
    length = traffic.prompt_length + traffic.output_length
    limit = model.context_length
    yield "context", limit is None or length <= limit, f"{length:,} of {limit or 0:,} tokens"
    used = prefill.devices * prefill.replicas + decode.devices * decode.replicas
    both = prefill.replicas > 0 and decode.replicas > 0
    yield "both phases run", both, f"{used} of {rack.devices} devices in use"
    held = sequences(decode.fit)
    yield "cache holds the batch", decode.batch <= held, f"{decode.batch:,} of {held:,} sequences a replica"
    widest = max(prefill.fit.layout.tp, decode.fit.layout.tp)
    yield "tensor group inside one scale-up domain", widest <= card.domain, f"{widest} of {card.domain} devices"
    first = prefill.served.ttft.expected
    yield "TTFT", first <= traffic.ttft, f"{first:.3f} of {traffic.ttft:g} s, expected, without queueing"
    yield "TPOT", decode.seconds <= traffic.tpot, f"{decode.seconds * 1e3:.1f} of {traffic.tpot * 1e3:g} ms, expected"
    if traffic.requests_per_second:
        rate = _rate(prefill, decode, traffic)
        said = f"{rate:,.1f} a second of {traffic.requests_per_second:,.1f}; {needed} racks are needed"
        yield "traffic", rate >= traffic.requests_per_second, said
