"""`solve(model, goal=...)`: the largest batch, the longest context, the most users, the fewest or the cheapest devices,
over every valid layout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from calculator.engines.memory.ask import layout_counts, longest
from calculator.engines.memory.fit import Fit, fit
from calculator.engines.memory.shares import weights_listed
from calculator.errors import CalculatorError, WorkloadError, choose, shown
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.hardware import devices as devices_known
from calculator.model import Model
from calculator.numbers.blocks import Block, Facts, Grid, Shown
from calculator.parallel.layout import MOST, Layout
from calculator.search.layouts import layouts
from calculator.serving.serve import serve

GOALS = {
    "max-batch": "sequences of max_model_len tokens at once",
    "max-context": "tokens of the longest sequence, with `concurrency` of them at once",
    "max-concurrency": "users at once within the latency targets",
    "min-devices": "devices that hold `concurrency` sequences of max_model_len tokens",
    "cheapest": "dollars an hour for devices that hold them",
}
"""Goal -> what its value counts."""
MOST_ASKED = 20_000  # layouts that one question tries
LEAST = ("min-devices", "cheapest")  # goals whose smallest value is the best


@dataclass(frozen=True, eq=False)
class Candidate:
    """One layout of one device, asked.

    Attributes:
        value: what the goal counts. ttft, tpot: expected seconds, where a target was given.
    """

    value: float
    fit: Fit
    ttft: float | None = None
    tpot: float | None = None

    @property
    def devices(self) -> int:
        """Devices of the layout."""
        return self.fit.layout.devices

    def row(self) -> dict[str, Any]:
        """The candidate as a table's row."""
        return {
            "device": self.fit.device.id,
            "devices": self.devices,
            **layout_counts(self.fit.layout),
            "value": self.value,
            "cache_tokens": self.fit.cache_tokens,
            "sequences": sequences(self.fit),
            "ttft": self.ttft,
            "tpot": self.tpot,
        }


@dataclass(frozen=True, eq=False, repr=False)
class Solution(Shown):
    """The answer to a goal.

    Attributes:
        model, goal: what was asked. candidates: every layout that fits, the best first.
        asked: how many layouts were tried. nearest: where none fits, the fit that lacks the least.
    """

    model: Model
    goal: str
    candidates: tuple[Candidate, ...]
    asked: int
    nearest: Fit | None = None

    @property
    def best(self) -> Candidate | None:
        """The candidate with the fewest devices, None where none fits."""
        return self.candidates[0] if self.candidates else None

    @property
    def value(self) -> float | None:
        """What the goal counts, None where nothing fits."""
        return self.best.value if self.best else None

    @property
    def layout(self) -> Any:
        """The best candidate's layout, None where none fits."""
        return self.best.fit.layout if self.best else None

    @property
    def device(self) -> Device | None:
        """The best candidate's device, None where none fits."""
        return self.best.fit.device if self.best else None

    @property
    def fit(self) -> Fit | None:
        """What stands in the best candidate's memory; where none fits, in the nearest one's."""
        return self.best.fit if self.best else self.nearest

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        best = self.best
        if best is None:
            if self.nearest is None:
                return f"No layout of {self.model.name} was possible."
            return f"None of {self.asked:,} layouts fits. The nearest: {self.nearest.verdict}"
        counts = {k: v for k, v in layout_counts(best.fit.layout).items() if v > 1}
        words = ", ".join(f"{k.replace('_', ' ').upper()} {v}" for k, v in counts.items()) or "one device"
        where = f"{best.devices} × {best.fit.device.name} ({words})"
        if self.goal == "min-devices":
            return f"{self.model.name} needs {where}; {sequences(best.fit):,} sequences then fit."
        if self.goal == "cheapest":
            return f"{self.model.name} costs least on {where}: ${best.value:,.2f} an hour at list prices."
        named = {"max-batch": "sequences", "max-context": "tokens of context", "max-concurrency": "users"}[self.goal]
        return f"{self.model.name} on {where}: {best.value:,.0f} {named}."

    def summary(self) -> str:
        """The verdict."""
        return self.verdict

    def blocks(self) -> Sequence[Block]:
        """The verdict, and the ten best layouts."""
        named = ("device", "devices", "tp", "pp", "dp", "ep", "attention_dp", "value", "sequences")
        lines = [tuple(f"{v:,.6g}" if not isinstance(v := r[n], str) else v for n in named) for r in self.rows()[:10]]
        titles = tuple(n.replace("_", " ") for n in named)
        return [Facts(self.verdict, [("layouts tried", f"{self.asked:,}")]), Grid(GOALS[self.goal], titles, lines)]

    def rows(self) -> list[dict[str, Any]]:
        """A row for each layout that fits, the best first."""
        return [candidate.row() for candidate in self.candidates]

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "model": self.model.name,
            "goal": self.goal,
            "value": self.value,
            "unit": GOALS[self.goal],
            "verdict": self.verdict,
            "asked": self.asked,
            "layouts": self.rows(),
            "fit": self.fit.to_dict() if self.fit else None,
        }


def solve(
    model: Model,
    goal: str = "max-concurrency",
    device: Any = None,
    *,
    engine: str = "vllm",
    devices: int | None = None,
    layout: Any = None,
    max_model_len: int | None = None,
    concurrency: int = 1,
    ttft: float | None = None,
    tpot: float | None = None,
    prompt_length: int | None = None,
    output_length: int | None = None,
    **settings: Any,
) -> Solution:
    """The best layout for a goal.

    Args:
        goal: of GOALS.
        device: a device, or several of them to choose from; for "cheapest" None is every device with a price.
        devices: how many there are; for "min-devices" and "cheapest" how many at the most (64).
        layout: one layout instead of all.
        concurrency: sequences that have to fit, for goals that do not ask for them.
        ttft, tpot: seconds that the expected times may take at the most; `prompt_length` and `output_length` say of
            what (by default three quarters and a quarter of max_model_len).
        settings: of the engine, and `dtype` and `kv_dtype`, as `fit` takes them.

    Raises:
        CalculatorError: a goal, a device or a setting that is not known.
    """
    if goal not in GOALS:
        raise WorkloadError(f"goal {goal!r} is not known; {choose(goal, GOALS)}")
    if devices is not None and (isinstance(devices, bool) or not isinstance(devices, int) or not 1 <= devices <= MOST):
        raise WorkloadError(f"devices must be a whole number from 1 to {MOST:,}, not {shown(devices)}.")
    common = {**settings, "engine": engine, "max_model_len": max_model_len}
    targets = _Targets(ttft, tpot, prompt_length, output_length)
    found: list[Candidate] = []
    asked, nearest = 0, None
    for card in _cards(device, goal):
        here: list[Candidate] = []
        late: set[tuple[int, ...]] = set()
        for group in _groups(model, card, goal, engine, devices, layout, settings.get("dtype", "auto")):
            for tried in group:
                # Who is late with room for everyone stays late: more stages add no speed.
                alike = (tried.tp, tried.cp, tried.dp, tried.ep, tried.attention_dp)
                if alike in late:
                    continue
                if asked == MOST_ASKED:
                    raise WorkloadError(
                        f"{goal} has more than {MOST_ASKED:,} layouts to try; name one device, fewer devices, or a "
                        "layout."
                    )
                answer = fit(model, card, layout=tried, concurrency=_share(concurrency, tried), **common)
                asked += 1
                if not _holds(answer, goal):
                    nearest = answer if nearest is None or _lack(answer) < _lack(nearest) else nearest
                    continue
                candidate = _candidate(answer, goal, concurrency, targets)
                here += [candidate] if candidate else []
                if goal in LEAST and candidate is None and sequences(answer) >= concurrency:
                    late.add(alike)
            if here:  # of goals that want the least, more devices are not better
                break
        found += here
    found.sort(key=lambda c: (c.value if goal in LEAST else -c.value, c.devices, _complexity(c.fit.layout)))
    return Solution(model, goal, tuple(found), asked, None if found else nearest)


@dataclass(frozen=True)
class _Targets:
    ttft: float | None
    tpot: float | None
    prompt: int | None
    output: int | None

    @property
    def given(self) -> bool:
        return self.ttft is not None or self.tpot is not None


def _cards(device: Any, goal: str) -> list[Any]:
    if device is None:
        if goal != "cheapest":
            raise WorkloadError("solve needs a device; only the goal cheapest chooses one from the catalogue.")
        return [d for d in devices_known() if price(d)]
    several = device if isinstance(device, Sequence) and not isinstance(device, str) else [device]
    return [device_named(d) for d in several]


def price(device: Device) -> float | None:
    """Dollars an hour for one device, None where no price is known."""
    return device.price or None


def _groups(
    model: Model, card: Any, goal: str, engine: str, devices: int | None, layout: Any, dtype: str
) -> Iterable[Iterable[Any]]:
    """Layouts to try, those of fewer devices first where the least is wanted; otherwise all in one group."""
    if layout is not None:
        yield [layout]
        return
    domain = max(card.domain, card.node)
    if goal not in LEAST:
        yield layouts(model, devices or 1, engine, largest_tp=domain)
        return
    weights = sum(op.weight_bytes * op.stored for op in weights_listed(model, dtype, "auto"))
    host = engine == "llama.cpp"  # whose layers may stay on the host
    # Replicas side by side need no more than one, so the fewest devices are those of one replica, which is at most a
    # tensor group for each layer.
    most = min(devices or 64, model.layers * max(domain, 1))
    for count in range(1 if host else max(1, -(-int(weights) // card.memory)), most + 1):
        yield (tried for tried in layouts(model, count, engine, largest_tp=domain) if tried.dp == 1)


def _lack(answer: Fit) -> int:
    """Bytes that all devices lack together."""
    return answer.short_by * answer.layout.devices


def _share(concurrency: int, layout: Layout) -> int:
    """Sequences of one replica's attention group."""
    return -(-concurrency // (layout.dp * layout.attention_dp))


def sequences(found: Fit) -> int:
    """Sequences that all replicas hold together."""
    return found.sequences * found.layout.dp * found.layout.attention_dp


def _holds(answer: Fit, goal: str) -> bool:
    return longest(answer.budget, answer.concurrency) > 0 if goal == "max-context" else answer.fits


def _candidate(answer: Fit, goal: str, concurrency: int, targets: _Targets) -> Candidate | None:
    if goal == "max-context":
        length = longest(answer.budget, answer.concurrency)
        limit = answer.model.context_length
        return Candidate(min(length, limit) if limit else length, answer)
    if goal == "max-batch":
        return Candidate(sequences(answer), answer)
    if goal == "max-concurrency":
        return _most_users(answer, targets)
    users = concurrency
    times = _times(answer, users, targets)
    if times is None:
        return None
    count = answer.layout.devices
    value = count if goal == "min-devices" else count * (price(answer.device) or 0)
    return Candidate(value, answer, *times)


def _times(answer: Fit, users: int, targets: _Targets) -> tuple[float | None, float | None] | None:
    """Expected times at that many users, None where they miss a target."""
    if not targets.given:
        return None, None
    length = answer.max_model_len
    output = targets.output or max(1, length // 4)
    try:
        served = serve(
            answer.model,
            device=answer.device,
            engine=answer.engine,
            layout=answer.layout,
            prompt_length=targets.prompt or max(1, length - output),
            output_length=output,
            concurrency=users,
            dtype=answer.dtype,
            kv_dtype=answer.kv_dtype,
            **answer.settings,
        )
    except CalculatorError:  # the layout cannot be timed: not a candidate
        return None
    first, each = served.ttft.expected, served.tpot.expected
    late = (targets.ttft is not None and first > targets.ttft) or (targets.tpot is not None and each > targets.tpot)
    return None if late else (first, each)


def _most_users(answer: Fit, targets: _Targets) -> Candidate | None:
    most = sequences(answer)
    if most < 1:
        return None
    if not targets.given:
        return Candidate(most, answer)
    if _times(answer, 1, targets) is None:
        return None
    low, high = 1, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _times(answer, middle, targets) else (low, middle)
    return Candidate(low, answer, *(_times(answer, low, targets) or (None, None)))


def _complexity(layout: Any) -> tuple[int, ...]:
    """Simpler layouts first where others are equal: fewer stages, then fewer kinds of parallelism."""
    return (layout.pp, layout.attention_dp, layout.ep, layout.tp)
