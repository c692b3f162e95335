"""`solve(model, goal=...)`: the largest batch, the longest context, the most users, the fewest or the cheapest devices,
over every valid layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from calculator.engines.memory.ask import longest
from calculator.engines.memory.fit import Fit, fit
from calculator.engines.memory.shares import weights_listed
from calculator.errors import CalculatorError, WorkloadError, choose, needs, shown
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.hardware import devices as devices_known
from calculator.model import Model
from calculator.parallel.layout import MOST, Layout
from calculator.search.largest import largest
from calculator.search.layouts import layouts
from calculator.search.solution import GOALS, Candidate, Solution, sequences
from calculator.serving.serve import serve

__all__ = ["GOALS", "Candidate", "Solution", "price", "sequences", "solve"]

MOST_ASKED = 20_000  # layouts that one question tries
LEAST = ("min-devices", "cheapest")  # goals whose smallest value is the best
MOST_DEVICES = 64  # of which goals that want the least look for an answer, where no number is given


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
    needs("solve", model, Model)
    needs("solve", layout, Layout, optional=True)
    if goal not in GOALS:
        raise WorkloadError(f"goal {goal!r} is not known; {choose(goal, GOALS)}")
    if devices is not None and (isinstance(devices, bool) or not isinstance(devices, int) or not 1 <= devices <= MOST):
        raise WorkloadError(f"devices must be a whole number from 1 to {MOST:,}, not {shown(devices)}.")
    search = _Search(model, goal, concurrency, _Targets(ttft, tpot, prompt_length, output_length))
    common = {**settings, "engine": engine, "max_model_len": max_model_len}
    for card in _cards(device, goal):
        if goal in LEAST:
            search.least(card, layout, devices or MOST_DEVICES, common)
        else:
            search.most(card, layout, devices or 1, common)
    return search.solution()


@dataclass
class _Search:
    """Layouts tried for one question, and what was found."""

    model: Model
    goal: str
    users: int
    targets: _Targets
    found: list[Candidate] = field(default_factory=list)
    asked: int = 0
    nearest: Fit | None = None
    late: Candidate | None = None

    def solution(self) -> Solution:
        """The best first; where the smallest is the best, those of each device that need the fewest."""
        sign = 1 if self.goal in LEAST else -1
        self.found.sort(key=lambda c: (sign * c.value, c.devices, _complexity(c.fit.layout)))
        missed = (None, None) if self.found else (self.nearest, self.late)
        return Solution(self.model, self.goal, tuple(self.found), self.asked, *missed)

    def fit(self, card: Device, layout: Layout, common: dict[str, Any]) -> Fit:
        """One layout more.

        Raises:
            WorkloadError: they are too many.
        """
        if self.asked == MOST_ASKED:
            raise WorkloadError(
                f"{self.goal} has more than {MOST_ASKED:,} layouts to try; name one device, fewer devices, or a layout."
            )
        self.asked += 1
        return fit(self.model, card, layout=layout, concurrency=_share(self.users, layout), **common)

    def lacks(self, answer: Fit) -> None:
        """Remember the layout that lacks the least."""
        if self.nearest is None or _lack(answer) < _lack(self.nearest):
            self.nearest = answer

    def misses(self, candidate: Candidate) -> None:
        """Remember the layout that is late by the least."""
        if self.late is None or candidate.late < self.late.late:
            self.late = candidate

    def most(self, card: Device, layout: Layout | None, devices: int, common: dict[str, Any]) -> None:
        """Every layout of exactly so many devices, for what a larger value of is better."""
        for tried in _layouts(self.model, card, common["engine"], layout, devices):
            answer = self.fit(card, tried, common)
            if not (longest(answer.budget, answer.concurrency) > 0 if self.goal == "max-context" else answer.fits):
                self.lacks(answer)
            elif (candidate := self._valued(answer)) is not None:
                (self.misses if candidate.late > 1 else self.found.append)(candidate)

    def _valued(self, answer: Fit) -> Candidate | None:
        if self.goal == "max-context":
            length = longest(answer.budget, answer.concurrency)
            limit = answer.model.context_length
            return Candidate(min(length, limit) if limit else length, answer)
        held = sequences(answer)
        if self.goal == "max-batch" or (held and not self.targets.given):
            return Candidate(held, answer)
        times: dict[int, Candidate] = {}

        def late(users: int) -> float:
            times[users] = self.targets.timed(answer, users)
            return times[users].late

        try:
            users = largest(held, late)
        except CalculatorError:  # the layout cannot be timed: not a candidate
            return None
        return times.get(max(users, 1))

    def least(self, card: Device, layout: Layout | None, devices: int, common: dict[str, Any]) -> None:
        """The fewest devices: of each layout of one replica as many side by side as the users need, while that is no
        more than what was found before."""
        limit, first = devices if layout is None else layout.devices, 1
        if layout is None and common["engine"] != "llama.cpp":  # whose layers may stay on the host
            kept = weights_listed(self.model, common.get("dtype", "auto"), "auto")
            first = max(1, -(-int(sum(op.weight_bytes * op.stored for op in kept)) // card.memory))
        # A replica is at most a tensor group for each layer.
        last = min(limit, self.model.layers * max(card.domain, card.node, 1))
        best: list[Candidate] = []
        late: set[Layout] = set()
        for count in range(first, last + 1) if layout is None else (layout.devices,):
            if count > limit:
                break
            for one in _layouts(self.model, card, common["engine"], layout, count):
                if (layout is None and one.dp > 1) or replace(one, pp=1) in late:
                    continue
                found, tried = self._fewest(card, one, 1 if layout else limit // count, common)
                # Who is late with one user a replica stays late: more stages add no speed to that.
                if tried is not None and tried.late > 1:
                    alone = self.targets.timed(tried.fit, tried.fit.layout.dp)
                    if alone.late > 1:
                        late.add(replace(one, pp=1))
                if found is not None:
                    limit = min(limit, found.devices)
                    best.append(found)
        self.found += [candidate for candidate in best if candidate.devices == limit]

    def _fewest(
        self, card: Device, one: Layout, most: int, common: dict[str, Any]
    ) -> tuple[Candidate | None, Candidate | None]:
        """The fewest replicas, at most so many, that hold the users and keep the targets; and the most, timed, None
        where they do not hold them."""
        answer = self.fit(card, replace(one, dp=one.dp * most), common)
        if not answer.fits or sequences(answer) < self.users:  # the engine's own limit is one, too
            self.lacks(answer)
            return None, None
        held = sequences(answer) // most
        fewest = -(-self.users // held)
        try:
            timed = self.targets.timed(answer, self.users)
            if timed.late > 1:
                self.misses(timed)
                return None, timed

            def late(saved: int) -> float:
                return self.targets.timed(self._side_by_side(answer, one, most - saved), self.users).late

            count = most - (largest(most - fewest, late) if most > fewest else 0)
            best = self._side_by_side(answer, one, count)
            timed = self.targets.timed(best, self.users)
        except CalculatorError:  # the layout cannot be timed: not a candidate
            return None, None
        value = best.layout.devices * (1.0 if self.goal == "min-devices" else price(card) or 0.0)
        return replace(timed, value=value), timed

    def _side_by_side(self, answer: Fit, one: Layout, count: int) -> Fit:
        layout = replace(one, dp=one.dp * count)
        return answer.again(layout=layout, concurrency=_share(self.users, layout))


@dataclass(frozen=True)
class _Targets:
    ttft: float | None
    tpot: float | None
    prompt: int | None
    output: int | None

    @property
    def given(self) -> bool:
        return self.ttft is not None or self.tpot is not None

    def timed(self, answer: Fit, users: int) -> Candidate:
        """A layout with its expected times at so many users, where a target is given."""
        if not self.given:
            return Candidate(users, answer)
        length = answer.max_model_len
        output = self.output or max(1, length // 4)
        served = serve(
            answer.model,
            device=answer.device,
            engine=answer.engine,
            layout=answer.layout,
            prompt_length=self.prompt or max(1, length - output),
            output_length=output,
            concurrency=users,
            dtype=answer.dtype,
            kv_dtype=answer.kv_dtype,
            **answer.settings,
        )
        times = served.ttft.expected, served.tpot.expected
        late = [time / target for time, target in zip(times, (self.ttft, self.tpot), strict=True) if target is not None]
        return Candidate(users, answer, *times, max(late))


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


def _layouts(model: Model, card: Device, engine: str, layout: Layout | None, devices: int) -> Iterator[Layout]:
    """Layouts to try: the one that is given, or all of so many devices."""
    if layout is not None:
        yield layout
        return
    yield from layouts(model, devices, engine, largest_tp=max(card.domain, card.node))


def _lack(answer: Fit) -> tuple[int, int]:
    """Bytes that all devices lack together; where none do, the more sequences run at once, the less is missing."""
    return answer.short_by * answer.layout.devices, -sequences(answer)


def _share(concurrency: int, layout: Layout) -> int:
    """Sequences of one replica's attention group."""
    return -(-concurrency // (layout.dp * layout.attention_dp))


def _complexity(layout: Layout) -> tuple[int, ...]:
    """Simpler layouts first where others are equal: fewer stages, then fewer kinds of parallelism."""
    return (layout.pp, layout.attention_dp, layout.ep, layout.tp)
