"""A workload on the devices that were named: what the fullest holds, the time of a pass, what users or a step wait for.

One row is one number with its unit, so that text, CSV and JSON say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from calculator.errors import WorkloadError
from calculator.estimation import Estimate
from calculator.hardware import Device
from calculator.numbers import units
from calculator.numbers.blocks import Block, Grid
from calculator.parallel import Layout
from calculator.record.vocabulary import MEMORY_KINDS
from calculator.serving.seconds import UNMEASURED, Seconds, measured
from calculator.serving.shown import milliseconds
from calculator.training.result import Trained
from calculator.training.speed import StepTime

Row = dict[str, Any]
TIMES = ("lower_bound", "expected", "low", "high")


@dataclass(frozen=True)
class Placing:
    """What was asked beside the workload.

    Attributes:
        device: None where only a layout was given; then there are no times. engine: whose pace serving has.
        recipe: fields of `Training`, for pretraining; micro_batches: of a step. plans: devices whose layouts are
            wanted, 0 for none. export: the framework whose words are.
    """

    device: Device | None = None
    layout: Layout = field(default_factory=Layout)
    engine: str = "vllm"
    recipe: Mapping[str, Any] = field(default_factory=dict)
    micro_batches: int = 1
    plans: int = 0
    export: str = ""


KERNELS = {"plain": "plain", "autocast": "plain"}  # of a workload -> of a recipe; its others are compiled ones


@dataclass(frozen=True)
class Placed:
    """The answer for one estimate.

    Raises:
        CalculatorError: (of every property) the model cannot be laid out so.
    """

    estimate: Estimate
    asked: Placing

    @cached_property
    def rows(self) -> list[Row]:
        """quantity, value, unit ("bytes", "s", "tokens/s", "US$", ...)."""
        if self.asked.plans:
            found = self._plans()
        else:
            found = self._trained() if self.estimate.workload.mode == "pretraining" else self._served()
        return [{"quantity": name, "value": value, "unit": unit} for name, value, unit in found]

    @property
    def title(self) -> str:
        """The layout and the device in a phrase."""
        device, layout, model = self.asked.device, self.asked.layout, self.estimate.model.name
        if self.asked.plans and device is not None:
            among = f"{self.asked.plans:,} × {device.name}"
            if not self._found:
                return f"No layout of {among} that was tried trains {model}"
            return f"Layouts of {among} that train {model}, fastest first"
        shape = f" ({layout})" if layout.devices > 1 else ""
        if device is None:
            return f"{model} on {'one device' if layout.devices == 1 else f'{layout.devices:,} devices'}{shape}"
        return f"{model} on {layout.devices} × {device.name}{shape}"

    def to_dict(self) -> Row:
        """Plain values, as JSON has them."""
        device = self.asked.device
        return {
            "device": device.id if device is not None else None,
            "layout": asdict(self.asked.layout),
            "verdict": self._sentence or self.title,
            "numbers": self.rows,
        }

    def block(self) -> Block:
        """The table for people, under the answer in a sentence where there is one."""
        cells = [(_title(r["quantity"]), worded(r["value"], r["unit"])) for r in self.rows]
        remark = (
            "Memory and FLOPs are of the fullest device. A time from low to high holds 8 of 10 measured cases; no "
            f"datasheet allows less than the lower bound.{self._range}{self._users}"
        )
        columns = ("Layout", "Speed") if self.asked.plans else ("On each device", "Amount")
        return Grid(self._sentence or self.title, columns, cells, remark=remark)

    @property
    def _range(self) -> str:
        """What is to be said of the range of the device's times."""
        device = self.asked.device
        if device is None:
            return ""
        if self.estimate.workload.mode == "pretraining":
            known = self.trained.step_time is None or self.trained.step_time.measured
        else:
            known = measured(device)
        return "" if known else f" {UNMEASURED}."

    @property
    def _users(self) -> str:
        """Whose the times of a decode are that follow the pass."""
        w = self.estimate.workload
        if w.mode != "decode" or self.asked.device is None:
            return ""
        who = "one user who sends" if w.batch_size == 1 else f"{w.batch_size:,} users who each send"
        return (
            f" First token, each token after, output and cost are those of {who} a prompt of "
            f"{self.estimate.sequence_length:,} tokens and read{'s' if w.batch_size == 1 else ''} {w.decode_length:,} "
            "(--decode-len) again and again, the prompts of others between."
        )

    @property
    def _sentence(self) -> str:
        if self.asked.plans:
            return ""
        if self.estimate.workload.mode == "pretraining":
            return self.trained.verdict
        return self._passed(self.asked.device) if self.asked.device is not None else ""

    def _passed(self, device: Device) -> str:
        """Whether a pass fits the device, and how long it takes there."""
        held = self.placed.per_device.memory.total
        if held > device.memory:
            lacks = f"{units.gib(held)} of {units.gib(device.memory)}"
            return f"{self.title} does not fit: it needs {lacks}; --fits {device.id} says what makes it fit"
        time, w = self.placed.time, self.estimate.workload
        what = "a step" if w.mode == "decode" else "a prompt" if w.batch_size == 1 else f"{w.batch_size:,} prompts"
        takes = "take" if w.mode == "prefill" and w.batch_size > 1 else "takes"
        return (
            f"{self.title}: {what} {takes} {milliseconds(time.expected)} ({milliseconds(time.low)} to "
            f"{milliseconds(time.high)}) and {units.gib(held)} of {units.gib(device.memory)}"
        )

    @cached_property
    def placed(self) -> Estimate:
        """The estimate on the device and the layout."""
        return Estimate(self.estimate.model, self.estimate.workload, self.asked.device, self.asked.layout)

    def _served(self) -> list[tuple[str, Any, str]]:
        w, device = self.estimate.workload, self.asked.device
        share = self.placed.per_device
        found: list[tuple[str, Any, str]] = [(k, getattr(share.memory, k), "bytes") for k in MEMORY_KINDS]
        found = [row for row in found if row[1]] + [("memory", share.memory.total, "bytes")]
        found += [("flops", share.flops.total, "FLOPs"), ("bytes_moved", share.traffic.total, "bytes")]
        found.append(("sent_to_other_devices", share.sent, "bytes"))
        if device is None:
            return found
        found.append(("memory_of_the_device", device.memory, "bytes"))
        found += _times("pass", self.placed.time)
        return [*found, *self._waited(device)] if w.mode == "decode" else found

    def _waited(self, device: Device) -> list[tuple[str, Any, str]]:
        """A closed loop of `batch_size` users who read the sequence and generate `decode_length` tokens."""
        from calculator.serving.serve import serve

        w = self.estimate.workload
        s = serve(
            self.estimate.model,
            device=device,
            layout=self.asked.layout,
            engine=self.asked.engine,
            prompt_length=self.estimate.sequence_length,
            output_length=w.decode_length,
            concurrency=w.batch_size,
            dtype=w.dtype,
            kv_dtype=w.kv_dtype,
        )
        found: list[tuple[str, Any, str]] = [*_times("first_token", s.ttft), *_times("each_token_after", s.tpot)]
        found.append(("sequences_at_once", s.batch, "sequences"))
        found.append(("output", s.output_tokens_per_second, "tokens/s"))
        if s.cost_per_million_tokens is not None:
            found.append(("cost_of_a_million_output_tokens", s.cost_per_million_tokens, "US$"))
        return found

    @cached_property
    def trained(self) -> Trained:
        """A step of training.

        Raises:
            WorkloadError: the workload is of another mode.
        """
        from calculator.training import train

        w = self.estimate.workload
        if w.mode != "pretraining":
            raise WorkloadError(f"Recipes and plans are of --mode pretraining, not of {w.mode}.")
        return train(
            self.estimate.model,
            batch_size=w.batch_size,
            sequence_length=self.estimate.sequence_length,
            device=self.asked.device,
            layout=self.asked.layout,
            micro_batches=self.asked.micro_batches,
            **{"kernels": KERNELS.get(w.kernels, "compiled"), "attention": w.attention, **self.asked.recipe},
        )

    @property
    def exported(self) -> str:
        """The recipe in a framework's words; of plans, the fastest one's.

        Raises:
            WorkloadError: no plan fits, or the framework runs no such recipe.
        """
        if not self.asked.plans:
            return self.trained.export(self.asked.export)
        if not self._found:
            raise WorkloadError(f"No layout of {self.asked.plans:,} devices that was tried holds the job to export.")
        return self._found[0].export(self.asked.export)

    @cached_property
    def _found(self) -> Sequence[Trained]:
        """The layouts of so many devices that fit, the fastest first."""
        from calculator.training.search import plans

        if self.asked.device is None:
            raise WorkloadError("--plans needs --device NAME, whose layouts are wanted.")
        step, sequences = self.trained, None
        if self.asked.micro_batches > 1:
            sequences = step.batch_size * step.micro_batches * max(step.layout.dp, 1)
        return plans(
            step.model,
            device=self.asked.device,
            devices=self.asked.plans,
            sequence_length=step.sequence_length,
            global_batch=sequences,
            **{"kernels": step.training.kernels, **self.asked.recipe},
        )

    def _plans(self) -> list[tuple[str, Any, str]]:
        """The ten fastest of them."""
        if not self._found:
            return [("layouts_that_fit", 0, "layouts")]
        return [(_plan(t), t.tokens_per_second, "tokens/s") for t in self._found[:10]]

    def _trained(self) -> list[tuple[str, Any, str]]:
        t = self.trained
        terms = t.fullest.peak_event.terms
        found: list[tuple[str, Any, str]] = [
            ("states", t.states, "bytes"),
            *((f"at_the_peak_{name.replace(' ', '_')}", int(size), "bytes") for name, size in terms.items() if size),
            ("peak_allocated", t.peak, "bytes"),
            ("reserved", t.reserved, "bytes"),
            ("as_the_driver_counts", t.device_memory, "bytes"),
        ]
        if self.asked.device is not None:
            found.append(("memory_of_the_device", self.asked.device.memory, "bytes"))
            found.append(("required", t.required, "bytes"))
            found += [(f"with {fix.words}", fix.peak, "bytes") for fix in t.fixes[:5]]
            if not t.fits:
                found += [(f"less_with {change.words}", change.saved, "bytes") for change in t.savings[:4]]
        if t.step_time is not None:
            found += [
                *_times("step", t.step_time),
                ("throughput", t.tokens_per_second, "tokens/s"),
                ("mfu", t.mfu, ""),
                ("hfu", t.hfu, ""),
            ]
        return found


WORDS = {"kv": "KV", "mfu": "MFU", "hfu": "HFU", "flops": "FLOPs"}


def _title(quantity: str) -> str:
    words = " ".join(WORDS.get(word, word) for word in quantity.split("_"))
    return words[:1].upper() + words[1:]


def _plan(step: Trained) -> str:
    """A plan in a line: layout, sharding, recomputation, micro-batches and what it holds."""
    return (
        f"{step.layout}, ZeRO {step.training.zero}, recompute {step.training.recompute}, micro-batch {step.batch_size} "
        f"x {step.micro_batches}, {units.gib(step.peak)}"
    )


def _times(name: str, time: Seconds | StepTime) -> list[tuple[str, Any, str]]:
    return [(f"{name}_{kind}", getattr(time, kind), "s") for kind in TIMES]


def worded(value: Any, unit: str) -> str:
    """A number with its unit for people."""
    words: dict[str, Callable[[Any], str]] = {
        "bytes": units.gib,
        "FLOPs": units.flops,
        "s": milliseconds,
        "US$": lambda v: f"${v:,.2f}",
        "": lambda v: f"{v:.1%}",
    }
    return words[unit](value) if unit in words else units.several(value, unit, ",.0f")


def placings(estimates: Sequence[Estimate], asked: Placing) -> list[Placed]:
    """Every estimate on those devices.

    Raises:
        WorkloadError: a recipe was given, and the mode is not pretraining. CalculatorError: it cannot be laid out so.
    """
    if asked.recipe and any(e.workload.mode != "pretraining" for e in estimates):
        raise WorkloadError(f"Options of training ({', '.join(asked.recipe)}) need --mode pretraining.")
    return [Placed(e, asked) for e in estimates]
