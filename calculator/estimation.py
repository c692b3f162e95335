"""`estimate(model, workload)`: memory, FLOPs, traffic and intensity, each a sum over one list of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError, needs
from calculator.formats.named import format_named
from calculator.gate import check_estimate
from calculator.model import Model
from calculator.numbers import units
from calculator.numbers.blocks import Block, Facts, Shown
from calculator.numbers.symbolic import numeric
from calculator.passes.forward import (
    encoder_length,
    every_operation,
    forward,
    numbers,
    resolved_length,
    shape_of,
    symbols,
)
from calculator.passes.plan import cache_format, plan_of
from calculator.passes.totals import AMOUNTS, Flops, Generation, Memory, Traffic, total
from calculator.record.operation import Operation
from calculator.record.workload import Workload

if TYPE_CHECKING:
    from calculator.engines.reserved import Reserved
    from calculator.hardware import Device
    from calculator.parallel import Layout
    from calculator.serving.device_share import PerDevice
    from calculator.serving.seconds import Seconds


class Estimate(Shown):
    """The numbers of one workload on one model. Amounts are ints, or arrays where the workload's are.

    Attributes:
        model, workload: what was asked. sequence_length: the length used; encoder_length: the encoder's, None where
            the model has no encoder before its decoder.
        memory, flops, traffic, generation: see their classes; generation is None outside decode mode.
        device, layout: what it runs on, None where none was given.
        notes: what a reader should know beside the numbers; warnings: what makes them doubtful.
        engine_settings: how engines are started, for `reserved`: `batched_tokens`, `block_size`.
    """

    engine_settings: Mapping[str, int] = MappingProxyType({})

    def __init__(
        self, model: Model, workload: Workload, device: Device | None = None, layout: Layout | None = None
    ) -> None:
        self.model, self.workload, self.device, self.layout = model, workload, device, layout
        self.sequence_length = resolved_length(model, workload)
        self._batch, self._length = symbols(workload.batch_size, self.sequence_length)
        self._source = encoder_length(model, workload, self._length)
        self.encoder_length = numeric(self._source, shape_of(self._batch, self._length)) if model.encoder else None
        self._listed = every_operation(model, workload, self._batch, self._length, source=self._source)
        training = workload.mode == "pretraining"
        self._shape = shape_of(self._batch, self._length)
        self.memory = Memory(self._listed, training, self._shape)
        self.flops = Flops(self._listed, self._shape)
        self.traffic = Traffic(self._listed, self._shape)
        check_estimate(self)

    @property
    def scalar(self) -> bool:
        """Whether the amounts are single numbers."""
        return self._shape is None

    @cached_property
    def intensity(self) -> Any:
        """FLOPs per byte moved."""
        return self.flops.total / self.traffic.total

    @property
    def parameters(self) -> Any:
        """The model's parameter counts."""
        return self.model.parameters

    @cached_property
    def operations(self) -> list[Operation]:
        """The operations with amounts as numbers (or arrays)."""
        return numbers(self._listed, self._shape)

    @cached_property
    def per_device(self) -> PerDevice:
        """What the fullest device of the layout holds and does.

        Raises:
            CalculatorError: the model cannot be laid out so, pretraining, or arrays.
        """
        from calculator.parallel import Layout
        from calculator.serving.device_share import per_device

        return per_device(self.model, self.workload, self.layout or Layout())

    @cached_property
    def time(self) -> Seconds:
        """Seconds of one pass on the devices, without the host of an engine: see `serve` for what users wait.

        Raises:
            CalculatorError: no device was given, or as `per_device`.
        """
        if self.device is None:
            raise WorkloadError('A time needs a device: estimate(model, workload, device="h200-sxm-141gb").')
        from calculator.parallel import Layout
        from calculator.serving.device_share import time_of
        from calculator.serving.routing import experts_read

        share = self.per_device
        read = experts_read(self.model, self.workload, self.layout or Layout())
        return time_of(share, self.workload, self.device, self.sequence_length, experts_read=read)

    @cached_property
    def generation(self) -> Generation | None:
        """What generating `generate` tokens takes together; None outside of decode."""
        if self.workload.mode != "decode":
            return None
        steps, source = self.workload.decode_length, self._source
        run = forward(self.model, self.workload, self._batch, self._length, steps=steps, source=source)
        after = forward(self.model, self.workload, self._batch, self._length + steps, source=source)
        return Generation(run, after, self._shape, steps)

    @cached_property
    def cache_growth(self) -> Any:
        """Bytes that the cache of one sequence grows by with its next token: 0 if windows are full or states fixed."""
        if self.workload.mode == "pretraining":
            return numeric(0, self._shape)
        lengths, source = (self._length, self._length + 1), self._source
        held = [forward(self.model, self.workload, 1, n, source=source) for n in lengths]
        before, after = (total(ops, AMOUNTS["kv_cache"]) for ops in held)
        return numeric(after - before, self._shape)

    @cached_property
    def reserved(self) -> list[Reserved]:
        """What inference engines reserve for the caches, beside `memory.kv_cache`, the architecture's minimum.

        Raises:
            WorkloadError: pretraining, or arrays.
        """
        from calculator.engines.reserved import reserved

        return reserved(self.model, self.workload, **self.engine_settings)

    @property
    def precision(self) -> str:
        """How the weights are stored, in words."""
        return plan_of(self.model, self.workload).title

    @property
    def kv_precision(self) -> str:
        """The KV cache's format."""
        return cache_format(self.model, self.workload)

    @property
    def last_logits(self) -> bool:
        """Whether only the last position of each sequence reaches the head; an encoder's positions all do."""
        return self.workload.last_logits and (self.model.text.causal or self.workload.logits == "last")

    @property
    def conventions(self) -> str:
        """The counting conventions behind the FLOPs, in words."""
        return self.workload.with_(logits="last" if self.last_logits else "all").conventions

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Sentences about what the workload asks beyond what the model was made for."""
        found = []
        longest, context = _largest_value(self.sequence_length), self.model.context_length
        longest += self.workload.decode_length if self.workload.mode == "decode" else self.workload.past_length
        if self.workload.mode == "decode" and self.workload.sequence_length is None:
            longest = self.workload.decode_length  # nobody asked for the length that is taken up to the context
        if context is not None and longest > context:
            found.append(
                f"{longest:,} tokens are more than the {context:,} that {self.model.name} was configured for; the "
                "numbers hold for the arithmetic, not for what the model can use."
            )
        positions, asked = self.model.encoder_length, self.workload.encoder_length
        if positions is not None and asked is not None and asked != positions:
            found.append(
                f"The encoder of {self.model.name} always reads {positions:,} tokens; the numbers for {asked:,} hold "
                "for the arithmetic, not for what the model can use."
            )
        if (
            self.workload.mode == "pretraining"
            and self.workload.dtype != "auto"
            and format_named(self.workload.dtype).bits < 8
        ):
            found.append(f"Weights in {self.workload.dtype} cannot be pretrained; what is priced is their storage.")
        return tuple(found)

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what was assumed, of the model and of the workload."""
        found = list(self.model.notes)
        if self.workload.sequence_length is None:
            found.append(f"No sequence length was given: {self.sequence_length:,} tokens are taken.")
        return tuple(found)

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """The table of that kind as a list of rows with raw numbers: "memory", "flops", "reuse", "operations",
        "cache", "engines" or "formats"."""
        from calculator.report.rows import rows

        return rows(self, kind)

    def table(self, kind: str) -> Any:
        """The table of that kind as a pandas DataFrame with raw numbers; `rows` are the same without pandas.

        Raises:
            MissingExtraError: pandas is not installed.
        """
        from calculator.extras import needed

        pd = needed("pandas", "A table as a DataFrame")
        return pd.DataFrame(self.rows(kind))

    def chart(self, kind: str = "memory") -> Any:
        """An Altair chart: "memory", "flops" or "traffic" by component, or "reuse", a dot per operation.

        Raises:
            WorkloadError: no such chart, or arrays. MissingExtraError: Altair is not installed.
        """
        from calculator.report.pictures import chart

        return chart(self, kind)

    def blocks(self) -> Sequence[Block]:
        """What the command line shows, as facts and tables of words."""
        from calculator.report import text

        if self.scalar:
            return [*text.blocks([self], ("memory", "flops", "reuse")), *self._placed_blocks()]
        return [Facts(self.summary(), [("precision", self.precision), ("counted", text.conventions(self))])]

    def _placed_blocks(self) -> list[Block]:
        """On the device and layout that were given: what the fullest device holds, and the time of a pass."""
        if self.device is None and self.layout is None:
            return []
        facts = [("memory of the fullest device", units.gib(self.per_device.memory.total))]
        if self.device is not None:
            t = self.time
            facts.append(("memory it has", units.gib(self.device.memory)))
            facts.append(("time", f"{t.expected:.3g} s ({t.low:.3g} to {t.high:.3g}; at least {t.lower_bound:.3g})"))
        count = self.layout.devices if self.layout is not None else 1
        return [Facts(f"On {count} × {self.device.name if self.device is not None else 'device'}", facts)]

    def summary(self) -> str:
        """The model, what is run, and the totals."""
        where = f"{self.model.name}, {self.workload.mode}"
        if self._shape is not None:
            return f"{where}: {' × '.join(map(str, self._shape))} batches and lengths"
        run = f"batch {self.workload.batch_size:,} × {self.sequence_length:,} tokens"
        amounts = (
            units.gib(self.memory.total),
            units.flops(self.flops.total),
            f"{units.gib(self.traffic.total)} moved",
        )
        return f"{where}, {run}: {', '.join(amounts)}"

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for json.dumps."""
        from calculator.report.rows import as_dict

        return as_dict(self)


def _largest_value(length: Any) -> int:
    return int(length.max()) if hasattr(length, "max") else int(length)


def estimate(
    model: Model,
    workload: Workload | None = None,
    *,
    device: str | Device | Mapping[str, Any] | None = None,
    layout: Layout | None = None,
    **options: Any,
) -> Estimate:
    """Memory, FLOPs, traffic and intensity of a workload.

    Args:
        model: what `load_model` returned.
        workload: what is run; or its fields as keywords, `estimate(model, mode="decode", batch_size=8)`.
        device: a name, a Device or its numbers: what `time` is of. layout: over such devices: what `per_device` is of.

    Raises:
        WorkloadError: an option outside what is allowed.
    """
    needs("estimate", model, Model)
    needs("estimate", workload, Workload, optional=True)
    chosen = workload or Workload()
    on = _on(device, layout)
    return Estimate(model, chosen.with_(**options) if options else chosen, on, layout)


def _on(device: Any, layout: Any) -> Device | None:
    """The device of that name.

    Raises:
        CalculatorError: there is none, or the layout is not one.
    """
    if layout is not None:
        from calculator.parallel import Layout

        if not isinstance(layout, Layout):
            raise WorkloadError(f"layout must be a Layout, as calculator.Layout(tp=8), not {type(layout).__name__}.")
    if device is None:
        return None
    from calculator.hardware import device as named

    return named(device)


__all__ = ["Estimate", "estimate"]
