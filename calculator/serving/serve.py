"""`serve`: what users of a serving engine see, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from calculator.errors import WorkloadError
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.model import Model
from calculator.parallel.layout import Layout
from calculator.parallel.placed import placed
from calculator.record.workload import Workload
from calculator.serving.efficiency import Efficiency, efficiency, engine_named
from calculator.serving.timing import PassTime, pass_time

USED = 0.9  # of a device's memory that engines fill (vLLM: --gpu-memory-utilization)
OVERHEAD = 1.5 * 2**30  # bytes of context, graphs and workspaces where no engine's rule is asked
CHUNK = 8192  # tokens of a prefill's chunk

RANGES = {"tpot": (0.72, 1.36), "ttft": (0.55, 2.57), "tpot alone": (0.85, 1.3), "ttft alone": (0.66, 1.9)}
"""Measured over expected, 10th and 90th percentile, of models left out of the calibration: under load, and alone."""


@dataclass(frozen=True)
class Seconds:
    """A time: no datasheet allows less than `lower_bound`; 8 of 10 measured cases lie from `low` to `high`."""

    lower_bound: float
    expected: float
    low: float
    high: float


@dataclass(frozen=True)
class Serving:
    """What a deployment gives its users.

    Attributes:
        ttft, tpot: time to the first token, and for each token after it.
        output_tokens_per_second: of all devices; per_device, per_user: of each.
        concurrency: sequences asked for; batch: those that run at once on one copy.
        fits: whether the weights and at least one sequence fit; memory: bytes by what they are, on the fullest device.
        cost_per_million_tokens: US dollars for output tokens, None without a price.
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


def serve(
    model: Model,
    *,
    device: str | Device | Mapping[str, Any],
    engine: str = "vllm",
    layout: Layout | None = None,
    prompt_length: int = 1024,
    output_length: int = 256,
    concurrency: int = 1,
    dtype: str = "auto",
    kv_dtype: str = "auto",
    devices: int | None = None,
    prefix_hit: float = 0.0,
    price: float | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Serving:
    """Times, throughput and cost of serving a model in a closed loop of `concurrency` requests.

    Args:
        device: a name, a Device, or numbers of one's own. layout: of the devices; None: tensor parallel over `devices`.
        prompt_length, output_length: tokens of a request. prefix_hit: the share of the prompt found in the cache.
        dtype, kv_dtype: as in `Workload`. price: US dollars an hour and device; None: the catalogue's example.
        parameters: values of the time model that replace the fitted ones, by name.

    Raises:
        CalculatorError: an argument outside what is allowed, or a layout that cannot be.
    """
    card, name = device_named(device), engine_named(engine)
    chosen = layout or Layout(tp=devices or 1)
    if devices is not None and layout is not None and layout.devices != devices:
        raise WorkloadError(f"The layout is of {layout.devices} devices, not of {devices}.")
    for what, value in (
        ("prompt_length", prompt_length),
        ("output_length", output_length),
        ("concurrency", concurrency),
    ):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise WorkloadError(f"{what} must be a whole number, 1 or more, not {value!r}.")
    if not 0 <= prefix_hit < 1:
        raise WorkloadError(f"prefix_hit must be a share from 0 to 1, not {prefix_hit!r}.")
    case = _Case(model, card, name, chosen, efficiency(card, name, parameters), dtype, kv_dtype)
    memory = case.memory(prompt_length + output_length)
    room = int(card.memory * USED - memory["weights"] - OVERHEAD)
    each = memory["cache_per_sequence"]
    most = max(room // each, 0) if each else concurrency
    copies = chosen.dp
    batch = max(min(math.ceil(concurrency / copies), most), 1)
    step = case.decode(batch, prompt_length + output_length // 2)
    cached = int(prompt_length * prefix_hit)
    # Each copy of the attention reads a prompt of its own, and all wait for the slowest.
    first = case.prefill(chosen.attention_dp, prompt_length - cached, cached)
    e = case.efficiency
    host = e.step + e.sequence * batch / chosen.attention_dp
    step_time, prompt = step.expected + host, first.expected + e.prefill_host
    share = 1 / chosen.attention_dp
    waiting = e.interference * (1 - e.wave) * (batch - 1) * prompt * share / output_length
    tpot = step_time + waiting
    ttft = prompt * (1 + e.wave * (batch * share - 1) / 2 if batch * share > 1 else 1) + step_time / 2 + e.first_token
    kind = "" if batch > 1 else " alone"
    tpot_range, ttft_range = RANGES[f"tpot{kind}"], RANGES[f"ttft{kind}"]
    times = (
        seconds_of(first.bound, ttft, ttft_range),
        seconds_of(step.bound, tpot, tpot_range),
        seconds_of(first.bound + (output_length - 1) * step.bound, ttft + (output_length - 1) * tpot, tpot_range),
    )
    rate = batch * copies * output_length / times[2].expected
    hourly = card.price if price is None else price
    cost = hourly * chosen.devices / 3600 / rate * 1e6 if hourly else None
    return Serving(
        model,
        card,
        chosen,
        name,
        concurrency,
        batch,
        *times,
        rate,
        rate / chosen.devices,
        1 / tpot,
        most >= 1,
        memory,
        cost,
        step,
        first,
    )


def seconds_of(bound: float, expected: float, spread: tuple[float, float]) -> Seconds:
    """A time with its range, none of it below its bound."""
    low, high = (expected * s for s in spread)
    return Seconds(bound, max(expected, bound), max(low, bound), max(high, bound))


@dataclass(frozen=True)
class _Case:
    """A model on a device under an engine."""

    model: Model
    device: Device
    engine: str
    layout: Layout
    efficiency: Efficiency
    dtype: str
    kv_dtype: str

    def workload(self, mode: str, batch: int, length: int, **more: Any) -> Workload:
        return Workload(
            mode=mode,
            batch_size=batch * self.layout.dp,
            sequence_length=length,
            dtype=self.dtype,
            kv_dtype=self.kv_dtype,
            attention_flops="causal",
            routing="uniform",
            **more,
        )

    def _timed(self, workload: Workload, *, prefill: bool, context: int = 0) -> PassTime:
        stages = placed(self.model, workload, self.layout)
        found = [
            pass_time(s.operations, self.device, self.efficiency, prefill=prefill, context=context) for s in stages
        ]
        return PassTime(*(sum(getattr(f, n) for f in found) for n in PassTime.__dataclass_fields__))

    def decode(self, batch: int, context: int) -> PassTime:
        """One step of so many sequences; through all stages."""
        return self._timed(self.workload("decode", batch, max(context, 1)), prefill=False, context=context)

    def prefill(self, batch: int, tokens: int, past: int = 0) -> PassTime:
        """One pass over a prompt."""
        return self._timed(self.workload("prefill", batch, max(tokens, 1), past_length=past), prefill=True)

    def memory(self, length: int) -> dict[str, int]:
        """Bytes on the fullest device: weights, and the cache of one sequence of so many tokens."""
        stages = placed(self.model, self.workload("decode", self.layout.attention_dp, length), self.layout)
        weights = max(sum(op.weight_bytes * op.stored for op in s.operations) for s in stages)
        cache = max(sum(op.cache_bytes * op.count for op in s.operations) for s in stages)
        # With copies of the attention, each holds one sequence's whole.
        return {"weights": int(weights), "cache_per_sequence": -(-int(cache) // self.layout.attention_dp)}
