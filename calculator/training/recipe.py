"""How a model is trained: method, optimizer, precision, what is recomputed and what is sharded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from calculator.config import DATA
from calculator.errors import WorkloadError, choose
from calculator.numbers.blocks import Block, Facts, Shown
from calculator.parallel.layout import Layout

METHODS = ("full", "lora", "qlora")
RECOMPUTE = ("none", "selective", "experts", "ops", "full")
KERNELS = ("compiled", "plain", "fused")
BASE_FORMATS = {"nf4": 0.5625, "nf4-dq": 0.516}  # bytes a weight: blocks of 64 with 32-bit scales, or those quantized
GRADIENTS = {"bf16": 2, "fp32": 4}
OFFLOADS = ("activations", "optimizer", "parameters")


@cache
def tables() -> Mapping[str, Mapping[str, Any]]:
    """Precisions, optimizers, losses, allowances and rates, with their sources."""
    found: Mapping[str, Mapping[str, Any]] = json.loads((DATA / "training.json").read_text(encoding="utf-8"))
    return found


@dataclass(frozen=True)
class Training(Shown):
    """A recipe. Every choice is a row of a table (calculator/data/training.json) or a name listed here.

    Attributes:
        method: "full", or adapters on a frozen base: "lora" (arXiv:2106.09685), "qlora" (arXiv:2305.14314).
        rank, targets: of the adapters; PEFT's names of modules, or "all-linear". adapter_bytes: of an adapter's
            parameter; PEFT keeps them in 32 bit. dora: a trained magnitude for each output beside them
            (arXiv:2402.09353).
        base_format: of a QLoRA base, "nf4" or "nf4-dq". quantizes_targets: False where products that have an adapter
            stay in 16 bit (litgpt). repeats_kv: keys and values are kept for every query head (torchtune).
        optimizer, precision, loss: rows of the tables. A loss may name its chunks: "chunked:16".
        recompute: what the backward pass computes again: "none", "selective" (scores of attention, arXiv:2205.05198),
            "experts" (the routed ones), "ops" (every second product), "full" (each layer from its input), or a number:
            every n-th layer in full.
        zero: what is sharded over copies (arXiv:1910.02054): 1 optimizer states, 2 and gradients, 3 and weights.
        kernels: what runs a layer: "compiled" and "fused" ones, or transformers' "plain" modules.
        optimizer_in_backward: gradients live for one tensor at a time. offload: what lives in the host's memory.
        prefetch: layers gathered ahead of the one that runs (zero 3). imbalance: rows of the fullest expert over the
            mean. attention: "flash" or "eager".
        loading: whether each device reads its share of the weights ("sharded"), or all of them before they are sharded
            ("whole", as litgpt's FSDP does, whose runs peak there), or those in 16 bit before they are quantized
            ("16-bit", as fms-acceleration's does).
        gradient_dtype: what gradients are kept and reduced in, "bf16" or "fp32" (Megatron-LM's grad_reduce_in_fp32);
            "auto" is what the precision's row says. dropout: of adapters' inputs, and of the model where it has one.
    """

    method: str = "full"
    rank: int = 16
    targets: tuple[str, ...] | str = "all-linear"
    adapter_bytes: int = 4
    dora: bool = False
    base_format: str = "nf4-dq"
    quantizes_targets: bool = True
    repeats_kv: bool = False
    optimizer: str = "adamw"
    precision: str = "bf16"
    recompute: str | int = "none"
    zero: int = 0
    kernels: str = "compiled"
    loss: str = "plain"
    optimizer_in_backward: bool = False
    offload: tuple[str, ...] | str = ()
    sequence_parallel: bool = False
    prefetch: int = 1
    imbalance: float = 1.0
    attention: str = "flash"
    loading: str = "sharded"
    dropout: float = 0.0
    gradient_dtype: str = "auto"

    def summary(self) -> str:
        """The method, and what differs from the defaults."""
        said = [f"{f.name} {getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) != f.default]
        return ", ".join(said) or f"method {self.method}, all else as by default"

    def blocks(self) -> Sequence[Block]:
        """Every choice."""
        return [Facts("Recipe of training", [(f.name, f"{getattr(self, f.name)}" or "-") for f in fields(self)])]

    def __post_init__(self) -> None:
        choices: dict[str, tuple[str, ...]] = {
            "method": METHODS,
            "optimizer": tuple(tables()["optimizers"]),
            "precision": tuple(tables()["precisions"]),
            "kernels": KERNELS,
            "base_format": tuple(BASE_FORMATS),
            "attention": ("flash", "eager"),
            "loading": ("sharded", "whole", "16-bit"),
            "gradient_dtype": ("auto", *GRADIENTS),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if value not in allowed:
                raise WorkloadError(f"{name} {value!r} is not known; {choose(value, allowed)}")
        if self.loss.partition(":")[0] not in tables()["losses"] or not _chunks_named(self.loss):
            said = choose(self.loss.partition(":")[0], tables()["losses"], ", or chunked:16")
            raise WorkloadError(f"loss {self.loss!r} is not known; {said}")
        every = isinstance(self.recompute, int) and not isinstance(self.recompute, bool) and self.recompute > 0
        if not every and self.recompute not in RECOMPUTE:
            said = choose(self.recompute, RECOMPUTE, ", or every n-th layer")
            raise WorkloadError(f"recompute {self.recompute!r} is not known; {said}")
        if self.zero not in (0, 1, 2, 3):
            raise WorkloadError(f"zero must be 0, 1, 2 or 3, not {self.zero!r}.")
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or not 1 <= self.rank <= 65536:
            raise WorkloadError(f"rank must be a whole number from 1 to 65,536, not {self.rank!r}.")
        if self.adapter_bytes not in (2, 4):
            raise WorkloadError(f"adapter_bytes must be 2 or 4, not {self.adapter_bytes!r}.")
        self._check_numbers()
        if self.dora and not self.frozen:
            raise WorkloadError("dora is of adapters; choose method lora or qlora with it.")
        for name in self.offloaded:
            if name not in OFFLOADS:
                raise WorkloadError(f"offload {name!r} is not known; {choose(name, OFFLOADS, words='choose from')}")

    def _check_numbers(self) -> None:
        """
        Raises:
            WorkloadError: a number or a switch is none.
        """
        for name, least, below in (("dropout", 0, 1), ("imbalance", 1, 1e6)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < below:
                raise WorkloadError(f"{name} must be a number from {least} to below {below:,.0f}, not {value!r}.")
        if isinstance(self.prefetch, bool) or not isinstance(self.prefetch, int) or not 0 <= self.prefetch <= 1000:
            raise WorkloadError(f"prefetch must be a whole number of layers from 0 to 1,000, not {self.prefetch!r}.")
        for name in ("dora", "quantizes_targets", "repeats_kv", "optimizer_in_backward", "sequence_parallel"):
            if not isinstance(getattr(self, name), bool):
                raise WorkloadError(f"{name} must be True or False, not {getattr(self, name)!r}.")

    @property
    def offloaded(self) -> tuple[str, ...]:
        """What lives in the host's memory."""
        return (self.offload,) if isinstance(self.offload, str) and self.offload else tuple(self.offload or ())

    @property
    def frozen(self) -> bool:
        """Whether the base is."""
        return self.method != "full"

    def states(self, layout: Layout) -> Mapping[str, Any]:
        """The row of its precision. Mixed precision is 32-bit weights where each device has the model to itself or
        shards all of it (torch.autocast, FSDP), and a 32-bit master copy beside 16-bit weights where tensor, pipeline,
        context or expert parallelism divides it or ZeRO 1 and 2 divide its states (Megatron-LM, DeepSpeed)."""
        rows = tables()["precisions"]
        row: Mapping[str, Any] = rows[self.precision]
        divided = layout.tp * layout.pp * layout.cp * layout.ep > 1 or self.zero in (1, 2)
        found: Mapping[str, Any] = rows[row["divided"]] if divided and "divided" in row else row
        if self.gradient_dtype == "auto":
            return found
        return {**found, "gradients": GRADIENTS[self.gradient_dtype]}

    def column(self, layout: Layout) -> str:
        """The kernels of the record (calculator.record.saved) that say what is kept."""
        if self.kernels != "plain":
            return "compiled"
        casts = self.states(layout)["kernels"] == "autocast" and not self.frozen
        # FSDP gathers weights in 16 bit, so that what runs on them is 16 bit throughout.
        return "autocast" if casts and not (self.zero == 3 and layout.dp * layout.cp > 1) else "plain"

    def with_(self, **changes: Any) -> Training:
        """A copy with the given fields changed.

        Raises:
            WorkloadError: there is no such field, or its value is not allowed.
        """
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        unknown = [name for name in changes if name not in values]
        if unknown:
            raise WorkloadError(f"A recipe has no {unknown[0]!r}; {choose(unknown[0], values)}")
        return Training(**{**values, **changes})


def _chunks_named(loss: str) -> bool:
    _, colon, count = loss.partition(":")
    return not colon or (count.isascii() and count.isdigit() and 1 <= int(count) <= 4096)
