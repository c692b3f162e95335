"""A recipe in the words of the frameworks that run it. What a framework has no word for is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from calculator.errors import WorkloadError, choose

if TYPE_CHECKING:
    from calculator.training.result import Trained

HUGGING_FACE_OPTIMIZERS = {
    "adamw": "adamw_torch",
    "adamw-fused": "adamw_torch_fused",
    "adamw-8bit": "adamw_bnb_8bit",
    "paged-adamw": "paged_adamw_32bit",
    "paged-adamw-8bit": "paged_adamw_8bit",
    "adafactor": "adafactor",
    "lion": "lion_32bit",
    "sgd": "sgd",
    "sgd-momentum": "sgd",
}
TITAN_RECOMPUTE = {"none": "none", "full": "full"}  # its other mode is selective


def exported(step: Trained, framework: str) -> str:
    """The recipe and the layout of a step for a framework.

    Args:
        framework: "torchtitan" (TOML), "deepspeed" (JSON), "megatron" (flags), "axolotl" (YAML) or "trl" (flags).

    Raises:
        WorkloadError: no such framework, or one that does not run such a recipe.
    """
    if framework not in FRAMEWORKS:
        raise WorkloadError(f"No export for {framework!r}; {choose(framework, FRAMEWORKS)}")
    return FRAMEWORKS[framework](step)


def torchtitan(step: Trained) -> str:
    """A job's TOML (pytorch/torchtitan, docs/fsdp.md, docs/composability.md)."""
    _only_full(step, "torchtitan")
    training, layout = step.training, step.layout
    how = training.recompute if isinstance(training.recompute, str) else "selective"
    sections: dict[str, dict[str, Any]] = {
        "optimizer": {"name": "AdamW", "implementation": "fused" if training.optimizer == "adamw-fused" else "foreach"},
        "training": {
            "local_batch_size": step.batch_size,
            "global_batch_size": step.batch_size * step.micro_batches * layout.dp,
            "seq_len": step.sequence_length,
            "mixed_precision_param": "float32" if training.precision == "fp32" else "bfloat16",
        },
        "parallelism": {
            "data_parallel_replicate_degree": 1 if training.zero else layout.dp,
            "data_parallel_shard_degree": layout.dp if training.zero else 1,
            "tensor_parallel_degree": layout.tp,
            "pipeline_parallel_degree": layout.pp,
            "context_parallel_degree": layout.cp,
            "expert_parallel_degree": layout.ep,
        },
        "activation_checkpoint": {"mode": TITAN_RECOMPUTE.get(how, "selective")},
        "compile": {"enable": training.kernels == "compiled"},
    }
    if isinstance(training.recompute, int):
        sections["activation_checkpoint"]["selective_ac_option"] = str(training.recompute)
    lines = []
    for name, values in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in values.items()]
        lines.append("")
    return "\n".join(lines)


def deepspeed(step: Trained) -> str:
    """A configuration in JSON (deepspeed.ai, DeepSpeed Configuration JSON)."""
    training = step.training
    zero: dict[str, Any] = {"stage": training.zero}
    for name, key in (("optimizer", "offload_optimizer"), ("parameters", "offload_param")):
        if name in training.offloaded:
            zero[key] = {"device": "cpu", "pin_memory": True}
    found: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": step.batch_size,
        "gradient_accumulation_steps": step.micro_batches,
        "bf16": {"enabled": training.precision.startswith("bf16")},
        "fp16": {"enabled": training.precision.startswith("fp16")},
        "zero_optimization": zero,
    }
    return json.dumps(found, indent=2) + "\n"


def megatron(step: Trained) -> str:
    """Flags of Megatron-LM (megatron/training/arguments.py)."""
    _only_full(step, "Megatron-LM")
    training, layout = step.training, step.layout
    flags: list[tuple[str, object]] = [
        ("micro-batch-size", step.batch_size),
        ("global-batch-size", step.batch_size * step.micro_batches * layout.dp),
        ("seq-length", step.sequence_length),
        ("tensor-model-parallel-size", layout.tp),
        ("pipeline-model-parallel-size", layout.pp),
        ("context-parallel-size", layout.cp),
        ("expert-model-parallel-size", layout.ep),
        ("num-virtual-stages-per-pipeline-rank", layout.interleave if layout.interleave > 1 else None),
    ]
    switches = {
        "sequence-parallel": layout.sequence_parallel or training.sequence_parallel,
        "use-distributed-optimizer": training.zero >= 1,
        "bf16": not training.precision.startswith(("fp16", "fp32")),
        "fp16": training.precision.startswith("fp16"),
        "cross-entropy-loss-fusion": training.kernels == "fused",
    }
    words = [f"--{name} {value}" for name, value in flags if value is not None]
    words += [f"--{name}" for name, wanted in switches.items() if wanted]
    if training.precision == "fp8":
        words.append("--fp8-format hybrid")
    if training.recompute == "selective":
        words.append("--recompute-granularity selective")
    elif training.recompute == "experts":
        words.append("--recompute-granularity selective --recompute-modules moe")
    elif training.recompute != "none":
        words.append("--recompute-granularity full --recompute-method uniform --recompute-num-layers 1")
    return " \\\n  ".join(words) + "\n"


def axolotl(step: Trained) -> str:
    """A YAML of Axolotl (docs.axolotl.ai, config reference)."""
    training = step.training
    found = {"base_model": step.model.name, **_adapter(step, "adapter", "lora_r", "lora_target_linear")}
    found |= {
        "sequence_len": step.sequence_length,
        "micro_batch_size": step.batch_size,
        "gradient_accumulation_steps": step.micro_batches,
        "optimizer": HUGGING_FACE_OPTIMIZERS.get(training.optimizer, training.optimizer),
        "bf16": training.precision.startswith("bf16"),
        "gradient_checkpointing": training.recompute != "none",
        "flash_attention": training.attention == "flash",
    }
    if training.loss == "fused":
        found |= {"plugins": ["axolotl.integrations.liger.LigerPlugin"], "liger_fused_linear_cross_entropy": True}
    if training.zero and step.layout.dp > 1:
        found["deepspeed"] = f"deepspeed_configs/zero{training.zero}.json"
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in found.items())


def trl(step: Trained) -> str:
    """Flags of `trl sft` (huggingface/trl, docs: SFT Trainer)."""
    training = step.training
    found: dict[str, object] = {
        "model_name_or_path": step.model.name,
        "per_device_train_batch_size": step.batch_size,
        "gradient_accumulation_steps": step.micro_batches,
        "max_length": step.sequence_length,
        "optim": HUGGING_FACE_OPTIMIZERS.get(training.optimizer, training.optimizer),
        "bf16": str(training.precision.startswith("bf16")).lower(),
        "gradient_checkpointing": str(training.recompute != "none").lower(),
        "attn_implementation": "flash_attention_2" if training.attention == "flash" else "eager",
    }
    if training.frozen:
        targets = training.targets if isinstance(training.targets, str) else " ".join(training.targets)
        found |= {"use_peft": "true", "lora_r": training.rank, "lora_target_modules": targets}
    if training.method == "qlora":
        found |= {"load_in_4bit": "true", "use_bnb_nested_quant": str(training.base_format == "nf4-dq").lower()}
    if training.loss == "fused":
        found["use_liger_kernel"] = "true"
    return "trl sft \\\n  " + " \\\n  ".join(f"--{name} {value}" for name, value in found.items()) + "\n"


def _adapter(step: Trained, method: str, rank: str, everywhere: str) -> dict[str, Any]:
    training = step.training
    if not training.frozen:
        return {}
    found: dict[str, Any] = {method: training.method, rank: training.rank, "lora_dropout": training.dropout}
    if training.method == "qlora":
        found["load_in_4bit"] = True
    if training.targets == "all-linear":
        return {**found, everywhere: True}
    return {**found, "lora_target_modules": list(training.targets)}


def _only_full(step: Trained, name: str) -> None:
    if step.training.frozen:
        raise WorkloadError(f"{name} has no words for adapters here; export {step.training.method} to axolotl or trl.")


FRAMEWORKS: Mapping[str, Callable[[Trained], str]] = {
    "torchtitan": torchtitan,
    "deepspeed": deepspeed,
    "megatron": megatron,
    "axolotl": axolotl,
    "trl": trl,
}
