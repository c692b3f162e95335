"""`serve`: what users of a serving engine see, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from calculator.errors import WorkloadError, needs
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.serving.case import USED, Case, Same, case_of, shared
from calculator.serving.efficiency import engine_named
from calculator.serving.mix import Mix
from calculator.serving.seconds import Seconds, seconds
from calculator.serving.shown import ServingShown
from calculator.serving.speculation import Speculation
from calculator.serving.timing import PassTime
from calculator.serving.waiting import Request, Waited, apart, arriving, together

__all__ = ["USED", "Serving", "Speculation", "serve"]


@dataclass(frozen=True, repr=False)
class Serving(ServingShown):
    """What a deployment gives its users.

    Attributes:
        ttft, tpot: time to the first token, and for each token after it.
        output_tokens_per_second: of all devices; per_device, per_user: of each.
        concurrency: sequences asked for; batch: those that run at once on one copy.
        fits: whether the weights and at least one sequence fit; memory: bytes by what they are, on the fullest device.
        cost_per_million_tokens: US dollars for output tokens, None without a price.
        joules_per_token: for output tokens, at the devices' rated power; None where that is not known.
    """

    model: Model = field(repr=False)
    device: Device = field(repr=False)
    layout: Layout
    engine: str
    concurrency: int
    batch: int
    ttft: Seconds
    tpot: Seconds
    end_to_end: Seconds
    output_tokens_per_second: float
    per_device: float
    per_user: float
    fits: bool
    memory: Mapping[str, int]
    cost_per_million_tokens: float | None
    decode: PassTime = field(repr=False)
    prefill: PassTime = field(repr=False)
    joules_per_token: float | None = None

    @property
    def memory_used(self) -> float:
        """Of the memory that the engine may use, the part that is taken while `batch` sequences run."""
        around = sum(self.memory.get(name, 0) for name in ("weights", "draft", "activations", "overhead"))
        held = self.batch / self.layout.attention_dp * self.memory["cache_per_sequence"]
        return (around + held) / (around + self.memory["cache_pool"])


def serve(
    model: Model,
    *,
    device: str | Device | Mapping[str, Any],
    engine: str = "vllm",
    layout: Layout | None = None,
    prompt_length: int | str = 1024,
    output_length: int | str = 256,
    concurrency: int | None = None,
    request_rate: float | None = None,
    requests: str | Path | Sequence[tuple[int, int]] | Mix | None = None,
    dtype: str = "auto",
    kv_dtype: str = "auto",
    devices: int | None = None,
    prefix_hit: float = 0.0,
    speculation: Speculation | Mapping[str, Any] | None = None,
    prefill_layout: Layout | None = None,
    prefill_workers: int = 1,
    decode_workers: int = 1,
    price: float | None = None,
    parameters: Mapping[str, float] | None = None,
    **settings: Any,
) -> Serving:
    """Times, throughput and cost of serving a model to a closed loop of users, or to requests that arrive at random.

    Args:
        device: a name, a Device, or numbers of one's own. layout: of one copy or of all devices; None: the largest
            tensor group that `devices` make. devices: all of them; as many times the layout's as there are copies
            behind a balancer.
        prompt_length, output_length: tokens of a request, or a distribution of them: "512-4096", "exponential:1024",
            "lognormal:1024:0.8" (mean, and standard deviation over it). prefix_hit: the share of the prompt that is
            found in the cache.
        concurrency: users, each of whom asks again as soon as the answer is there; 1 by default.
        request_rate: or requests that arrive a second, whoever waits.
        requests: instead of the lengths, pairs of them, a `Mix` or a trace: a CSV file with the columns prompt_length,
            output_length and, for the rate, arrival (seconds). Times are those of the mean request.
        speculation: its `draft` (a model, or "mtp"), `tokens` drafted a step, and their `acceptance`.
        prefill_layout: of devices that only read prompts, `prefill_workers` groups of them (disaggregated); then
            `layout` is that of each of the `decode_workers` groups that generate.
        dtype, kv_dtype: as in `Workload`. price: US dollars an hour and device; None: the catalogue's example.
        parameters: values of the time model that replace the fitted ones, by name.
        settings: of the engine's memory by its own names, as `fit` takes them.

    Raises:
        CalculatorError: an argument outside what is allowed, a layout that cannot be, or more requests than are served.
    """
    needs("serve", model, Model)
    needs("serve", layout, Layout, optional=True)
    needs("serve", prefill_layout, Layout, optional=True)
    card, name = device_named(device), engine_named(engine)
    chosen, copies = _copies(model, layout, devices)
    users = 1 if concurrency is None else concurrency
    _checked({"concurrency": users, "prefill_workers": prefill_workers, "decode_workers": decode_workers}, prefix_hit)
    mix = _mix(prompt_length, output_length, requests)
    if concurrency is None and request_rate is None:
        request_rate = mix.rate
    drafted = Speculation.of(speculation)
    if (request_rate is not None or drafted) and prefill_layout is not None:
        raise WorkloadError("Pools for prompts are computed for a closed loop of users, without speculation.")
    if request_rate is not None and concurrency is not None:
        raise WorkloadError("Give concurrency or request_rate: users who wait for answers, or arrivals that do not.")
    host = 0.0
    if name == "llama.cpp" and "n_gpu_layers" in settings:
        host = max(0.0, 1 - float(settings["n_gpu_layers"]) / model.layers)
    changed = tuple(sorted((parameters or {}).items()))
    case = case_of(Same(model), Same(card), name, chosen, dtype, kv_dtype, changed, host)
    request = Request(mix.prompt, int(mix.prompt * prefix_hit), mix.output, mix.running, mix.variation)
    room = case.room(mix.longest, request.mean, settings)
    if drafted is not None:
        room = shared(room, *drafted.takes(case, request.mean), chosen.attention_dp)
    groups = copies * chosen.dp
    if prefill_layout is not None:
        reader = case_of(Same(model), Same(card), name, prefill_layout, dtype, kv_dtype, changed, host)
        workers = (prefill_workers * copies, decode_workers * groups)
        moved = room.memory["cache_per_sequence"] * request.prompt / request.mean
        waited = apart(case, reader, request, users, workers, room.sequences, moved)
    elif request_rate is not None:
        waited = _arriving(case, request, request_rate / groups, room.sequences, drafted)
        users = math.ceil(request_rate * (waited.ttft + mix.output * waited.tpot))
    else:
        waited = together(case, request, math.ceil(users / groups), room.sequences, drafted)
    used = chosen.devices * copies * decode_workers
    used += 0 if prefill_layout is None else prefill_layout.devices * prefill_workers * copies
    held, pools = room.sequences >= 1, prefill_layout is not None
    return _answer(case, waited, request, room.memory, held, users, used, request_rate, price, pools=pools)


def _mix(prompt: int | str, output: int | str, requests: str | Path | Sequence[tuple[int, int]] | Mix | None) -> Mix:
    if requests is None:
        return Mix.drawn(prompt, output)
    return requests if isinstance(requests, Mix) else Mix.of(requests)


def _arriving(case: Case, request: Request, rate: float, most: int, drafted: Speculation | None) -> Waited:
    if isinstance(rate, bool) or not rate > 0:
        raise WorkloadError(f"request_rate must be a number of requests a second above 0, not {rate!r}.")
    waited = arriving(case, request, rate, most, drafted)
    if waited is None:
        raise WorkloadError(
            f"{rate:g} requests a second are more than one copy of {case.model.name} on {case.layout.devices} × "
            f"{case.device.name} can serve, so the queue grows without end; use more devices or a lower request_rate."
        )
    return waited


def _answer(
    case: Case,
    waited: Waited,
    request: Request,
    memory: Mapping[str, int],
    fits: bool,
    users: int,
    used: int,
    arriving: float | None,
    price: float | None,
    *,
    pools: bool,
) -> Serving:
    """What was found, as times with their ranges, rates and costs."""
    more, first, step = request.output - 1, waited.first, waited.step
    of = "pools" if pools else case.engine
    times = (
        seconds(first.bound, waited.ttft, "ttft", case.device, of),
        seconds(step.bound, waited.tpot, "tpot", case.device, of),
        seconds(first.bound + more * step.bound, waited.ttft + more * waited.tpot, "tpot", case.device, of),
    )
    rate = arriving * request.output if arriving else users * request.output / times[2].expected
    hourly = case.device.price if price is None else price
    return Serving(
        case.model,
        case.device,
        case.layout,
        case.engine,
        users,
        waited.batch,
        *times,
        rate,
        rate / used,
        1 / times[1].expected,
        fits,
        memory,
        hourly * used / 3600 / rate * 1e6 if hourly else None,
        step,
        first,
        case.device.watts * used / rate if case.device.watts else None,
    )


def _checked(counts: Mapping[str, Any], prefix_hit: float) -> None:
    for what, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise WorkloadError(f"{what} must be a whole number, 1 or more, not {value!r}.")
    if not 0 <= prefix_hit < 1:
        raise WorkloadError(f"prefix_hit must be a share from 0 to 1, not {prefix_hit!r}.")


def _copies(model: Model, layout: Layout | None, devices: int | None) -> tuple[Layout, int]:
    """The layout of a copy, and the copies that the devices make.

    Raises:
        WorkloadError: the devices are not whole copies.
    """
    if devices is not None and (isinstance(devices, bool) or not isinstance(devices, int) or devices < 1):
        raise WorkloadError(f"devices must be a whole number, 1 or more, not {devices!r}.")
    if layout is None:
        return Layout.grouped(model, devices or 1), 1
    if devices is None or devices == layout.devices:
        return layout, 1
    if devices % layout.devices:
        raise WorkloadError(f"{devices} devices are not whole copies of the layout, which is of {layout.devices}.")
    return layout, devices // layout.devices
