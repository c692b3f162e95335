"""`serve`: what users of a serving engine see, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from calculator.errors import WorkloadError
from calculator.hardware import Device
from calculator.hardware import device as device_named
from calculator.model import Model
from calculator.numbers.units import GIB
from calculator.parallel.layout import Layout
from calculator.parallel.placed import placed
from calculator.record.workload import Workload
from calculator.serving.efficiency import Efficiency, efficiency, engine_named
from calculator.serving.seconds import Seconds, seconds
from calculator.serving.shown import ServingShown
from calculator.serving.timing import PassTime, Term, pass_time, terms

USED = 0.9  # of a device's memory that engines fill (vLLM: --gpu-memory-utilization)
OVERHEAD = 1.5 * GIB  # bytes of context, graphs and workspaces where no engine's rule is asked
CHUNK = 8192  # tokens of a prefill's chunk


@dataclass(frozen=True, repr=False)
class Serving(ServingShown):
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
    prefill_layout: Layout | None = None,
    prefill_workers: int = 1,
    decode_workers: int = 1,
    price: float | None = None,
    parameters: Mapping[str, float] | None = None,
) -> Serving:
    """Times, throughput and cost of serving a model in a closed loop of `concurrency` requests.

    Args:
        device: a name, a Device, or numbers of one's own. layout: of one copy or of all devices; None: tensor parallel
            over `devices`. devices: all of them; as many times the layout's as there are copies behind a balancer.
        prompt_length, output_length: tokens of a request. prefix_hit: the share of the prompt found in the cache.
        prefill_layout: of devices that only read prompts, `prefill_workers` groups of them (disaggregated); then
            `layout` is that of each of the `decode_workers` groups that generate.
        dtype, kv_dtype: as in `Workload`. price: US dollars an hour and device; None: the catalogue's example.
        parameters: values of the time model that replace the fitted ones, by name.

    Raises:
        CalculatorError: an argument outside what is allowed, or a layout that cannot be.
    """
    card, name = device_named(device), engine_named(engine)
    chosen, copies = _copies(layout, devices)
    counts = {
        "prompt_length": prompt_length,
        "output_length": output_length,
        "concurrency": concurrency,
        "prefill_workers": prefill_workers,
        "decode_workers": decode_workers,
    }
    for what, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise WorkloadError(f"{what} must be a whole number, 1 or more, not {value!r}.")
    if not 0 <= prefix_hit < 1:
        raise WorkloadError(f"prefix_hit must be a share from 0 to 1, not {prefix_hit!r}.")
    copies *= decode_workers
    case = Case(model, card, name, chosen, efficiency(card, name, parameters), dtype, kv_dtype)
    reader = case if prefill_layout is None else replace(case, layout=prefill_layout)
    memory = case.memory(prompt_length + output_length // 2)
    room = int(card.memory * USED - memory["weights"] - OVERHEAD)
    each = memory["cache_per_sequence"]
    most = max(room // each, 0) if each else concurrency
    asked = math.ceil(concurrency / (copies * chosen.dp))
    batch = max(min(asked, most), 1)
    step = case.decode(batch, prompt_length + output_length // 2)
    cached = int(prompt_length * prefix_hit)
    # Each copy of the attention reads a prompt of its own, and all wait for the slowest.
    read = reader.terms("prefill", reader.layout.attention_dp, prompt_length - cached, past_length=cached)
    first = reader.timed(read, prefill=True)
    e = case.efficiency
    together = max(CHUNK // (prompt_length - cached), 1)
    alone = first.expected + e.prefill_host
    one = (reader.timed(read, prefill=True, prompts=together).expected + e.prefill_host) / together
    one /= reader.layout.attention_dp**e.spread
    step_time = step.expected + e.step + e.sequence * batch / chosen.attention_dp
    if prefill_layout is None:
        tpot = step_time + e.interference * (1 - e.wave) * (batch - 1) * one / output_length
        line = _queue(one, output_length * tpot, asked, e.queue)
        # Those that do not fit wait until others have left; the first wave of a run waits for its own prompts.
        held = max(asked - batch, 0) / batch * output_length * tpot
        ttft = alone - one + line + e.wave * (batch - 1) / 2 * one + step_time / 2 + e.first_token + held
    else:
        line = _queue(one / prefill_workers, output_length * step_time, concurrency, e.queue)
        # Who waits for a prompt does not generate meanwhile.
        share = output_length * step_time / (output_length * step_time + line)
        batch = max(min(math.ceil(asked * share), most), 1)
        step = case.decode(batch, prompt_length + output_length // 2)
        tpot = step.expected + e.step + e.sequence * batch / chosen.attention_dp
        ttft = alone - one / prefill_workers + line + e.first_token
    times = (
        seconds(first.bound, ttft, "ttft", name),
        seconds(step.bound, tpot, "tpot", name),
        seconds(first.bound + (output_length - 1) * step.bound, ttft + (output_length - 1) * tpot, "tpot", name),
    )
    used = chosen.devices * copies
    if prefill_layout is not None:
        used += prefill_layout.devices * prefill_workers
    rate = asked * copies * chosen.dp * output_length / times[2].expected
    hourly = card.price if price is None else price
    return Serving(
        model,
        card,
        chosen,
        name,
        concurrency,
        batch,
        *times,
        rate,
        rate / used,
        1 / times[1].expected,
        most >= 1,
        memory,
        hourly * used / 3600 / rate * 1e6 if hourly else None,
        step,
        first,
    )


def _copies(layout: Layout | None, devices: int | None) -> tuple[Layout, int]:
    """The layout of a copy, and the copies that the devices make.

    Raises:
        WorkloadError: the devices are not whole copies.
    """
    if devices is not None and (isinstance(devices, bool) or not isinstance(devices, int) or devices < 1):
        raise WorkloadError(f"devices must be a whole number, 1 or more, not {devices!r}.")
    if layout is None:
        return Layout(tp=devices or 1), 1
    if devices is None or devices == layout.devices:
        return layout, 1
    if devices % layout.devices:
        raise WorkloadError(f"{devices} devices are not whole copies of the layout, which is of {layout.devices}.")
    return layout, devices // layout.devices


def _queue(service: float, thinking: float, users: int, share: float) -> float:
    """Seconds from a prompt's arrival to its end in a closed loop of users who then generate for `thinking` seconds:
    R = s (1 + share (n - 1) R / (R + Z)), by Schweitzer's approximation of mean value analysis (1979)."""
    b = thinking - service - service * (users - 1) * share
    return (math.sqrt(b * b + 4 * service * thinking) - b) / 2


@dataclass(frozen=True)
class Case:
    """A model on a device under an engine."""

    model: Model
    device: Device
    engine: str
    layout: Layout
    efficiency: Efficiency
    dtype: str
    kv_dtype: str

    def workload(self, mode: str, batch: int, length: int, **more: Any) -> Workload:
        """A workload of these users in the formats that are served."""
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

    def terms(self, mode: str, batch: int, length: int, **more: Any) -> list[list[Term]]:
        """What a pass is made of, stage by stage."""
        stages = placed(self.model, self.workload(mode, batch, max(length, 1), **more), self.layout)
        prefill, context = mode == "prefill", length if mode == "decode" else 0
        return [terms(s.operations, self.device, prefill=prefill, context=context) for s in stages]

    def timed(self, stages: list[list[Term]], *, prefill: bool, prompts: float = 1.0) -> PassTime:
        """A pass through all stages."""
        found = [pass_time(s, self.efficiency, prefill=prefill, prompts=prompts) for s in stages]
        return PassTime(*(sum(getattr(f, n) for f in found) for n in PassTime.__dataclass_fields__))

    def decode(self, batch: int, context: int) -> PassTime:
        """One step of so many sequences; through all stages."""
        return self.timed(self.terms("decode", batch, context), prefill=False)

    def memory(self, length: int) -> dict[str, int]:
        """Bytes on the fullest device: weights, and the cache of one sequence of so many tokens."""
        stages = placed(self.model, self.workload("decode", self.layout.attention_dp, length), self.layout)
        weights = max(sum(op.weight_bytes * op.stored for op in s.operations) for s in stages)
        cache = max(sum(op.cache_bytes * op.count for op in s.operations) for s in stages)
        # With copies of the attention, each holds one sequence's whole.
        return {"weights": int(weights), "cache_per_sequence": -(-int(cache) // self.layout.attention_dp)}
