"""`fit(model, device=...)`: what an engine does with a device's memory, how many tokens and sequences fit, and what to
do where they do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from calculator.engines.memory import llama_cpp, sglang, tensorrt_llm, transformers, vllm
from calculator.engines.memory.ask import Ask, Budget, Item, layout_counts, longest
from calculator.engines.memory.pages import grows
from calculator.engines.memory.settings import checked
from calculator.engines.memory.shares import weights_listed
from calculator.engines.memory.shown import blocks_of
from calculator.errors import WorkloadError, needs
from calculator.formats.cache import cache_format_named
from calculator.formats.named import format_named, normalised
from calculator.hardware import Device
from calculator.model import Model
from calculator.numbers.blocks import Block, Shown
from calculator.numbers.units import GIB
from calculator.parallel import Layout
from calculator.serving.efficiency import TITLES as TITLES

if TYPE_CHECKING:
    from calculator.search.fixes import Fix

RULES: Mapping[str, Callable[[Ask], Budget]] = {
    "vllm": vllm.budget,
    "sglang": sglang.budget,
    "tensorrt-llm": tensorrt_llm.budget,
    "llama.cpp": llama_cpp.budget,
    "transformers": transformers.budget,
}


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Shown):
    """A model on a device, as an engine lays it out. Amounts are bytes of the fullest device.

    Attributes:
        model, device, engine, layout, dtype, kv_dtype, settings: what was asked.
        max_model_len: tokens of the longest sequence. concurrency: sequences of that length that are wanted.
        budget: the engine's division of the memory.
    """

    model: Model
    device: Device
    engine: str
    layout: Layout
    dtype: str
    kv_dtype: str
    settings: Mapping[str, Any]
    max_model_len: int
    concurrency: int
    budget: Budget

    @property
    def weights(self) -> int:
        """Bytes of weights on one device."""
        return self.budget.of("weights")

    @property
    def activations(self) -> int:
        """Bytes of activations on one device, at their peak."""
        return self.budget.of("activations")

    @property
    def overhead(self) -> int:
        """What is neither weights, activations nor cache: contexts, communication, what the engine leaves free."""
        return self.budget.of("overhead")

    @property
    def capacity(self) -> int:
        """Bytes that the engine may use."""
        return self.budget.capacity

    @property
    def cache_pool(self) -> int:
        """Bytes left for the cache; negative where not even the rest fits."""
        return self.budget.pool

    @cached_property
    def cache_tokens(self) -> int:
        """Tokens that the pool holds, as the engine counts them."""
        return self.budget.cache.tokens(self.budget.pool)

    @cached_property
    def needed(self) -> int:
        """Bytes of cache that the wanted sequences take."""
        return int(self.budget.cache.needed(self.max_model_len)) * self.concurrency

    @cached_property
    def sequences(self) -> int:
        """Sequences of `max_model_len` tokens that the pool holds, and no more than the engine runs at once."""
        return int(self.sequences_at(self.max_model_len))

    def sequences_at(self, length: Any) -> Any:
        """Sequences of a length, or of each of an array's, that the pool holds."""
        if self.budget.pool <= 0:
            return length * 0
        needed = self.budget.cache.needed(length)  # nothing on a stage whose layers keep nothing
        found = self.budget.pool // (needed + (needed == 0))
        limit = self.budget.sequences
        if limit is None:
            return found
        if hasattr(found, "shape"):
            import numpy as np

            return np.minimum(found, limit)
        return min(found, limit)

    @cached_property
    def longest_context(self) -> int:
        """Tokens of the longest sequence that the pool holds on its own; 0 where none does."""
        return longest(self.budget, 1)

    @property
    def taken(self) -> int:
        """Bytes with the cache of the wanted sequences; more than `capacity` where they do not fit."""
        return self.capacity - self.cache_pool + self.needed

    @property
    def free(self) -> int:
        """Bytes of the pool that the wanted sequences leave; 0 where they do not fit."""
        return max(0, self.cache_pool - self.needed)

    @property
    def shares(self) -> dict[str, int]:
        """Bytes by kind, the cache being that of the wanted sequences."""
        kinds = ("weights", "activations", "overhead", "outside")
        return {kind: self.budget.of(kind) for kind in kinds} | {"cache": self.needed}

    @property
    def growing(self) -> bool:
        """Whether a further token always takes more of the pool; the states of recurrent layers do not grow."""
        return grows(self.budget.cache)

    @property
    def fits(self) -> bool:
        """Whether the wanted sequences fit."""
        return self.short_by == 0

    @cached_property
    def short_by(self) -> int:
        """Bytes that a device lacks; 0 where it fits."""
        return max(0, self.needed - self.budget.pool)

    @cached_property
    def fixes(self) -> tuple[Fix, ...]:
        """What would make it fit, the least costly first, each one checked; none where it fits."""
        from calculator.search.fixes import fixes

        return () if self.fits else fixes(self)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what the numbers rest on."""
        return self.budget.notes

    @property
    def verdict(self) -> str:
        """The answer in a sentence or two."""
        where = f"{self.layout.devices} × {self.device.name}" if self.layout.devices > 1 else self.device.name
        what = f"{self.model.name} on {where} with {TITLES[self.engine]}"
        users = "one sequence" if self.concurrency == 1 else f"{self.concurrency:,} sequences"
        if self.fits:
            pool = f"{self.cache_tokens:,} tokens of cache, " if self.growing else ""
            return (
                f"{what} fits: {pool}{self.sequences:,} "
                f"sequence{'' if self.sequences == 1 else 's'} of {self.max_model_len:,} tokens at once."
            )
        cure = ", or ".join(fix.short for fix in self.fixes[:4])
        return (
            f"{what} does not fit {users} of {self.max_model_len:,} tokens: short by {self.short_by / GIB:.1f} GiB a "
            f"device{f': {cure}' if cure else ''}."
        )

    def summary(self) -> str:
        """The verdict."""
        return self.verdict

    def blocks(self) -> Sequence[Block]:
        """Facts and tables for a notebook."""
        return blocks_of(self)

    def again(self, **changes: Any) -> Fit:
        """The same question with other arguments of `fit`."""
        given: dict[str, Any] = {
            "device": self.device,
            "engine": self.engine,
            "layout": self.layout,
            "dtype": self.dtype,
            "kv_dtype": self.kv_dtype,
            "max_model_len": self.max_model_len,
            "concurrency": self.concurrency,
            **self.settings,
        }
        return fit(self.model, **{**given, **changes})

    def rows(self) -> list[dict[str, Any]]:
        """A row for each share of the device's memory."""
        items = [*self.budget.items, Item("cache", "Cache pool", self.budget.pool, "what is left", "rule")]
        return [
            {"kind": i.kind, "name": i.name, "bytes": i.size, "certainty": i.certainty, "source": i.source}
            for i in items
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything, ready for json.dumps."""
        return {
            "model": self.model.name,
            "device": self.device.id,
            "engine": self.engine,
            "layout": layout_counts(self.layout),
            "dtype": self.dtype,
            "kv_dtype": self.kv_dtype,
            "settings": {**self.budget.defaults, **self.settings},
            "max_model_len": self.max_model_len,
            "concurrency": self.concurrency,
            "capacity": self.capacity,
            "memory": self.rows(),
            "host": self.budget.host,
            "weights": self.weights,
            "activations": self.activations,
            "overhead": self.overhead,
            "cache_pool": self.cache_pool,
            "cache_tokens": self.cache_tokens if self.growing else None,
            "sequences": self.sequences,
            "longest_context": self.longest_context,
            "fits": self.fits,
            "short_by": self.short_by,
            "fixes": [fix.to_dict() for fix in self.fixes],
            "verdict": self.verdict,
            "notes": list(self.notes),
        }


def fit(
    model: Model,
    device: Any,
    engine: str = "vllm",
    layout: Any = None,
    max_model_len: int | None = None,
    gpu_memory_utilization: float | None = None,
    max_num_batched_tokens: int | None = None,
    dtype: str = "auto",
    kv_dtype: str = "auto",
    concurrency: int = 1,
    **settings: Any,
) -> Fit:
    """Whether a model fits a device as an engine lays it out, and how much of its cache.

    Args:
        model: what `load_model` returned.
        device: an id, a driver's name, or a Device. layout: a Layout; None is one device.
        engine: "vllm", "sglang", "tensorrt-llm", "llama.cpp" or "transformers".
        max_model_len: tokens of the longest sequence; None is the model's own limit, as engines take it.
        gpu_memory_utilization: vLLM's part of the device, 0.9 by default; other engines' own part under that name.
        max_num_batched_tokens: tokens of a step; None is the engine's default.
        concurrency: sequences of `max_model_len` that have to fit.
        settings: others of the engine by its own names (`calculator.engines.memory.settings`), `version="0.8.5"`, or
            `cache_pool` in bytes, a pool that is known.

    Raises:
        CalculatorError: an engine, a device, a setting or a value that is not known.
    """
    needs("fit", model, Model)
    needs("fit", layout, Layout, optional=True)
    from calculator.hardware import device as device_named

    given = {
        "max_model_len": max_model_len,
        "gpu_memory_utilization": gpu_memory_utilization,
        "max_num_batched_tokens": max_num_batched_tokens,
        **settings,
    }
    known = checked(engine, {k: v for k, v in given.items() if k != "gpu_memory_utilization"})
    if gpu_memory_utilization is not None:
        known |= checked("vllm", {"gpu_memory_utilization": gpu_memory_utilization})
    if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
        raise WorkloadError(f"concurrency must be a whole number from 1 up, not {concurrency!r}.")
    chosen = layout or Layout()
    chosen.check(model)
    ask = Ask(
        model,
        device_named(device),
        chosen,
        _format(dtype, format_named),
        _format(kv_dtype, cache_format_named),
        known,
        _version(known.pop("version", None)),
    )
    if not any(op.kept for op in weights_listed(model, ask.dtype, ask.kv_dtype)):
        raise WorkloadError(
            f"{model.name} keeps no cache from one pass to the next, as encoders and drafts that read their target's "
            "do, so an engine has no pool to divide; what it holds is in estimate (without --fits and the like)."
        )
    return Fit(
        model, ask.device, engine, ask.layout, dtype, kv_dtype, known, ask.longest, concurrency, RULES[engine](ask)
    )


def _format(name: str, known: Callable[[str], Any]) -> str:
    return "auto" if normalised(str(name)) == "auto" else str(known(str(name)).name)


def _version(said: str | None) -> tuple[int, ...] | None:
    if said is None:
        return None
    parts = said.removeprefix("v").split(".")[:2]
    if not all(part.isdigit() for part in parts):
        raise WorkloadError(f"version {said!r} is not a version; write it as 0.11.")
    return tuple(int(part) for part in parts)
