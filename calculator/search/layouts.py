"""The layouts worth asking about: every way to divide a number of devices that the model and the engine allow."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from typing import Any

from calculator.engines.memory.shares import weights_listed
from calculator.errors import CalculatorError
from calculator.model import Model
from calculator.parallel import Layout
from calculator.parts import Attention
from calculator.record.caches import Latent


def divisors(count: int) -> list[int]:
    """The divisors of a count, rising."""
    small = [n for n in range(1, isqrt(count) + 1) if count % n == 0]
    return small + [count // n for n in reversed(small) if n * n != count]


def heads_of(model: Model) -> int:
    """Query heads, which tensor parallelism divides; 0 for a model without attention."""
    found = model.stated("num_attention_heads", "n_head", "num_heads")
    if found is None:  # a list, layer by layer
        found = next((p.heads for layer in model.text.layers for p in layer.parts if isinstance(p, Attention)), 0)
    return int(found)


def has_latent(model: Model) -> bool:
    """Whether the cache is one latent that every rank of a tensor group holds whole."""
    listed = weights_listed(model, "auto", "auto")
    return any(isinstance(op.kept, Latent) for op in listed)


def layouts(model: Model, devices: int, engine: str = "vllm", *, largest_tp: int | None = None) -> Iterator[Any]:
    """Every layout of exactly so many devices: tensor, pipeline and data parallelism, and for a mixture of experts
    whole experts on each rank; for a latent cache also attention data parallelism.

    Args:
        largest_tp: devices of one scale-up domain, which a tensor group should not leave.
    """
    heads, experts, latent = heads_of(model), model.experts, has_latent(model)
    for tp in divisors(devices):
        if (heads and heads % tp) or (largest_tp and tp > largest_tp):
            continue
        for pp in divisors(devices // tp):
            if pp > model.layers:
                continue
            dp = devices // tp // pp
            for options in _expert_options(tp, experts is not None, engine, latent=latent):
                try:
                    found = Layout(tp, pp, dp, ep=options[0], attention_dp=options[1])
                    found.check(model)
                except CalculatorError:  # not a layout that engines take: the next one
                    continue
                yield found


def _expert_options(tp: int, experts: bool, engine: str, *, latent: bool) -> Iterator[tuple[int, int]]:
    """Ranks that divide the experts, and copies of the attention."""
    yield 1, 1
    if not experts or tp == 1 or engine in ("llama.cpp", "transformers"):
        return
    yield tp, 1
    if latent:
        yield tp, tp
