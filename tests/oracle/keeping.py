"""What the forward pass of a transformers model keeps for the backward pass, seen on the meta device by the hooks that
autograd hands every saved tensor to, and what lives through a step, by following storages.

A meta tensor allocates nothing, and some of its kernels are not those of a GPU. Attention is called as the flash kernel
itself (the meta device would fall back to plain products), and a missing autocast is made of function calls.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import oracle
import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

PRODUCTS = (functional.linear, torch.matmul, torch.Tensor.matmul, torch.bmm, torch.addmm, torch.baddbmm)


class Autocast(TorchFunctionMode):
    """torch.autocast for a device that has none: products in bfloat16, norms and softmax in float32. The cast of a
    weight is cached until the backward pass is over, that of an activation is made for each product."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: dict[int, torch.Tensor] = {}

    def _lowered(self, value: Any) -> Any:
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            return value
        if not value.is_leaf or not value.requires_grad:
            return value.to(torch.bfloat16)
        if id(value) not in self.copies:
            self.copies[id(value)] = value.to(torch.bfloat16)
        return self.copies[id(value)]

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in PRODUCTS or getattr(function, "__name__", "") in ("_grouped_mm", "grouped_mm"):
            args = tuple(map(self._lowered, args))
            kwargs = {name: self._lowered(value) for name, value in kwargs.items()}
        elif function is functional.layer_norm:
            args = tuple(a.float() if isinstance(a, torch.Tensor) else a for a in args)
            kwargs = {name: v.float() if isinstance(v, torch.Tensor) else v for name, v in kwargs.items()}
        return function(*args, **kwargs)


def fused(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention as the flash kernel: [batch, heads, tokens, size], fewer key heads than query heads as they are, key
    heads wider than those of the values padded away."""
    if query.dtype == torch.float32:
        query, key, value = (t.to(torch.bfloat16) for t in (query, key, value))
    size = value.shape[-1]
    if size < query.shape[-1]:
        value = functional.pad(value, (0, query.shape[-1] - size))
    out = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, True, False, scale=scaling)[0]
    return out[..., :size].transpose(1, 2).contiguous(), None


Kept = dict[str, int]
"""Bytes kept, by the path of the module that kept them first."""


@contextmanager
def _inside(model: PreTrainedModel, path: list[str]) -> Iterator[None]:
    """The path of the module that runs, in path[-1]."""
    hooks = []
    for name, module in model.named_modules():
        hooks.append(module.register_forward_pre_hook(lambda m, a, name=name: path.append(name)))
        hooks.append(module.register_forward_hook(lambda m, a, out: path.pop() and None))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def kernels(name: str) -> Iterator[None]:
    """A GPU's attention kernel, and torch.autocast where it is asked for."""
    with (
        mock.patch.dict(ALL_ATTENTION_FUNCTIONS._global_mapping, {"fused": fused}),
        oracle._valueless(),
        Autocast() if name == "autocast" else nullcontext(),
    ):
        yield


def built(config: dict[str, Any], attention: str = "flash", name: str = "plain") -> PreTrainedModel:
    """The model in the precision of the kernels, experts grouped as in training."""
    dtype = torch.float32 if name == "autocast" else torch.bfloat16
    with mock.patch.dict(ALL_ATTENTION_FUNCTIONS._global_mapping, {"fused": fused}):
        return oracle.build(config, "fused" if attention == "flash" else attention, experts="grouped_mm", dtype=dtype)


def kept(
    model: PreTrainedModel, batch: int, tokens: int, *, name: str = "plain", loss: bool = False, rows: bool = False
) -> Any:
    """Bytes that autograd keeps, each storage once at its full size, by module. Parameters, buffers, token ids, labels,
    single numbers and the angles of rotary embedding, which are one table for all layers and sequences, are left out.
    With `rows` also each storage's (module, dtype, bytes, shape)."""
    own = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers())}
    path, found, listed = [""], {}, []
    held: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        known = storage._cdata in own or storage._cdata in held
        ids = tensor.dtype == torch.int64 and (not path[-1] or path[-1].endswith(("_embeddings", "wte", "wpe")))
        ids = ids or (batch > 1 and tensor.dim() == 4 and tensor.shape[:2] == (1, 1))  # angles
        if not (known or tensor.dim() == 0 or tensor.dtype == torch.uint64 or ids or "embed_tokens" in path[-1]):
            held[storage._cdata] = storage
            found[path[-1]] = found.get(path[-1], 0) + storage.nbytes()
            listed.append((path[-1], str(tensor.dtype)[6:], storage.nbytes(), tuple(tensor.shape)))
        return tensor

    labels = {"labels": oracle._tokens(batch, tokens)} if loss else {}
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with kernels(name), _inside(model, path), hooks:
        model(**oracle._inputs(model, batch, tokens, cached=False), **labels)
    return (found, listed) if rows else found


class Living(TorchDispatchMode):
    """Follows the storages that operations make: the bytes that live, and the most that did since `reset`."""

    def __init__(self, *known: torch.Tensor) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._alive: set[int] = set()
        for tensor in known:
            self._track(tensor)

    def reset(self) -> None:
        """Forget the peak so far."""
        self.peak = self.now

    def _track(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._alive:
            return
        self._alive.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._alive.discard(key)
        self.now -= size

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor) and leaf.is_meta:
                self._track(leaf)
        return made
