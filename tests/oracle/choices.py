"""Experts whose forward asks which tokens chose which of them. A meta tensor has no values, so they run here with the
same products and no such question: every choice is one row of one expert, whichever it is."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.functional import linear


def answered(model: nn.Module) -> None:
    """Put the stand-ins in the place of the forwards."""
    for module in model.modules():
        forward = FORWARDS.get(type(module).__name__)
        if forward:
            module.forward = partial(forward, module)


def _chosen(hidden: torch.Tensor, choices: torch.Tensor) -> torch.Tensor:
    """One row for each token and choice."""
    return hidden.reshape(-1, hidden.shape[-1]).repeat_interleave(choices.shape[-1], 0)


def _summed(rows: torch.Tensor, weights: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    choices = weights.shape[-1]
    return (rows * weights.reshape(-1, 1)).view(-1, choices, rows.shape[-1]).sum(1).view(like.shape)


def _dbrx(self: Any, hidden: torch.Tensor, index: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    shape = (-1, self.ffn_hidden_size, self.hidden_size)
    w1, v1, w2 = (getattr(self.mlp, name).view(shape)[0] for name in ("w1", "v1", "w2"))
    return _summed(self.mlp.forward(_chosen(hidden, index), w1, v1, w2), weights, hidden)


def _longcat(self: Any, hidden: torch.Tensor, index: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    gate, up = linear(_chosen(hidden, index), self.gate_up_proj[0]).chunk(2, dim=-1)
    return _summed(linear(self.act_fn(gate) * up, self.down_proj[0]), weights, hidden)


def _jetmoe_gating(self: Any, hidden: torch.Tensor) -> tuple[Any, ...]:
    logits = self.layer(hidden).float()
    gates, index = logits.topk(self.top_k, dim=1)
    gates = torch.softmax(gates, dim=1).type_as(hidden).flatten()
    order = torch.arange(index.numel(), device=hidden.device)
    return order, order.div(self.top_k, rounding_mode="trunc"), gates, None, logits


def _jetmoe_experts(self: Any, inputs: torch.Tensor, expert_size: None) -> torch.Tensor:
    return linear(inputs, self.weight[0])


FORWARDS = {
    "DbrxExperts": _dbrx,
    "LongcatFlashExperts": _longcat,
    "JetMoeTopKGating": _jetmoe_gating,
    "JetMoeParallelExperts": _jetmoe_experts,
}
