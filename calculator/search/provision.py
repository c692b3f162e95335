"""`provision(model, rack=...)`: how a machine or a rack serves a model: pools of replicas for prompts and for
generation, or replicas that do both; how many of each, what bounds them, how fast, how many tokens a second, and what
it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from calculator.engines.memory.fit import Fit, fit
from calculator.errors import CalculatorError, needs
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.model import Model
from calculator.numbers.units import GIB
from calculator.search.largest import largest
from calculator.search.layouts import divisors, layouts
from calculator.search.plan import Guard, Loaded, Phase, Plan
from calculator.search.racks import Rack, Traffic, rack_named
from calculator.search.solution import sequences
from calculator.serving.case import Case, Same, case_of
from calculator.serving.efficiency import engine_named
from calculator.serving.waiting import Request, arriving, beside, carried, handover, line, reading, stepping

HAIR = 1 - 1e-9  # of a limit, so that rounding does not pass it
MOST_STAGES = 4  # pipeline stages: more of them add latency that no phase wins back


@dataclass(frozen=True)
class Replica:
    """A layout that holds the model, and its time."""

    fit: Fit
    case: Case
    request: Request

    @property
    def devices(self) -> int:
        """Of its layout."""
        return self.fit.layout.devices


class Half(NamedTuple):
    """A phase of one replica with what it carries.

    Attributes:
        rate: requests a second that leave it within the target. seconds: to the first token before any queue, or of
            each further one. within: whether that is possible at all.
    """

    replica: Replica
    phase: Phase
    rate: float
    seconds: float
    within: bool


class Carried(NamedTuple):
    """What a rack carries: its phases with their replicas, the most that it takes and what users see then, whether that
    is within the targets, and `at`: what they see at a lower rate."""

    prefill: Phase
    decode: Phase
    together: bool
    most: Loaded
    within: bool
    at: Callable[[float], Loaded]


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
    """How a rack serves a model: pools for prompts and for generation, or replicas that do both, whichever carry more
    requests within the targets.

    Args:
        rack: an id (`calculator.racks()`), for instance "gb300-nvl72" or "dgx-h100".
        traffic: a Traffic or its fields by name.
        settings: of the engine, as `fit` takes them.

    Raises:
        CalculatorError: a rack, a field of the traffic or a setting that is not known.
    """
    needs("provision", model, Model)
    chosen, wanted = rack_named(rack), Traffic.of(traffic)
    card, name = device_named(chosen.device), engine_named(engine)
    length = wanted.prompt_length + wanted.output_length
    given = {**settings, "engine": name, "dtype": dtype, "kv_dtype": kv_dtype, "max_model_len": length}
    fitting, nearest = _fitting(model, card, chosen, name, given)
    replicas = [_replica(found, wanted) for found in fitting]
    choices = [*_apart(replicas, wanted, chosen.devices), *_together(replicas, wanted, chosen.devices)]
    best = max(choices, key=lambda c: (c.within, c.most.requests_per_second, not c.together), default=None)
    needed, asked, most = 1, None, best.most.requests_per_second if best else 0.0
    if best and wanted.requests_per_second and most:
        needed = max(1, -int(-wanted.requests_per_second // most))
        asked = best.at(min(wanted.requests_per_second / needed, most))
    guards = tuple(_guards(model, chosen, card, wanted, best, nearest, needed))
    if best is None:
        return Plan(model, chosen, card, wanted, None, None, False, None, needed, guards)
    return Plan(model, chosen, card, wanted, best.prefill, best.decode, best.together, best.most, needed, guards, asked)


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


def _replica(found: Fit, traffic: Traffic) -> Replica:
    names = (found.engine, found.layout, found.dtype, found.kv_dtype)
    case = case_of(Same(found.model), Same(found.device), *names, (), 0.0)
    cached = int(traffic.prompt_length * traffic.prefix_hit)
    return Replica(found, case, Request.like(traffic.prompt_length, cached, traffic.output_length))


def _known(halves: Iterable[Callable[[], Half]]) -> Iterator[Half]:
    """Those whose layout has a time."""
    for half in halves:
        try:
            yield half()
        except CalculatorError:  # no link is known between its devices
            continue


def _prompts(replica: Replica, traffic: Traffic) -> Half:
    """A replica that only reads prompts. It takes as many as leave their queue time for the first token's target."""
    case, request = replica.case, replica.request
    prompt = reading(case, request)
    moved = float(replica.fit.budget.cache.needed(request.prompt))
    first = prompt.alone + handover(case, replica.devices, moved) + case.efficiency.first_token
    # A target that even a prompt alone misses leaves it half busy, where prompts wait for half a prompt on average.
    waits = max(traffic.ttft - first, prompt.one / 2)
    rate = 2 * waits / (prompt.one + 2 * waits) / prompt.one * HAIR
    seconds, batch = prompt.first.expected, case.layout.attention_dp
    phase = Phase("prefill", replica.fit, prompt.first, batch, seconds, traffic.prompt_length / prompt.one)
    return Half(replica, phase, rate, first, first <= traffic.ttft)


def _generation(replica: Replica, traffic: Traffic) -> Half:
    """A replica that only generates, with the most sequences whose steps are within the target."""
    case, request = replica.case, replica.request
    batch = largest(sequences(replica.fit), lambda n: stepping(case, n, request, None)[1], traffic.tpot)
    step, seconds = stepping(case, max(batch, 1), request, None)
    tokens = max(batch, 1) / seconds
    phase = Phase("decode", replica.fit, step, max(batch, 1), seconds, tokens)
    return Half(replica, phase, tokens / traffic.output_length, seconds, batch > 0)


def _apart(replicas: list[Replica], traffic: Traffic, devices: int) -> Iterator[Carried]:
    """The two pools that carry the most requests."""
    reading_ones = list(_known(lambda r=r: _prompts(r, traffic) for r in replicas))  # type: ignore[misc]
    generating = list(_known(lambda r=r: _generation(r, traffic) for r in replicas))  # type: ignore[misc]
    best: tuple[tuple[bool, float, int], Half, int, Half, int] | None = None
    for first in reading_ones:
        for further in generating:
            rate, n, m = _split(first, further, devices)
            if not rate:
                continue
            used = n * first.phase.devices + m * further.phase.devices
            score = (first.within and further.within, rate, -used)
            if best is None or score > best[0]:
                best = (score, first, n, further, m)
    if best is None:
        return
    (within, rate, _), first, n, further, m = best
    phases = replace(first.phase, replicas=n), replace(further.phase, replicas=m)

    def waits(rate: float) -> float:
        return first.seconds + line(traffic.prompt_length / first.phase.tokens_per_second, rate / n)

    def at(rate: float) -> Loaded:
        batch, each = _generating(further, rate / m)
        return Loaded(rate, waits(rate), each, batch * m)

    yield Carried(*phases, False, at(rate), within, at)


def _generating(half: Half, rate: float) -> tuple[int, float]:
    """The sequences that generate at once where so many requests a second are handed over, as many as arrive while one
    generates (Little's law, 1961), and the seconds of their step."""
    case, request, most = half.replica.case, half.replica.request, half.phase.batch
    below = largest(most, lambda n: n / (request.output * stepping(case, n, request, None)[1]), rate * HAIR)
    batch = min(below + 1, most)
    return batch, stepping(case, batch, request, None)[1]


def _split(first: Half, further: Half, devices: int) -> tuple[float, int, int]:
    """The numbers of replicas that let the most requests through, and how many those are."""
    best = (0.0, 0, 0)
    for n in range(1, devices // first.phase.devices + 1):
        m = (devices - n * first.phase.devices) // further.phase.devices
        best = max(best, (min(n * first.rate, m * further.rate), -n, m))
    return best[0], -best[1], best[2]


def _together(replicas: list[Replica], traffic: Traffic, devices: int) -> Iterator[Carried]:
    """Replicas that do both, each with the most sequences whose times are within the targets."""
    for replica in replicas:
        case, request, count = replica.case, replica.request, devices // replica.devices
        try:
            batch = largest(sequences(replica.fit), lambda n, r=replica: _late(r, n, traffic))  # type: ignore[misc]
            rate = carried(case, request, max(batch, 1))
        except CalculatorError:  # no link is known between its devices
            continue
        if rate * reading(case, request, max(batch, 1)).one >= 1:
            continue
        waited = beside(case, request, rate, max(batch, 1))
        prompt, step = waited.first, waited.step
        prefill = Phase("prefill", replica.fit, prompt, case.layout.attention_dp, prompt.expected, 0.0, count)
        decode = Phase("decode", replica.fit, step, waited.batch, waited.tpot, rate * traffic.output_length, count)
        prefill = replace(prefill, tokens_per_second=rate * traffic.prompt_length)
        full = Loaded(rate * count, waited.ttft, waited.tpot, waited.batch * count)

        def at(
            rate: float, replica: Replica = replica, count: int = count, most: int = max(batch, 1), full: Loaded = full
        ) -> Loaded:
            each = arriving(replica.case, replica.request, rate / count, most, None)
            return Loaded(rate, each.ttft, each.tpot, each.batch * count) if each else full  # at the very most

        yield Carried(prefill, decode, True, full, batch > 0, at)


def _late(replica: Replica, batch: int, traffic: Traffic) -> float:
    """The time that misses its target by most, over that target, while so many generate at once."""
    case, request = replica.case, replica.request
    rate = carried(case, request, batch)
    if rate * reading(case, request, batch).one >= 1:  # as many together as come with each step
        return math.inf
    waited = beside(case, request, rate, batch)
    return max(waited.ttft / traffic.ttft, waited.tpot / traffic.tpot)


def _guards(
    model: Model, rack: Rack, card: Device, traffic: Traffic, best: Carried | None, nearest: Fit | None, needed: int
) -> Iterator[Guard]:
    if best is None:
        lack = f"short by {nearest.short_by / GIB:.1f} GiB a device" if nearest else "no time is known for its device"
        yield "one replica fits", False, f"no replica fits or can be timed: {lack}."
        return
    prefill, decode = best.prefill, best.decode
    length = traffic.prompt_length + traffic.output_length
    limit = model.context_length
    yield "context", limit is None or length <= limit, f"{length:,} of {limit or 0:,} tokens"
    used = decode.devices * decode.replicas + (0 if best.together else prefill.devices * prefill.replicas)
    yield "devices", used <= rack.devices, f"{used} of {rack.devices} in use"
    held = sequences(decode.fit)
    yield "cache holds the batch", decode.batch <= held, f"{decode.batch:,} of {held:,} sequences a replica"
    widest = max(prefill.fit.layout.tp, decode.fit.layout.tp)
    yield "tensor group inside one scale-up domain", widest <= card.domain, f"{widest} of {card.domain} devices"
    most = best.most
    yield "TTFT", most.ttft <= traffic.ttft, f"{most.ttft:.3f} of {traffic.ttft:g} s, expected, with the queue"
    yield "TPOT", most.tpot <= traffic.tpot, f"{most.tpot * 1e3:.1f} of {traffic.tpot * 1e3:g} ms, expected"
    if traffic.requests_per_second:
        rate = most.requests_per_second
        said = f"{rate:,.1f} a second of {traffic.requests_per_second:,.1f}; racks needed: {needed:,}"
        yield "traffic", rate >= traffic.requests_per_second, said
