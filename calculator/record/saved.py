"""What the forward pass of training keeps for the backward pass: tensor by tensor, for each kind of kernels."""

from __future__ import annotations

from typing import NamedTuple

from calculator.numbers.symbolic import Number

KERNELS = ("formula", "compiled", "plain", "autocast")
"""What runs a layer, which decides what it keeps.

`formula`: what the published closed forms count (arXiv:2205.05198): one copy of every input that a fused kernel needs.
`compiled`: those and the statistics of every normalised row, as torch.compile's partitioner and fused kernels do.
`plain`: transformers' own modules in 16 bit, where norms are computed on a 32-bit copy and every product is kept.
`autocast`: the same over 32-bit weights under torch.autocast, which casts the input of each projection apart.
"""


class Saved(NamedTuple):
    """A tensor that one layer keeps for the backward pass.

    Attributes:
        tensor: its name inside the layer; operations that read one tensor keep it once.
        formula, compiled, plain, autocast: bytes over the whole batch, by the kernels that run the layer.
        need: what it is kept for: the gradient of a "weight", of the "input", or "both"; frozen weights drop the first.
        region: "sequence" tensors are whole on every tensor-parallel device unless the sequence is divided too,
            "tensor" ones divide with the heads and widths, "whole" ones never do.
        producer: what made it, "matmul", "attention" or "elementwise": what recomputation policies go by.
        fixed: the bytes do not grow with the tokens (autocast's copies of the weights).
    """

    tensor: str
    formula: Number = 0
    compiled: Number = 0
    plain: Number = 0
    autocast: Number = 0
    need: str = "both"
    region: str = "sequence"
    producer: str = "elementwise"
    fixed: bool = False

    def bytes(self, kernels: str) -> Number:
        """Bytes that those kernels keep of it."""
        return self[1 + KERNELS.index(kernels)]
