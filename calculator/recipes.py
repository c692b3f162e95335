"""The options of the command line that say how a model is trained, and the recipe they make."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError

if TYPE_CHECKING:
    from calculator.parallel import Layout

DIVIDED = ("tp", "pp", "dp", "cp", "ep", "attention_dp")
GROUPS = ("tensor", "pipeline", "data (copies)", "context", "expert", "attention's data parallel")
RECIPE = {
    "method": ("full|lora|qlora", "what is trained; default: full"),
    "optimizer": ("NAME", "default: adamw"),
    "precision": ("NAME", "of the states; default: bf16, with --solve and --plans bf16-mixed"),
    "recompute": ("NAME|N", "none (default), selective, experts, ops, full, or every Nth layer"),
    "zero": ("STAGE", "what copies shard: 0 (default), 1 optimizer states, 2 and gradients, 3 and weights"),
    "rank": ("N", "of LoRA's adapters; default: 16"),
    "targets": ("NAMES", "modules that adapters stand beside, with commas; default: all-linear"),
    "adapter_bytes": ("2|4", "of an adapter's parameter; default: 4"),
    "dropout": ("P", "of the adapters' inputs; default: 0"),
    "base_format": ("nf4|nf4-dq", "of a QLoRA base; default: nf4-dq"),
    "loss": ("NAME[:N]", "plain (default), compiled, fused, or chunked in N parts"),
    "offload": ("NAMES", "what lives in the host's memory: activations, optimizer, parameters"),
    "imbalance": ("F", "rows of the fullest expert over the mean; default: 1"),
    "prefetch": ("N", "layers gathered ahead with zero 3; default: 1"),
}
SWITCHES = {
    "dora": "a trained magnitude beside each adapter",
    "optimizer_in_backward": "updates each weight as its gradient comes",
    "sequence_parallel": "divides what the tensor group leaves whole by tokens",
}
WHOLE = ("zero", "recompute", "rank", "adapter_bytes", "prefetch")
PARTS = ("dropout", "imbalance")
LISTS = ("targets", "offload")
KERNELS = ("compiled", "plain", "fused")


def add_options(add: Callable[..., Any], count: Callable[[str], int]) -> None:
    """The options; `count` reads whole numbers."""
    for name, what in zip(DIVIDED, GROUPS, strict=True):
        add(f"--{_dashed(name)}", type=count, metavar="N", help=f"devices of the {what} group; default: 1")
    add("--interleave", type=count, metavar="N", help="virtual stages of a pipeline stage; default: 1")
    for name, (metavar, said) in RECIPE.items():
        names = [f"--{_dashed(name)}"] + ["--lora-rank"] * (name == "rank")
        add(*names, metavar=metavar, help=f"of training: {said}")
    for name, said in SWITCHES.items():
        add(f"--{_dashed(name)}", action="store_true", help=f"of training: {said}")
    add("--micro-batches", type=count, metavar="N", help="of a step of training; default: 1")
    add("--plans", type=count, metavar="N", help="of training: layouts of N devices that fit, the fastest first")
    said = "the recipe of training for torchtitan, deepspeed, megatron, axolotl or trl"
    add("--export", metavar="FRAMEWORK", help=said)


def recipe_of(options: argparse.Namespace) -> dict[str, Any]:
    """Fields of `Training` that were given.

    Raises:
        WorkloadError: a number is none.
    """
    found: dict[str, Any] = {n: v for n in RECIPE if (v := getattr(options, n)) is not None}
    found |= {n: int(found[n]) for n in WHOLE if re.fullmatch("[0-9]{1,9}", found.get(n, ""))}
    for name in PARTS:
        if name in found:
            found[name] = _part(name, found[name])
    found |= {n: tuple(found[n].split(",")) for n in LISTS if "," in found.get(n, "")}
    found |= {n: True for n in SWITCHES if getattr(options, n)}
    return found | ({"kernels": options.kernels} if options.kernels == "fused" else {})


def _part(name: str, said: str) -> float:
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", said):
        raise WorkloadError(f"--{_dashed(name)} {said[:40]!r} is no number such as 0.1 or 1.5.")
    return float(said)


def divided(options: argparse.Namespace) -> dict[str, Any]:
    """Sizes of the groups of devices that were given."""
    return {n: v for n in (*DIVIDED, "interleave") if (v := getattr(options, n)) is not None}


def layout_of(options: argparse.Namespace) -> Layout:
    """The layout that was given.

    Raises:
        DeviceError: it cannot be.
    """
    from calculator.parallel import Layout

    return Layout(**divided(options))


def kernels_of(options: argparse.Namespace) -> dict[str, str]:
    """The workload's kernels where the recipe's are fused ones, which keep what compiled ones do."""
    return {"kernels": "compiled"} if options.kernels == "fused" else {}


def _dashed(name: str) -> str:
    return name.replace("_", "-")
