"""What is run: mode, batch, lengths, precision and execution options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from enum import Enum
from typing import Any

from calculator.errors import WorkloadError, choose, shown
from calculator.formats.cache import cache_format_named
from calculator.formats.named import format_named, normalised
from calculator.record.options import OPTIONS, Option
from calculator.record.saved import KERNELS


@dataclass(frozen=True, slots=True)
class Workload:
    """A mode and everything that changes its numbers. `batch_size` and `sequence_length` may be NumPy integer arrays
    that broadcast against each other; the estimate's fields then have the broadcast shape.

    Attributes:
        mode: "prefill" processes `sequence_length` new tokens for each of `batch_size` sequences; "decode" generates
            one token for each of `batch_size` sequences that already hold `sequence_length` tokens; "pretraining" is
            forward, backward and the AdamW step over `batch_size` sequences.
        sequence_length: tokens per sequence. None: 4096, or the model's context if that is shorter. "max": the context.
        encoder_length: tokens per sequence that the encoder of an encoder-decoder model reads. None: as many as its
            positions are (Whisper: 1500), otherwise the sequence length.
        decode_length: tokens generated for the totals of decode mode, the context growing by one each step.
        dtype: weights; "auto" reads the config (torch_dtype and quantization_config).
        kv_dtype: KV cache; "auto" is what the config asks for, otherwise the 16- or 32-bit type of the computation.
        attention: "flash" never writes the S × S scores; "eager" does.
        attention_flops: "full" counts S × S score positions, "causal" the half a causal kernel computes.
        logits: positions that reach the head; "auto" is the last one for prefill and all of them for pretraining.
        flash_decode: split the cache read of a decode step over workers (a partial result per split is kept).
        flash_block_size: query rows per flash-attention tile. None: keys and values are read once; a number: they are
            read once per tile of that many queries (FlashAttention, arXiv:2205.14135).
        flash_decode_block_size: cached tokens per split of flash decode.
        expert_capacity_factor: None routes without dropping; c pads or cuts every expert to ⌈c·T·k/E⌉ tokens
            (Switch Transformer, arXiv:2101.03961).
        routing: "balanced" spreads tokens evenly over experts, so min(E, T·k) experts are read; "uniform" expects the
            number of distinct experts that uniform random routing reaches.
        share_experts_across_layers: what if every layer used the same routed experts; no published model does.
        gradient_dtype: "auto" is the 16- or 32-bit type of the computation.
        past_length: tokens per sequence that a prefill finds in the cache: the chunks before this one, a prefix that
            other requests share; with `logits="all"` and a few tokens it is the verification of drafted ones.
        kernels: what runs a layer in pretraining, which decides what it keeps for the backward pass: "formula" counts
            as the published closed forms do, "compiled" as torch.compile and fused kernels, "plain" as transformers'
            modules, "autocast" as those over 32-bit weights (see calculator.record.saved).
    """

    mode: str = "prefill"
    batch_size: Any = 1
    sequence_length: Any = None
    decode_length: int = 64
    dtype: str = "auto"
    kv_dtype: str = "auto"
    attention: str = "flash"
    attention_flops: str = "full"
    logits: str = "auto"
    flash_decode: bool = True
    flash_block_size: int | None = None
    flash_decode_block_size: int = 256
    expert_capacity_factor: float | None = None
    routing: str = "balanced"
    share_experts_across_layers: bool = False
    gradient_dtype: str = "auto"
    encoder_length: int | None = None
    past_length: int = 0
    kernels: str = "formula"

    def __post_init__(self) -> None:
        for f in fields(self):
            value = getattr(self, f.name)
            # NumPy's single numbers and members of enumerations stand for the plain values inside them.
            plain = (
                value.value
                if isinstance(value, Enum)
                else value.item()
                if getattr(value, "shape", None) == ()
                else value
            )
            object.__setattr__(self, f.name, plain)
        for option in OPTIONS:
            CHECKS[option.kind](option, getattr(self, option.field))
        _check_past(self)
        for name, known in (("dtype", format_named), ("kv_dtype", cache_format_named)):
            said = str(getattr(self, name))
            object.__setattr__(self, name, "auto" if normalised(said) == "auto" else known(said).name)

    @property
    def saved_column(self) -> int:
        """Where a Saved has the bytes that the workload's kernels keep."""
        return 1 + KERNELS.index(self.kernels)

    @property
    def last_logits(self) -> bool:
        """Whether only the last position of each sequence reaches the head."""
        return self.logits == "last" or self.mode == "decode" or (self.logits == "auto" and self.mode != "pretraining")

    @property
    def conventions(self) -> str:
        """The counting conventions behind the FLOPs, in words."""
        counted = "S × S scores (full)" if self.attention_flops == "full" else "the causal half of the scores"
        scores = "" if self.mode == "decode" else f"attention counts {counted}, "
        logits = "the last position" if self.last_logits else "all positions"
        return f"A multiply-add is 2 FLOPs; {scores}logits of {logits}."

    def with_(self, **changes: Any) -> Workload:
        """A copy with the given fields changed.

        Raises:
            WorkloadError: there is no such field, or its value is not allowed.
        """
        names = [f.name for f in fields(self)]
        for name in changes:
            if name not in names:
                raise WorkloadError(f"A workload has no {name!r}; {choose(name, names)}")
        return replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, arrays as nested lists."""
        values = ((f.name, getattr(self, f.name)) for f in fields(self))
        return {name: value.tolist() if hasattr(value, "tolist") else value for name, value in values}


def _check_past(workload: Workload) -> None:
    if workload.past_length and workload.mode != "prefill":
        raise WorkloadError(
            f"past_length {workload.past_length:,} is of prefill, whose new tokens follow those in the cache; a decode "
            "step's past is its sequence_length, and pretraining has none."
        )


LARGEST = 10**12  # far beyond any real length or batch, near enough that no product leaves a float's range
ARRAYS = ("batch_size", "sequence_length")  # the fields that may be arrays


def _choice(option: Option, value: Any) -> None:
    if not isinstance(value, str) or value not in option.choices:
        raise WorkloadError(f"{option.field} {shown(value)} is not known; {choose(value, option.choices)}")


def _switch(option: Option, value: Any) -> None:
    if not isinstance(value, bool):
        raise WorkloadError(f"{option.field} must be True or False, not {shown(value)}.")


def _factor(option: Option, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1e6):
        raise WorkloadError(f"{option.field} must be a positive number or None, not {shown(value)}.")


def _length(option: Option, value: Any) -> None:
    if isinstance(value, str) and value != "max":
        raise WorkloadError(
            f"{option.field} {shown(value)} is not a length; give a whole number of tokens, or max for the model's "
            "limit."
        )
    if not isinstance(value, str):
        _count(option, value)


def _count(option: Option, value: Any) -> None:
    if value is None and option.default is None:
        return
    dtype = getattr(value, "dtype", None)
    if dtype is not None and option.field in ARRAYS:
        if dtype.kind not in "iu" or not value.size or value.min() < option.least or value.max() > LARGEST:
            raise WorkloadError(f"{option.field} must hold whole numbers from {option.least} to {LARGEST:,}.")
        return
    if isinstance(value, bool) or not isinstance(value, int) or not option.least <= value <= LARGEST:
        raise WorkloadError(
            f"{option.field} must be a whole number from {option.least} to {LARGEST:,}, not {shown(value)}."
        )


def _format(option: Option, value: Any) -> None:
    """By name, when the workload is made: what a precision is called is more than its choices."""


CHECKS: dict[str, Callable[[Option, Any], None]] = {
    "choice": _choice,
    "switch": _switch,
    "factor": _factor,
    "length": _length,
    "count": _count,
    "format": _format,
}
"""How a value of each kind of option is checked."""
