"""A training step of a small model divided over processes of this machine, as FSDP2 and DTensor's tensor parallelism do
it: bytes that each process holds afterwards, and what its forward pass keeps."""

from __future__ import annotations

import multiprocessing
import queue
from pathlib import Path
from typing import Any

import oracle
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

SECONDS = 240
PLAN: dict[str, Any] = {
    **{f"self_attn.{name}_proj": ColwiseParallel() for name in "qkv"},
    "self_attn.o_proj": RowwiseParallel(),
    "mlp.gate_proj": ColwiseParallel(),
    "mlp.up_proj": ColwiseParallel(),
    "mlp.down_proj": RowwiseParallel(),
}
"""Column, then row: what transformers' base_model_tp_plan of Llama says."""


def step(config: dict[str, Any], copies: int, tensor: int, store: Path) -> list[dict[str, int]]:
    """Bytes of weights, gradients and optimizer states on every process, and those kept for the backward pass."""
    fork = multiprocessing.get_context("fork")
    answers: multiprocessing.Queue[Any] = fork.Queue()
    count = copies * tensor
    ranks = [
        fork.Process(target=_rank, args=(rank, config, copies, tensor, store, answers), daemon=True)
        for rank in range(count)
    ]
    for process in ranks:
        process.start()
    try:
        found = [answers.get(timeout=SECONDS) for _ in ranks]
    except queue.Empty:
        raise TimeoutError(f"{count} processes did not answer within {SECONDS} s.") from None
    finally:
        for process in ranks:
            process.join(10)
            process.kill()
    wrong = [each for each in found if isinstance(each, str)]
    assert not wrong, wrong[0]
    return found


def _rank(rank: int, config: dict[str, Any], copies: int, tensor: int, store: Path, answers: Any) -> None:
    try:
        torch.set_num_threads(1)
        count = copies * tensor
        dist.init_process_group("gloo", store=dist.FileStore(str(store), count), rank=rank, world_size=count)
        answers.put(_step(config, copies, tensor))
        dist.barrier()
    except Exception as error:
        answers.put(f"process {rank}: {type(error).__name__}: {error}")
    finally:
        dist.destroy_process_group()


def _step(config: dict[str, Any], copies: int, tensor: int) -> dict[str, int]:
    mesh = init_device_mesh("cpu", (copies, tensor), mesh_dim_names=("copies", "tensor"))
    model = oracle.build(config, "eager", dtype=torch.float32)
    if tensor > 1:
        for layer in model.model.layers:
            parallelize_module(layer, mesh["tensor"], PLAN)
            # A process has its share of the heads.
            layer.self_attn.num_key_value_groups = config["num_attention_heads"] // config["num_key_value_heads"]
        ends = {
            "model.embed_tokens": RowwiseParallel(input_layouts=Replicate()),
            "lm_head": ColwiseParallel(output_layouts=Shard(-1), use_local_output=False),
        }
        parallelize_module(model, mesh["tensor"], ends)
    if copies > 1:
        for layer in model.model.layers:
            fully_shard(layer, mesh=mesh["copies"])
        fully_shard(model, mesh=mesh["copies"])
    model.to_empty(device="cpu")
    for parameter in model.parameters():
        torch.nn.init.constant_(_local(parameter.detach()), 0.01)
    optimizer = torch.optim.AdamW(model.parameters(), foreach=False)
    ids = torch.zeros(1, 16, dtype=torch.int64)
    logits = model(input_ids=ids, use_cache=False).logits
    (logits.full_tensor() if isinstance(logits, DTensor) else logits).sum().backward()
    optimizer.step()
    parameters = list(model.parameters())
    states = [s for p in parameters for s in optimizer.state[p].values() if s.dim()]
    return {
        "weights": _bytes(parameters),
        "gradients": _bytes(p.grad for p in parameters),
        "optimizer": _bytes(states),
    }


def _local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _bytes(tensors: Any) -> int:
    return sum(_local(t).numel() * t.element_size() for t in tensors)
